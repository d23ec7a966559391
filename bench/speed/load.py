"""What is sent, and what comes of it. `crowd.py` does the sending.

A run measures a window: what ended before it (warming up) and after it (the rest that is waited
for) is judged and counted among all answers, and times nothing.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.speed.answers import Judge


@dataclass(frozen=True)
class Load:
    """What is sent, by how many, for how long."""

    requests: Sequence[bytes]
    judge: Judge
    at_once: int
    warm_s: float = 0.5
    measure_s: float = 3.0
    # The callers come one after the other over this time.
    opening_s: float = 0.0
    # Each caller sends one request only; all of it is the window.
    once: bool = False
    patience_s: float = 30.0
    probe: bytes = b""
    probe_every_s: float = 0.005


@dataclass
class Outcome:
    """What came of it. Times in seconds, sorted."""

    window_s: float = 0.0
    answers: int = 0
    events: int = 0
    latencies: list[float] = field(default_factory=list)
    first_contents: list[float] = field(default_factory=list)
    probes: list[float] = field(default_factory=list)
    # All right answers of the run, also those outside the window: what the books must show.
    right: int = 0
    unsure: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    own_cpu_s: float = 0.0
