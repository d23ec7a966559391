"""Replies: bytes to come, and the script that says how they come."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qs

from tests.fakes.upstream.anthropic import Anthropic
from tests.fakes.upstream.dialect import Dialect, error_body
from tests.fakes.upstream.gemini import Gemini
from tests.fakes.upstream.openai import OpenAI
from tests.fakes.upstream.script import EventKind, Script
from tests.fakes.upstream.seen import Seen
from tests.fakes.upstream.words import Event, Turn, count_of, dumps, saying_of

GARBAGE_HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"
GARBAGE_EVENT = "{not json"
# What any server may send to keep a line open.
COMMENT = b": ping\n\n"

OPENAI, ANTHROPIC, GEMINI = OpenAI(), Anthropic(), Gemini()


def dialect_of(seen: Seen) -> Dialect | None:
    """The dialect of a completion request, or None for any other request."""
    if seen.method != "POST":
        return None
    if seen.path.endswith("/chat/completions"):
        return OPENAI
    if seen.path.endswith("/v1/messages"):
        return ANTHROPIC
    return GEMINI if Gemini.path.search(seen.path) else None


def dialect_beside(seen: Seen) -> Dialect:
    """Whose manners to keep on paths that are no completion: lists of models, and errors."""
    if "anthropic-version" in seen.headers:
        return ANTHROPIC
    is_gemini = "/v1beta" in seen.path and "/openai" not in seen.path
    return GEMINI if is_gemini else OPENAI


@dataclass(frozen=True)
class Item:
    """Bytes that go out together and count as one event."""

    payload: bytes
    kind: EventKind = "content"


@dataclass(frozen=True)
class Reply:
    """One response before it is played on a socket."""

    script: Script
    status: int
    content_type: str
    items: Iterable[Item]
    is_stream: bool = False
    ping: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_chunked(self) -> bool:
        """Whether the body goes out in HTTP chunks."""
        if self.script.close_delimited:
            return False
        framing = self.script.framing
        return framing == "chunked" or (framing == "auto" and self.is_stream)

    def head(self) -> bytes:
        """The status line and the headers."""
        headers = {"content-type": self.content_type, "server": "fake-upstream", **self.headers}
        if self.script.retry_after is not None:
            headers["retry-after"] = str(self.script.retry_after)
        if self.script.close_delimited:
            headers["connection"] = "close"
        elif self.is_chunked:
            headers["transfer-encoding"] = "chunked"
        else:
            headers["content-length"] = str(sum(len(item.payload) for item in self.items))
        headers.update({name.lower(): value for name, value in self.script.headers.items()})
        lines = [f"HTTP/1.1 {self.status} {reason_of(self.status)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def reason_of(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Overloaded" if status == 529 else "Unknown"


def json_reply(script: Script, status: int, body: object) -> Reply:
    payload = body if isinstance(body, bytes) else None
    text = body if isinstance(body, str) else dumps(body) if payload is None else ""
    return Reply(script, status, "application/json", [Item(payload or text.encode())])


def completion_reply(dialect: Dialect, script: Script, seen: Seen, serial: int) -> Reply:
    """What the script makes of a request that the vendor would accept."""
    is_stream = dialect.is_stream(seen) if script.force_stream is None else script.force_stream
    if script.garbage and not is_stream:
        return Reply(script, script.status, "text/html", [Item(GARBAGE_HTML)])
    turn = _turn(dialect, script, seen, serial)
    if not is_stream:
        return json_reply(script, script.status, dialect.answer(turn))
    events = _faulted(turn, map(dialect.recorded, script.events) if script.events else None)
    if dialect is GEMINI and parse_qs(seen.query).get("alt") != ["sse"] and not script.endless:
        # Without alt=sse the vendor sends one JSON array, which no reader of events understands.
        array = "[" + ",\n".join(event.text for event in events) + "]"
        return json_reply(script, script.status, array)
    ping = dialect.ping(script)
    items: Iterable[Item] = _items(script, events, ping if script.pings else b"")
    if not script.endless:
        items = list(items)
    kind = "text/event-stream; charset=utf-8"
    # Where a vendor has none, whoever stands before it may still send comments.
    return Reply(script, script.status, kind, items, is_stream=True, ping=ping or COMMENT)


def _turn(dialect: Dialect, script: Script, seen: Seen, serial: int) -> Turn:
    body = seen.body or {}
    choices = dialect.choices(body)
    saying = saying_of(script, dialect.output_limit(body))
    return Turn(
        dialect=dialect,
        script=script,
        body=body,
        serial=serial,
        model=script.model or dialect.model(seen),
        choices=choices,
        saying=saying,
        count=count_of(script, body, saying, choices),
    )


def _faulted(turn: Turn, recorded: Iterator[Event] | None) -> Iterator[Event]:
    """The events with the script's garbage, error and missing end worked in."""
    script, counted, is_garbage_due = turn.script, 0, turn.script.garbage
    for event in recorded or turn.dialect.events(turn):
        if script.error_event and (counted >= script.error_event[0] or event.kind == "done"):
            break
        if is_garbage_due and counted >= script.garbage_after:
            is_garbage_due = False
            yield Event(GARBAGE_EVENT)
        if event.kind == "done" and script.no_done:
            continue
        yield event
        counted += counts(script, event.kind)
    if script.error_event is not None:
        yield turn.dialect.error_event(script.error_event[1])


def _items(script: Script, events: Iterable[Event], ping: bytes) -> Iterator[Item]:
    note = b": ping\r\n\r\n" if script.crlf else COMMENT
    for position, event in enumerate(events):
        comment = note if script.comments and position else b""
        yield Item(ping + comment + event.encoded(script), event.kind)


def counts(script: Script, kind: EventKind) -> int:
    return int(script.counting == "events" or kind == "content")


def told_reply(dialect: Dialect, script: Script) -> Reply | None:
    """The answer that the script gives whole: a body of its own, or an error."""
    if script.body is not None:
        return json_reply(script, script.status, script.body)
    if script.status >= 400 or script.error_body is not None:
        body = error_body(dialect, script.status, script.error_body or {})
        return json_reply(script, script.status, body)
    return None
