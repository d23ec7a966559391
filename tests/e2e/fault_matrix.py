"""Every fault of a provider × its dialect × how it is asked for: what is offered, what is said.

| way       | the caller asks for | the provider is asked for                                      |
|-----------|---------------------|----------------------------------------------------------------|
| streamed  | a stream            | a stream                                                       |
| whole     | one piece           | one piece: whatever fails, the caller has seen nothing         |
| assembled | one piece           | a stream: the hold of a caller with little credit must grow    |

On SQLite all of them are played; on PostgreSQL, where only the steps of money differ, each fault in
each way once, the dialects in turn, unless SOLROUTER_TEST_MATRIX=whole.
"""

import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from flask import Flask
from openai import APIError, OpenAI, Stream
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from bench.faults.databases import POSTGRESQL, SQLITE
from solrouter import database
from solrouter.models import Offer, Provider
from tests.conftest import IS_WHOLE
from tests.factories import make_offer
from tests.fakes.certificate import self_signed, tls_context
from tests.fakes.upstream import FakeUpstream, Script
from tests.fakes.upstream.faults import faults
from tests.providers.raw_server import RawServer, read_request
from tests.served import free_port

DIALECTS = ("openai", "anthropic", "google")
STREAMED, WHOLE, ASSEMBLED = "streamed", "whole", "assembled"
QUESTION: Any = [{"role": "user", "content": "Hello!"}]
PIECES = ("One", " two", " three", " four", " five", " six")
# What a spare says, and what it counts.
SPARE_TEXT, SPARE_USAGE = "All is well.", (10, 3)
INPUT_USD, OUTPUT_USD = "1", "2"
SPARE_NANOS = 10 * 1_000 + 3 * 2_000
# A call in one piece shows nothing until it is whole: only its total deadline tells that it stalls.
WHOLE_TOTAL_S = 1.0
FURNISHERS = 16
STALLS = ("silence", "stall")

# Faults of the line, before there is anybody to play them: base URLs.
LINES: Mapping[str, Callable[["BadLines"], str]] = {
    "refused_connection": lambda _: f"http://127.0.0.1:{free_port()}",
    "no_such_host": lambda _: "http://nobody.invalid",
    "no_tls": lambda lines: lines.no_tls.url.replace("http:", "https:"),
    "unknown_certificate": lambda lines: lines.unknown.url,
}
MORE: Mapping[str, Mapping[str, Any]] = {
    "rate_limited_for_who_knows_how_long": {"status": 429},
    "html": {"garbage": True, "force_stream": False},
}
OF_ONE_DIALECT: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "google": {"key_refused": {"status": 400, "error_body": {"message": "API key not valid."}}},
    "openai": {"no_credit": {"status": 429, "error_body": {"code": "insufficient_quota"}}},
}
# The code that an attempt is noted with; else `upstream_error`.
CODES: Mapping[str, str] = {
    "unauthorized": "upstream_auth",
    "unpaid": "upstream_auth",
    "forbidden": "upstream_auth",
    "unknown_model": "upstream_auth",
    "key_refused": "upstream_auth",
    "no_credit": "upstream_auth",
    "rate_limited": "upstream_rate_limited",
    "rate_limited_for_who_knows_how_long": "upstream_rate_limited",
    "unavailable": "upstream_overloaded",
    "overloaded": "upstream_overloaded",
    "silence": "upstream_timeout",
    "stall": "upstream_timeout",
    "pings_only": "upstream_timeout",
}
# The same fault in other words: where a vendor has a word of its own, and in an empty stream.
CODES_OF: Mapping[tuple[str, str], str] = {
    ("anthropic", "error_event"): "upstream_overloaded",
    ("google", "error_in_success"): "upstream_overloaded",
    (STREAMED, "no_answer"): "empty_completion",
    (STREAMED, "empty_body"): "empty_completion",
}


@dataclass(frozen=True)
class Case:
    """One fault of one provider. After `has_content` it is too late for another provider."""

    dialect: str
    way: str
    name: str
    has_content: bool
    number: int

    @property
    def id(self) -> str:
        """For people."""
        return f"{self.dialect}-{self.way}-{'after' if self.has_content else 'before'}-{self.name}"

    @property
    def provider(self) -> str:
        """Who fails."""
        return f"case-{self.number}"

    @property
    def model(self) -> str:
        """What the caller names."""
        return f"faults/{self.id}"

    @property
    def is_streamed(self) -> bool:
        """Whether the caller asks for a stream."""
        return self.way == STREAMED

    @property
    def script(self) -> Mapping[str, Any] | None:
        """How the provider fails; None if the line does."""
        if self.name in LINES:
            return None
        own = OF_ONE_DIALECT.get(self.dialect, {}).get(self.name) or MORE.get(self.name)
        return own or _fields(self.way, has_content=self.has_content)[self.name]

    @property
    def code(self) -> str:
        """How the failed attempt is noted."""
        for whose in (self.dialect, self.way):
            if (whose, self.name) in CODES_OF:
                return CODES_OF[whose, self.name]
        return CODES.get(self.name, "upstream_error")

    @property
    def spare(self) -> str:
        """Who may stand in: somebody who speaks another dialect."""
        return f"spare-{DIALECTS[(DIALECTS.index(self.dialect) + 1) % len(DIALECTS)]}"


def _fields(way: str, *, has_content: bool) -> Mapping[str, Mapping[str, Any]]:
    if way != WHOLE:
        return faults(has_content=has_content, stream=True)
    # Of what fails in the middle of a body the caller has seen nothing yet.
    middle = faults(has_content=True, stream=False)
    return {**faults(has_content=False, stream=False), **middle}


def _cases() -> Iterator[Case]:
    number = 0
    for dialect in DIALECTS:
        extra = (*LINES, *MORE, *OF_ONE_DIALECT.get(dialect, ()))
        for way, has_content in ((STREAMED, False), (WHOLE, False), (STREAMED, True),
                                 (ASSEMBLED, True)):  # fmt: skip
            names = (*_fields(way, has_content=has_content), *(() if has_content else extra))
            for name in names:
                # Gemini has no end mark: that one cannot be there without a finish reason.
                if not (dialect == "google" and name == "no_finish_but_done"):
                    yield Case(dialect, way, name, has_content, number)
                    number += 1


def _covering(cases: Iterable[Case]) -> Iterator[Case]:
    """Each fault in each way once, by one dialect after another."""
    by_fault: dict[tuple[str, bool, str], list[Case]] = {}
    for case in cases:
        by_fault.setdefault((case.way, case.has_content, case.name), []).append(case)
    for turn, alike in enumerate(by_fault.values()):
        yield alike[turn % len(alike)]


CASES = tuple(_cases())
BEFORE = [case for case in CASES if not case.has_content]
AFTER = [case for case in CASES if case.has_content]
CASES_ON: Mapping[str, tuple[Case, ...]] = {
    SQLITE: CASES,
    POSTGRESQL: CASES if IS_WHOLE else tuple(_covering(CASES)),
}


class BadLines:
    """Two servers that nobody should speak to, each on a port of its own.

    One answers whoever begins with TLS in plain words, the other has a certificate that nobody has
    signed.
    """

    def __init__(self, folder: Path) -> None:
        def answers_plainly(sock: socket.socket, _number: int) -> None:
            sock.recv(4096)
            sock.sendall(b"HTTP/1.1 400 This is no TLS\r\n\r\n")

        def is_never_asked(sock: socket.socket, _number: int) -> None:
            self.trusted += bool(read_request(sock))

        self.trusted = 0
        self.no_tls = RawServer(answers_plainly)
        self.unknown = RawServer(is_never_asked, tls=tls_context(self_signed(folder)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.no_tls.__exit__()
        self.unknown.__exit__()


def furnish(app: Flask, upstream: FakeUpstream, lines: BadLines, cases: Iterable[Case]) -> None:
    """Offers each case's model by whoever fails and by a spare, at the same price."""
    for dialect in DIALECTS:
        spare = f"spare-{dialect}"
        upstream.plays(Script(path_part=f"/{spare}/", text=SPARE_TEXT, usage=SPARE_USAGE))
        offer(app, upstream.origin, f"faults/{spare}", provider=spare, kind=dialect)
    # Transactions of many threads share a commit.
    with ThreadPoolExecutor(FURNISHERS) as pool:
        list(pool.map(lambda case: _furnish_one(app, upstream, lines, case), cases))
    hasty = [case.provider for case in cases if case.way == WHOLE and case.name in STALLS]
    set_deadlines(app, hasty, total_s=WHOLE_TOTAL_S)


def _furnish_one(app: Flask, upstream: FakeUpstream, lines: BadLines, case: Case) -> None:
    origin = upstream.origin
    if case.script is None:
        origin = LINES[case.name](lines)
    else:
        part = f"/{case.provider}/"
        upstream.plays(Script(**{"pieces": PIECES, **case.script, "path_part": part}))
    # The first of equals is tried first.
    offer(app, origin, case.model, provider=case.provider, kind=case.dialect)
    kind = case.spare.removeprefix("spare-")
    offer(app, upstream.origin, case.model, provider=case.spare, kind=kind)


def offer(
    app: Flask, origin: str, model: str, *, provider: str, kind: str = "openai", **terms: Any
) -> None:
    """A provider's offer of a model, under a path of the provider's own."""
    base_url = f"{origin}/{provider}" + ("/v1" if kind == "openai" else "")
    prices = {"input_usd": INPUT_USD, "output_usd": OUTPUT_USD, **terms}
    make_offer(app, base_url, model=model, provider=provider, kind=kind, **prices)


def set_deadlines(app: Flask, providers: list[str], **seconds: float) -> None:
    """Gives all offers of these providers deadlines of their own."""
    offers, rows = Offer.__table__, Provider.__table__
    own = offers.c.provider_id.in_(rows.select().with_only_columns(rows.c.id).where(
        rows.c.slug.in_(providers)
    ))  # fmt: skip
    statement = offers.update().where(own).values(deadlines=seconds)  # type: ignore[attr-defined]
    with app.app_context():
        database.transact(lambda connection: connection.execute(statement).rowcount)


@dataclass(frozen=True)
class Said:
    """What the official client made of an answer."""

    id: str = ""
    model: str = ""
    text: str = ""
    finish_reason: str | None = None
    charge: str | None = None
    error: APIError | None = None


def ask(client: OpenAI, model: str, *, stream: bool, **more: Any) -> Said:
    """Asks once, and keeps the error that the client raises, with what it had shown before."""
    said = Said()
    try:
        wanted = {"model": model, "messages": QUESTION, "stream": stream, **more}
        answer: Any = client.chat.completions.create(**wanted)
        if isinstance(answer, ChatCompletion):
            return _whole(answer)
        for said in _growing(answer):  # noqa: B007 (the last one counts)
            pass
    except APIError as error:
        return Said(said.id, said.model, said.text, said.finish_reason, error=error)
    return said


def _whole(answer: ChatCompletion) -> Said:
    choice = answer.choices[0]
    text, charge = choice.message.content or "", _charge(answer)
    return Said(answer.id, answer.model, text, choice.finish_reason, charge)


def _growing(stream: Stream[ChatCompletionChunk]) -> Iterator[Said]:
    said = Said()
    for chunk in stream:
        choice = chunk.choices[0]
        text = said.text + (choice.delta.content or "")
        said = Said(chunk.id, chunk.model, text, choice.finish_reason, _charge(chunk))
        yield said


def _charge(answer: ChatCompletion | ChatCompletionChunk) -> str | None:
    if answer.usage is None:
        return None
    return str((answer.usage.model_extra or {})["cost_details"]["charge"])
