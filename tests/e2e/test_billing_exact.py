"""Requests through a provider that an operator added are billed to the nanodollar."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from tests.e2e.place import TINY_MODEL, Place, command
from tests.fakes.upstream import FakeUpstream
from tests.served import Served

HELLO: Any = [{"role": "user", "content": "Hello!"}]
# The provider counts 1004 tokens in, 250 of them from its cache, and 77 out. No price was given for
# cached input, so it costs as all input does. In nanodollars, at 123,456,789 and 9,876,543,211 a
# million: 123,950.616… + 760,493.827… = 884,444.443… Rounding each part first would give one more.
USAGE, CACHED = (1004, 77), 250
CHARGE = "0.000884444"


def available(place: Place) -> Decimal:
    """What the account can spend now, exactly."""
    credits_now = place.get("/credits")["data"]
    assert credits_now["held"] == "0"
    assert credits_now["available"] == credits_now["balance"]
    return Decimal(credits_now["available"])


def ask(sdk: OpenAI, model: str, *, stream: bool) -> tuple[str, dict[str, Any]]:
    """The id and the `usage` of one answer."""
    if not stream:
        whole = sdk.chat.completions.create(model=model, messages=HELLO)
        assert whole.usage is not None
        return whole.id, whole.usage.to_dict()
    with sdk.chat.completions.create(model=model, messages=HELLO, stream=True) as chunks:
        *_, last = chunks
    assert last.usage is not None
    return last.id, last.usage.to_dict()


def offer(place: Place, model: str, *prices: str) -> None:
    """Offers a model of the provider at these prices."""
    names = ("--provider", "acme", "--upstream", "tiny-1", "--context", "100000")
    command(place.served, "models", "add", model, *names, *prices)


@pytest.fixture
def database(place: Place) -> Iterator[sqlite3.Connection]:
    """The server's database, to look into."""
    with closing(sqlite3.connect(database_path(place.served))) as connection:
        yield connection


def database_path(served: Served) -> str:
    """The file behind the server."""
    return served.environ["DATABASE_URL"].removeprefix("sqlite:///")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_the_charge_is_exact_wherever_it_is_shown(
    sdk: OpenAI, place: Place, upstream: FakeUpstream, *, stream: bool
) -> None:
    upstream.answers("Good day.", usage=USAGE, cached_tokens=CACHED)
    before = available(place)
    completion_id, usage = ask(sdk, TINY_MODEL, stream=stream)

    assert (usage["prompt_tokens"], usage["completion_tokens"]) == USAGE
    assert usage["total_tokens"] == sum(USAGE)
    assert usage["prompt_tokens_details"]["cached_tokens"] == CACHED
    assert Decimal(str(usage["cost"])) == Decimal(CHARGE)
    assert usage["cost_details"]["charge"] == CHARGE

    receipt = place.receipt(completion_id)
    assert (receipt["charge"], receipt["written_off"]) == (CHARGE, "0")
    assert Decimal(str(receipt["total_cost"])) == Decimal(CHARGE)
    classes = {name: count for name, count in receipt["usage_classes"].items() if count}
    assert classes == {"input": 754, "cache_read": 250, "output": 77}
    assert receipt["usage_source"] == "upstream"
    assert receipt["price"]["rates"] == {"input": 123_456_789, "output": 9_876_543_211}
    assert (receipt["provider_name"], receipt["outcome"]) == ("acme", "finished")

    assert before - available(place) == Decimal(CHARGE)


def test_the_caller_pays_the_sale_price_and_the_cost_is_kept(
    sdk: OpenAI, place: Place, upstream: FakeUpstream, database: sqlite3.Connection
) -> None:
    upstream.answers("Good day.", usage=(1_000_000, 0))
    sale, cost = ("--input", "0.3", "--output", "1"), ("--cost-input", "0.2", "--cost-output", "1")
    offer(place, "acme/resold", *sale, *cost)
    completion_id, _ = ask(sdk, "acme/resold", stream=False)
    row = "SELECT charge_nanos, upstream_cost_nanos FROM completions ORDER BY id DESC LIMIT 1"
    assert place.receipt(completion_id)["charge"] == "0.3"
    assert database.execute(row).fetchone() == (300_000_000, 200_000_000)


def test_a_new_price_holds_from_the_next_request_on(
    sdk: OpenAI, place: Place, upstream: FakeUpstream
) -> None:
    upstream.answers("Good day.", usage=(1_000, 0))
    offer(place, "acme/repriced", "--input", "1", "--output", "1")
    old, _ = ask(sdk, "acme/repriced", stream=False)
    offer(place, "acme/repriced", "--input", "1.5", "--output", "1")
    new, _ = ask(sdk, "acme/repriced", stream=False)
    assert [place.receipt(old)["charge"], place.receipt(new)["charge"]] == ["0.001", "0.0015"]


def test_the_audit_finds_the_books_in_order(sdk: OpenAI, place: Place) -> None:
    ask(sdk, "demo/echo", stream=False)
    audit = place.served.flask("ledger", "audit")
    assert (audit.returncode, audit.stdout) == (0, "")
    assert audit.stderr == "Every balance equals its ledger.\n"


def test_the_audit_names_a_balance_that_somebody_changed(
    place: Place, database: sqlite3.Connection, tmp_path: Path
) -> None:
    """In a copy of the database, so that the server keeps its own in order."""
    forged = tmp_path / "forged.sqlite3"
    with closing(sqlite3.connect(forged)) as copy:
        database.backup(copy)
        oldest = "(SELECT min(id) FROM accounts)"
        forge = f"UPDATE accounts SET granted_nanos = granted_nanos + 1 WHERE id = {oldest}"
        [[public_id, nanos]] = copy.execute(
            f"{forge} RETURNING public_id, granted_nanos"
        ).fetchall()
        copy.commit()
    environ = {**place.served.environ, "DATABASE_URL": f"sqlite:///{forged}"}
    audit = replace(place.served, environ=environ).flask("ledger", "audit")
    assert audit.returncode == 1
    assert audit.stdout == (
        f"{public_id}: granted balance is {nanos} nanodollars, its ledger says {nanos - 1}\n"
        f"{public_id}: {nanos} nanodollars are posted, the ledger's sums by day say {nanos - 1}\n"
    )
