"""What a dialect must be able to say."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from tests.fakes.upstream.script import Json, Script
from tests.fakes.upstream.seen import Seen
from tests.fakes.upstream.words import Count, Event, Turn, dumps

CREATED_AT_S = 1_760_000_000


class Dialect(ABC):
    """One vendor's words for requests, answers, events, usage and errors."""

    usage_key: ClassVar[str] = "usage"
    key_refused: ClassVar[int] = 401
    request_id_header: ClassVar[str] = "x-request-id"
    error_words: ClassVar[dict[int, str]]

    @abstractmethod
    def usage_words(self, count: Count) -> Json:
        """Tokens in this vendor's names."""

    @abstractmethod
    def answer(self, turn: Turn) -> Json:
        """The answer to a request that does not stream."""

    @abstractmethod
    def events(self, turn: Turn) -> Iterator[Event]:
        """The answer to a request that streams."""

    @abstractmethod
    def error(self, status: int, detail: Mapping[str, Any]) -> Json:
        """An error body; `detail` is laid over the vendor's own."""

    @abstractmethod
    def complaint(self, seen: Seen) -> str | None:
        """What the vendor would refuse about the request's shape, if anything."""

    @abstractmethod
    def models(self, names: Sequence[str]) -> Json:
        """The list of models."""

    def error_event(self, detail: Mapping[str, Any]) -> Event:
        """An error in the middle of a stream."""
        return Event(dumps(error_body(self, 500, detail)))

    @abstractmethod
    def ping(self, script: Script) -> bytes:
        """The vendor's own keep-alive in a stream; empty where there is none."""

    def recorded(self, said: Mapping[str, Any] | str) -> Event:
        """An event that the script gives whole."""
        text = said if isinstance(said, str) else dumps(said)
        return Event(text, kind="content")

    def is_stream(self, seen: Seen) -> bool:
        """Whether the request asks for a stream."""
        return (seen.body or {}).get("stream") is True

    def model(self, seen: Seen) -> str:
        """The model that was asked for."""
        return str((seen.body or {}).get("model", ""))

    def output_limit(self, body: Json) -> int | None:
        """The most tokens that may be said."""
        limit = body.get("max_completion_tokens", body.get("max_tokens"))
        return limit if isinstance(limit, int) else None

    def choices(self, body: Json) -> int:
        """How many answers were asked for."""
        asked = body.get("n")
        return asked if isinstance(asked, int) and asked > 0 else 1


def error_body(dialect: Dialect, status: int, detail: Mapping[str, Any]) -> Json:
    """An error in the dialect's words, or the detail itself when it is a whole body."""
    return dict(detail) if "error" in detail else dialect.error(status, detail)
