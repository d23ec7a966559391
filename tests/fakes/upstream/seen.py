"""What the fake provider remembers of its clients."""

from dataclasses import dataclass

from tests.fakes.upstream.script import Json


@dataclass(frozen=True)
class Seen:
    """One request as it came; header names in lower case, `body` None when it is not an object."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: Json | None
    raw: bytes
    at_monotonic: float


@dataclass(frozen=True)
class Abort:
    """A client that went away before its answer was complete."""

    at_monotonic: float
    events_sent: int
    path: str


@dataclass(frozen=True)
class Connections:
    """TCP connections: accepted since the start, open now, and in the middle of an answer now."""

    accepted: int
    open: int
    busy: int
