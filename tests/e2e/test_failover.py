"""Whatever a provider does, the official client has a whole answer or raises, and never pays twice.

Before the first content another provider answers, unseen; after it the client raises and nothing
is charged. All requests go through one served app, many at once; then each is looked at. First on
SQLite, then by two workers on PostgreSQL.
"""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from openai import APIStatusError, BadRequestError, InternalServerError, OpenAI

from bench.faults.books import Books
from bench.faults.databases import POSTGRESQL, SQLITE, Databases
from solrouter import create_app
from tests import served as serving
from tests.conftest import close, require, settings
from tests.e2e.fault_matrix import (
    AFTER,
    ASSEMBLED,
    BEFORE,
    CASES_ON,
    DIALECTS,
    PIECES,
    SPARE_NANOS,
    SPARE_TEXT,
    BadLines,
    Case,
    Said,
    ask,
    furnish,
    offer,
)
from tests.e2e.place import Place, command, until
from tests.factories import make_person
from tests.fakes.upstream import FakeUpstream, Script

HASTE = {
    "SOLROUTER_CONNECT_S": "2",
    # More than a busy machine keeps a sound provider waiting.
    "SOLROUTER_FIRST_TOKEN_S": "2",
    "SOLROUTER_BETWEEN_CHUNKS_S": "2",
    "SOLROUTER_PINGS_S": "2",
    "SOLROUTER_TOTAL_S": "20",
    "SOLROUTER_FAILOVER_S": "5",
    "SOLROUTER_ATTEMPTS_MAX": "5",
    # Far above what all the cases deliver, and below one answer of `faults/dear`.
    "SOLROUTER_UNRECOVERED_PER_DAY": "0.02",
    "SOLROUTER_UNRECOVERED_PERCENT": "0",
}
AT_ONCE = 8
# Two workers begin at once, on machines that do other things besides.
READY_S = 60.0
# Four holds of the longest answer do not fit, eight of a shorter one do.
LITTLE = "0.06"
RICH = "100"
OFFERS = 6
REFUSALS = (400, 413, 422)
both_ways = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])


@dataclass(frozen=True)
class Failing:
    """A server whose providers fail, and what came of every case: with a spare, and without."""

    place: Place
    books: Books
    clients: dict[str, OpenAI]
    with_spare: dict[Case, Said]
    alone: dict[Case, Said]

    def receipt(self, model: str, *, outcome: str) -> dict[str, Any]:
        """The one request for a model that ended so."""
        found = self.books.rows(
            "SELECT reason, charge_nanos, attempts FROM completions WHERE requested_model ="
            f" '{model}' AND outcome = '{outcome}'"
        )
        assert len(found) == 1, found
        reason, charge_nanos, attempts = found[0]
        if isinstance(attempts, str):
            attempts = json.loads(attempts)
        return {"reason": reason, "charge_nanos": charge_nanos, "attempts": attempts}


KINDS = (pytest.param(SQLITE), pytest.param(POSTGRESQL, marks=pytest.mark.postgresql))


@pytest.fixture(scope="module", params=KINDS)
def failing(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Failing]:
    """Runs the cases, many at once. At the end the books are proven and nothing is held."""
    kind, folder = request.param, tmp_path_factory.mktemp("failing")
    if kind == POSTGRESQL:
        require("PostgreSQL", Databases.has_postgresql())
    with Databases(folder) as databases:
        more = HASTE if kind == SQLITE else {**HASTE, "WEB_CONCURRENCY": "2"}
        environ = settings(databases.fresh(kind), folder, **more)
        yield from _failing(environ, CASES_ON[kind], folder)


def _failing(environ: dict[str, str], cases: Sequence[Case], folder: Path) -> Iterator[Failing]:
    app = create_app(environ)
    with FakeUpstream() as upstream, BadLines(folder) as lines:
        keys = {}
        for name, credit in (("alice", RICH), ("carol", LITTLE), ("dora", RICH)):
            person = make_person(app, f"{name}@example.com", credit=credit, plan="unlimited")
            keys[name] = person.key_text
        furnish(app, upstream, lines, cases)
        _furnish_more(app, upstream)
        close(app)
        served = serving.start(environ, ready_s=READY_S)
        try:
            clients = {
                name: OpenAI(base_url=served.api, api_key=key, max_retries=0)
                for name, key in keys.items()
            }
            books = Books(environ["DATABASE_URL"])
            place = Place(served, upstream, keys["alice"])
            with ThreadPoolExecutor(AT_ONCE) as pool:
                told = dict(zip(cases, pool.map(lambda case: _run(clients, case), cases),
                                strict=True))  # fmt: skip
            until(lambda: books.running() == 0)
            assert lines.trusted == 0, "a request went to who knows whom"
            yield Failing(
                place,
                books,
                clients,
                {case: said for case, (said, _) in told.items()},
                {case: said for case, (_, said) in told.items()},
            )
            until(lambda: books.running() == 0)
            command(served, "ledger", "audit")
            assert "Traceback" not in served.log
        finally:
            for client in clients.values():
                client.close()
            served.stop()


def _furnish_more(app: Any, upstream: FakeUpstream) -> None:
    """Models for what is no single fault: budgets, a next model, a user's own mistake."""
    for number in range(OFFERS):
        offer(app, upstream.origin, "faults/broken", provider=f"broken-{number}")
        offer(app, upstream.origin, "faults/slow", provider=f"slow-{number}")
    upstream.plays(Script(path_part="/broken-", status=500))
    upstream.plays(Script(path_part="/slow-", stall_before_s=60))
    offer(app, upstream.origin, "faults/well", provider="spare-openai")
    offer(app, upstream.origin, "faults/dear", provider="dear", output_usd="10000")
    dear = Script(path_part="/dear/", pieces=PIECES, counting="content", cut_after_events=3)
    upstream.plays(dear)
    for dialect in DIALECTS:
        for status in REFUSALS:
            name = f"refuses-{dialect}-{status}"
            upstream.plays(Script(path_part=f"/{name}/", status=status))
            for stream in (True, False):
                model = f"faults/{name}-{stream}"
                offer(app, upstream.origin, model, provider=name, kind=dialect)
                offer(app, upstream.origin, model, provider="spare-openai")


def _run(clients: dict[str, OpenAI], case: Case) -> tuple[Said, Said]:
    """With the spare, and then without where that says more."""
    client = clients["carol" if case.way == ASSEMBLED else "alice"]
    said = ask(client, case.model, stream=case.is_streamed)
    if case.has_content:
        return said, said
    only = {"provider": {"only": [case.provider]}}
    return said, ask(client, case.model, stream=case.is_streamed, extra_body=only)


@pytest.mark.parametrize("case", BEFORE, ids=attrgetter("id"))
def test_before_content_another_provider_answers_unseen(failing: Failing, case: Case) -> None:
    said = failing.with_spare[case]
    assert said.error is None
    assert (said.text, said.finish_reason, said.model) == (SPARE_TEXT, "stop", case.model)
    receipt = failing.place.receipt(said.id)
    tried = [(attempt["provider"], attempt["error"]) for attempt in receipt["attempts"]]
    assert tried == [(case.provider, case.code), (case.spare, None)]
    assert receipt["provider_name"] == case.spare
    assert receipt["charge"] == said.charge
    assert round(receipt["total_cost"] * 10**9) == SPARE_NANOS


@pytest.mark.parametrize("case", BEFORE, ids=attrgetter("id"))
def test_before_content_and_nobody_else_the_client_raises(failing: Failing, case: Case) -> None:
    said = failing.alone[case]
    assert isinstance(said.error, InternalServerError)
    assert said.error.status_code == 502
    assert said.error.type == "upstream_error"
    assert said.error.code == case.code
    receipt = failing.receipt(case.model, outcome="failed")
    assert receipt["charge_nanos"] == 0
    assert {attempt["error"] for attempt in receipt["attempts"]} == {case.code}


@pytest.mark.parametrize("case", AFTER, ids=attrgetter("id"))
def test_after_content_the_client_raises_and_pays_nothing(failing: Failing, case: Case) -> None:
    said = failing.with_spare[case]
    assert said.error is not None
    if case.is_streamed:
        assert said.text
        assert "".join(PIECES).startswith(said.text)
        assert said.finish_reason is None
    else:
        assert isinstance(said.error, InternalServerError)
    receipt = failing.receipt(case.model, outcome="failed")
    assert receipt["charge_nanos"] == 0
    assert [(a["provider"], a["error"]) for a in receipt["attempts"]] == [
        (case.provider, case.code)
    ]


def test_beyond_the_days_allowance_what_was_delivered_is_charged(failing: Failing) -> None:
    said = ask(failing.clients["dora"], "faults/dear", stream=True)
    assert said.error is not None
    assert said.text == "".join(PIECES[:3])
    receipt = failing.receipt("faults/dear", outcome="failed")
    assert receipt["reason"] == "beyond_allowance"
    assert receipt["charge_nanos"] >= 3 * 10_000_000


@both_ways
@pytest.mark.parametrize("status", REFUSALS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_callers_own_mistake_is_asked_once_and_told(
    failing: Failing, dialect: str, status: int, stream: bool
) -> None:
    name = f"refuses-{dialect}-{status}"
    model = f"faults/{name}-{stream}"
    before = _asked(failing, name)
    said = ask(failing.clients["alice"], model, stream=stream)
    assert isinstance(said.error, BadRequestError)
    assert said.error.type == "invalid_request_error"
    assert _asked(failing, name) == before + 1
    receipt = failing.receipt(model, outcome="failed")
    assert receipt["charge_nanos"] == 0
    assert [attempt["provider"] for attempt in receipt["attempts"]] == [name]


@both_ways
def test_the_next_of_models_answers_when_all_of_the_first_fail(
    failing: Failing, stream: bool
) -> None:
    body: dict[str, Any] = {"models": ["faults/broken", "faults/well"], "route": "fallback"}
    body["provider"] = {"only": ["broken-0", "broken-1", "spare-openai"]}
    said = ask(failing.clients["alice"], "faults/broken", stream=stream, extra_body=body)
    assert said.error is None
    assert (said.model, said.text) == ("faults/well", SPARE_TEXT)
    receipt = failing.place.receipt(said.id)
    assert receipt["requested_model"] == "faults/broken"
    assert receipt["model"] == "faults/well"
    tried = [attempt["provider"] for attempt in receipt["attempts"]]
    assert sorted(tried[:2]) == ["broken-0", "broken-1"]
    assert tried[2:] == ["spare-openai"]


@both_ways
def test_only_so_many_providers_are_asked(failing: Failing, stream: bool) -> None:
    before = _asked(failing, "broken-")
    said = ask(failing.clients["alice"], "faults/broken", stream=stream)
    assert isinstance(said.error, APIStatusError)
    assert _asked(failing, "broken-") == before + int(HASTE["SOLROUTER_ATTEMPTS_MAX"])


def test_providers_are_asked_only_for_so_long(failing: Failing) -> None:
    before = _asked(failing, "slow-")
    said = ask(failing.clients["alice"], "faults/slow", stream=True)
    assert isinstance(said.error, APIStatusError)
    assert said.error.code == "upstream_timeout"
    # Two seconds each, and none begins after the fifth.
    assert _asked(failing, "slow-") - before in (2, 3)


def _asked(failing: Failing, name: str) -> int:
    """How many requests came to the providers of this name."""
    return sum(seen.path.startswith(f"/{name}") for seen in failing.place.upstream.seen)
