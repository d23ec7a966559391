"""One HTTP exchange with an upstream, whatever its dialect: sending, deadlines, events, the end.

A dialect gives a Reader, which turns events into chunks; this module gives it bytes in time and
turns every fault into a ProviderError. Knows HTTP through the transport only, and no dialect.

A streamed answer has until `first_token_s` after the opening to bring content; pings and empty
chunks do not count. After that any byte within `between_chunks_s` is a sign of life, since a model
that thinks may say nothing else for long; but not for longer than `pings_s` after its last content.
An answer that is not streamed shows nothing until it is whole, so only `total_s` bounds it.
Whenever nothing was handed on for `quiet_s`, whatever the upstream sent meanwhile, SILENCE is.
"""

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from typing import Any, Protocol

import orjson

from solrouter import sse
from solrouter.chat import SILENCE, Chunk
from solrouter.clock import monotonic_s
from solrouter.providers.base import UpstreamCall
from solrouter.providers.errors import ProviderError, UpstreamBroken, UpstreamTimedOut
from solrouter.providers.failures import event_failure, parsed, status_failure, transport_failure
from solrouter.providers.runs import HALF_BYTES_MAX, Template, learn
from solrouter.transport.errors import TransportError
from solrouter.transport.http import HttpRequest, HttpStream, open_stream

ANSWER_BYTES_MAX = 64 * 1024 * 1024
ERROR_BYTES_MAX = 64 * 1024
# An error's body may trickle; the status has said enough.
ERROR_BODY_S_MAX = 5.0
# How long a finished answer is held back for the usage that many upstreams send after it.
USAGE_S_MAX = 1.0
# A finished stream's last bytes are mostly there; waiting for them keeps the connection.
LINGER_S = 0.05
# The shortest wait that is one.
CLOCK_GRAIN_S = 0.001
# What stands between two events, in the two ways in which lines are ended.
GAP, CRLF_GAP = b"\n\n", b"\r\n\r\n"


class Reader(Protocol):
    """A dialect's half of one running answer: what its events and its bodies mean.

    `is_finished` says that every choice has its finish reason; `is_over` that no event follows.
    """

    @property
    def upstream_id(self) -> str | None: ...

    @property
    def is_finished(self) -> bool: ...

    @property
    def is_over(self) -> bool: ...

    def event(self, name: str, value: dict[str, Any]) -> Iterator[Chunk]:
        """The chunks of one event. Raises ProviderError."""
        ...

    def end(self) -> Iterator[Chunk]:
        """What is left to say when no more events come. Raises UpstreamBroken if it was cut."""
        ...

    def whole(self, value: dict[str, Any]) -> Chunk:
        """The one chunk of an answer that is not streamed. Raises ProviderError."""
        ...


class HttpUpstream:
    """A running answer over HTTP: see `base.Upstream`."""

    # One call: nobody is replaced, and what it has used comes with its chunks.
    replaced = ()
    told = None

    def __init__(
        self, call: UpstreamCall, stream: HttpStream, reader: Reader, *, opened_s: float
    ) -> None:
        self._call = call
        self._stream = stream
        self._reader = reader
        self._first_token_by_s = opened_s + call.deadlines.first_token_s
        self._spoke_s = self._said_s = opened_s
        self._has_content = False
        self._end_by_s: float | None = None
        self._template: Template | None = None
        self._piece = self._half = b""

    @property
    def upstream_id(self) -> str | None:
        """The provider's own id of this answer, once known."""
        return self._reader.upstream_id

    def __iter__(self) -> Iterator[Chunk]:
        return self._streamed() if self._call.request.stream else self._whole()

    def close(self) -> None:
        """Ends the exchange at once, from any greenlet."""
        self._stream.close()

    def _begun(self) -> Iterator[Chunk]:
        """Waits for the status. Raises what it means, if it is no success."""
        try:
            while not self._stream.wait_for_head(self._quiet_left_s()):
                yield self._silence()
        except TransportError as exc:
            raise transport_failure(exc, has_content=False) from exc
        stream = self._stream
        if not 200 <= stream.status < 300:
            body = _error_body(stream)
            raise status_failure(stream.status, stream.headers, body, api_key=self._call.api_key)

    def _streamed(self) -> Iterator[Chunk]:
        with closing(self):
            yield from self._begun()
            for event in self._events():
                if event is None:
                    yield self._silence()
                elif isinstance(event, Chunk):
                    self._note(event)
                    yield event
                elif event.data and (yield from self._said(event)):
                    break
            yield from self._reader.end()
            self._stream.finish(linger_s=LINGER_S)

    def _said(self, event: sse.Event) -> Generator[Chunk, None, bool]:
        """The chunks of an event that is read in full; returns whether none may follow it."""
        try:
            value = self._value(event.data)
        except ProviderError:
            if not self._reader.is_finished:
                raise
            return True
        for chunk in self._reader.event(event.name, value):
            self._note(chunk)
            self._learn(chunk)
            yield chunk
        return self._reader.is_over

    def _learn(self, chunk: Chunk) -> None:
        """Remembers what the event looked like, for the next ones to be recognised by.

        One that came in pieces teaches nothing, and makes what was learned before it void: a run
        says what the chunk before it says, with another text.
        """
        if self._call.allows_runs:
            self._template = learn(self._piece, chunk) if self._piece else None
            chunk.text_field = self._template.field if self._template else None

    def _decoded(self, decoder: sse.Decoder, data: bytes) -> Iterator[sse.Event | Chunk]:
        """The events in the bytes: in runs where they are like the last one, else one by one."""
        data, self._half = self._half + data, b""
        gap = CRLF_GAP if CRLF_GAP in data else GAP
        position = 0
        size = len(data)
        while position < size:
            is_between = decoder.is_between_events
            if self._template is not None and is_between:
                literals, position = self._template.take(data, position)
                if literals:
                    yield _run(literals)
                    if position == size:
                        return
                if self._template.may_begin(data[position : position + HALF_BYTES_MAX + 1]):
                    self._half = data[position:]
                    return
            found = data.find(gap, position)
            end = size if found < 0 else found + len(gap)
            piece, position = data[position:end], end
            events = decoder.feed(piece)
            is_whole = is_between and len(events) == 1 and decoder.is_between_events
            self._piece = piece if is_whole else b""
            yield from events

    def _whole(self) -> Iterator[Chunk]:
        with closing(self):
            yield from self._begun()
            parts: list[bytes] = []
            size = 0
            while (part := self._read()) != b"":
                if part is None:
                    yield self._silence()
                    continue
                parts.append(part)
                size += len(part)
                if size > ANSWER_BYTES_MAX:
                    raise UpstreamBroken("The provider's answer is too large.")
            yield self._reader.whole(self._value(b"".join(parts)))

    def _events(self) -> Iterator[sse.Event | Chunk | None]:
        """Events up to the end of the stream, its end mark, or a fault after the finish.

        None where it is time to say SILENCE, a chunk for a run of events that are all alike.
        """
        decoder = sse.Decoder()
        try:
            while (data := self._read()) != b"":
                if data is None:
                    yield None
                    continue
                for event in self._decoded(decoder, data):
                    if isinstance(event, sse.Event) and event.data == sse.DONE_DATA:
                        return
                    yield event
            yield from decoder.feed(self._half)
        except sse.EventTooLarge as exc:
            raise UpstreamBroken(f"The provider's answer is too large: {exc}.") from exc
        except ProviderError:
            # All choices have their finish reason: what broke is only what comes after it.
            if not self._reader.is_finished:
                raise
            return
        yield from (e for e in decoder.end() if e.data not in {b"", sse.DONE_DATA})
        self._raise_stray(decoder.stray)

    def _read(self) -> bytes | None:
        """The next bytes, b"" at the end, None where it is time to say SILENCE."""
        quiet_s = self._quiet_left_s()
        if quiet_s == CLOCK_GRAIN_S:
            # Whatever comes meanwhile, pings above all, was not for the caller.
            return None
        if self._has_content and monotonic_s() - self._said_s > self._call.deadlines.pings_s:
            message = "The provider timed out (pings): it kept the line open and said nothing."
            raise UpstreamTimedOut(message, phase="pings")
        try:
            if self._call.request.stream and not self._has_content:
                left_s = self._first_token_by_s - monotonic_s()
                if left_s <= 0:
                    message = "The provider timed out (first_token)."
                    raise UpstreamTimedOut(message, phase="first_token")
                self._stream.set_between_s(left_s)
            if self._end_by_s is not None:
                left_s = self._end_by_s - monotonic_s()
                if left_s <= 0:
                    message = "The provider did not end its answer."
                    raise UpstreamTimedOut(message, phase="between_chunks")
                self._stream.set_between_s(left_s)
            return self._stream.read_some(quiet_s)
        except TransportError as exc:
            raise transport_failure(exc, has_content=self._has_content) from exc

    def _quiet_left_s(self) -> float | None:
        """How much longer the caller may hear nothing, at least a grain; None: for ever."""
        quiet_s = self._call.quiet_s
        if quiet_s is None:
            return None
        return max(self._spoke_s + quiet_s - monotonic_s(), CLOCK_GRAIN_S)

    def _silence(self) -> Chunk:
        self._spoke_s = monotonic_s()
        return SILENCE

    def _note(self, chunk: Chunk) -> None:
        self._spoke_s = monotonic_s()
        if chunk.literals is not None:
            # A run follows content, and no finish.
            self._said_s = self._spoke_s
            return
        if chunk.has_content:
            self._said_s = self._spoke_s
            if not self._has_content:
                self._has_content = True
                self._stream.set_between_s(self._call.deadlines.between_chunks_s)
        if self._reader.is_finished and self._end_by_s is None:
            # Only the usage may still come, and the caller waits for the finish until it does.
            self._has_content = True
            self._said_s = self._spoke_s
            self._end_by_s = self._spoke_s + USAGE_S_MAX

    def _value(self, data: bytes) -> dict[str, Any]:
        """An event's or a body's JSON object. Raises what it says, if it is an error."""
        value = parsed(data)
        error = _error_in(value)
        if error is not None:
            raise event_failure(error, api_key=self._call.api_key)
        if not isinstance(value, dict):
            raise UpstreamBroken("The provider's answer is not valid JSON.")
        return value

    def _raise_stray(self, stray: bytes) -> None:
        """Some write an error as bare JSON into what should be an event stream."""
        if stray and not self._reader.is_finished:
            self._value(stray)


def _run(literals: list[bytes]) -> Chunk:
    size = sum(map(len, literals)) - 2 * len(literals)
    return Chunk({}, has_content=True, output_bytes=size, literals=literals)


def _error_in(value: Any) -> Any:
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return None
    if value.get("error"):
        return value["error"]
    is_error = value.get("object") == "error" or value.get("type") == "error"
    return value if is_error else None


def exchange(
    call: UpstreamCall, *, url: str, headers: Mapping[str, str], body: Any, reader: Reader
) -> HttpUpstream:
    """Sends a request and returns its running answer.

    Raises ProviderError for what goes wrong until the request is sent.
    """
    opened_s = monotonic_s()
    try:
        stream = open_stream(_http_request(call, url, headers, body))
    except TransportError as exc:
        raise transport_failure(exc, has_content=False) from exc
    return HttpUpstream(call, stream, reader, opened_s=opened_s)


def _http_request(
    call: UpstreamCall, url: str, headers: Mapping[str, str], body: Any
) -> HttpRequest:
    deadlines, is_streamed = call.deadlines, call.request.stream
    accept = "text/event-stream" if is_streamed else "application/json"
    return HttpRequest(
        method="POST",
        url=url,
        headers={"Content-Type": "application/json", "Accept": accept, **headers},
        body=orjson.dumps(body),
        connect_s=deadlines.connect_s,
        first_byte_s=deadlines.first_token_s if is_streamed else deadlines.total_s,
        between_s=deadlines.first_token_s if is_streamed else deadlines.total_s,
        total_s=deadlines.total_s,
    )


def _error_body(stream: HttpStream) -> bytes:
    stream.set_between_s(ERROR_BODY_S_MAX)
    try:
        return stream.read_all(ERROR_BYTES_MAX)
    except TransportError:
        return b""
