"""What is measured, in which sizes: one row a question, three sizes a run."""

from dataclasses import dataclass, replace

from bench.speed.answers import Expected
from bench.speed.load import Load
from bench.speed.shapes import Shape
from bench.speed.targets.base import Target

PLAIN, STREAMED, ALONE, CROWD, GAP = "plain", "streamed", "alone", "crowd", "gap"


@dataclass(frozen=True)
class Scenario:
    """A load. `most_rounds` bounds how often a long one is repeated."""

    name: str
    question: str
    shape: Shape
    is_streamed: bool
    at_once: int
    warm_s: float = 1.0
    measure_s: float = 3.0
    opening_s: float = 0.0
    once: bool = False
    probes: bool = False
    most_rounds: int = 99
    patience_s: float = 30.0
    # How long memory may take to come back.
    rest_s: float = 2.0

    def load(self, target: Target) -> Load:
        """What to send to a target."""
        return Load(
            target.requests(self.shape, is_streamed=self.is_streamed),
            Expected(self.shape, self.is_streamed),
            self.at_once,
            warm_s=self.warm_s,
            measure_s=self.measure_s,
            opening_s=self.opening_s,
            once=self.once,
            patience_s=self.patience_s,
            probe=target.health_request() if self.probes else b"",
        )


LONG = (
    Scenario(PLAIN, "not streamed, 64 at once", Shape(20), False, 64),
    Scenario(STREAMED, "16 streams at once, 200 events each, no pause", Shape(200), True, 16),
    Scenario(ALONE, "not streamed, one at a time", Shape(20), False, 1, measure_s=2.0),
    Scenario(
        CROWD,
        "1 000 streams, 30 events each, 100 ms apart, opened within 2 s",
        Shape(30, 100, 100),
        True,
        1000,
        warm_s=0.0,
        opening_s=2.0,
        once=True,
        most_rounds=2,
        patience_s=60.0,
    ),
    # The first round of 256 comes at once and takes long; it should be over when it counts.
    Scenario(
        GAP, "256 at once, and /healthz every 5 ms", Shape(20), False, 256, warm_s=2.0, probes=True
    ),
)
_QUICK = {"measure_s": 1.0}
SHORT = tuple(
    replace(one, patience_s=15.0) if one.once else replace(one, **_QUICK)  # type: ignore[arg-type]
    for one in LONG
)
# To see that it works at all.
TINY = tuple(
    replace(
        one,
        at_once=min(one.at_once, 8),
        warm_s=0.05,
        measure_s=0.2,
        opening_s=0.1 if one.once else 0.0,
        shape=Shape(5, 10, 10) if one.once else one.shape,
        patience_s=10.0,
        rest_s=0.1,
    )
    for one in LONG
)
SIZES = {"long": LONG, "short": SHORT, "tiny": TINY}
ROUNDS = {"long": 3, "short": 1, "tiny": 1}
