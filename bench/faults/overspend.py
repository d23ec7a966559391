"""Ten thousand requests against a balance that pays for some of them, and against a rate limit."""

import asyncio
import math
from dataclasses import dataclass
from pathlib import Path

from bench.faults.books import Sampler
from bench.faults.client import Answer, Caller, Crowd
from bench.faults.databases import SQLITE, Databases
from bench.faults.place import LIMITED_PLAN, Customer, Place, Terms, open_place
from bench.faults.report import Report
from bench.faults.upstream import Upstream

ALICE, PROBE, LIMITED = "alice@example.com", "probe@example.com", "limited@example.com"
MAX_TOKENS = 100
PER_MINUTE = 12
STEP_S = 60 / PER_MINUTE
AT_ONCE = 300
IN_FLIGHT_MIN = 256
ALLOWED = {"200", "402 insufficient_balance", "429 balance_in_use"}
PLAIN, EXACT = Terms("plain", {"text": "Hi"}), Terms("exact")


@dataclass(frozen=True)
class Size:
    """How many requests, how many of them the balance pays, how many try the rate limit."""

    requests: int
    affordable: int
    limited: int


LONG = Size(requests=10_000, affordable=3_000, limited=3_000)
SHORT = Size(requests=600, affordable=150, limited=300)


def run(
    report: Report, databases: Databases, kind: str, upstream: Upstream, folder: Path, size: Size
) -> None:
    """Both halves on one server: one worker on SQLite, four on PostgreSQL."""
    workers = 1 if kind == SQLITE else 4
    report.begin(f"overspend, {kind}, {workers} worker{'s' * (workers > 1)}")
    customers = (
        Customer(ALICE, credit="0.000000001"),
        Customer(PROBE),
        Customer(LIMITED, plan=LIMITED_PLAN),
    )
    with open_place(
        databases.fresh(kind),
        folder,
        upstream,
        customers=customers,
        terms=(PLAIN, EXACT),
        requests_per_minute=PER_MINUTE,
        WEB_CONCURRENCY=str(workers),
    ) as place:
        _spend_all(report, place, size)
        _run_into_the_limit(report, place, size)
        status, said = place.audit()
        report.check(status == 0, "the audit is clean", said)


def _spend_all(report: Report, place: Place, size: Size) -> None:
    price = _price(place)
    usd = f"{(price * size.affordable - 1) / 10**9:.9f}"
    assert place.served is not None
    granted = place.served.flask("credits", "grant", ALICE, usd, "--note", "For the check")
    assert granted.returncode == 0, granted.stderr
    account_id = place.account_ids[ALICE]
    before = place.books.balance(account_id)[0]
    assert before == price * size.affordable, (before, price)
    crowd = Crowd()
    with Sampler(place.books) as sampler:
        asyncio.run(crowd.run(_requests(place.caller(ALICE), size.requests), at_once=AT_ONCE))
    report.note(f"{size.requests} requests, {size.affordable} affordable: {crowd.tally}")
    report.check(crowd.peak >= IN_FLIGHT_MIN, "in flight at most", crowd.peak)
    report.equal(crowd.tally.get("200", 0), size.affordable, "exactly the affordable were served")
    others = {name: count for name, count in crowd.tally.items() if name not in ALLOWED}
    report.equal(others, {}, "the others were told 402 or 429, and nothing else")
    report.check(
        sampler.lowest_nanos is not None and sampler.lowest_nanos >= 0,
        "the lowest available balance ever seen",
        f"{sampler.lowest_nanos} nanodollars in {sampler.samples} looks, "
        f"at most {sampler.most_held} requests held",
    )
    rows = place.books.receipts(f"account_id = {account_id}")
    report.equal(len(rows), size.affordable, "receipts")
    charged = sum(row.charge_nanos for row in rows)
    report.equal(charged, price * size.affordable, "nanodollars charged")
    report.equal(place.books.balance(account_id), (0, 0), "posted and held at the end")


def _price(place: Place) -> int:
    """What one request holds; from here on its upstream says that it cost as much."""
    probe = asyncio.run(
        place.caller(PROBE).chat(PLAIN.model, stream=False, max_tokens=MAX_TOKENS)
    )
    assert probe.status == 200, probe.data
    [row] = place.books.receipts()
    prompt, rest = divmod(row.held_nanos - MAX_TOKENS * 2_000, 1_000)
    assert rest == 0
    place.upstream.plays(EXACT.name, text="Hi", usage=[prompt, MAX_TOKENS])
    return row.held_nanos


def _requests(caller: Caller, count: int):  # type: ignore[no-untyped-def]
    for number in range(count):
        yield lambda stream=number % 2 == 0: caller.chat(
            EXACT.model, stream=stream, max_tokens=MAX_TOKENS
        )


def _run_into_the_limit(report: Report, place: Place, size: Size) -> None:
    crowd = Crowd()
    asyncio.run(crowd.run(_requests(place.caller(LIMITED), size.limited), at_once=AT_ONCE))
    admitted = [answer for answer in crowd.answers if answer.status == 200]
    refused = [answer for answer in crowd.answers if answer.code == "requests_per_minute"]
    report.equal(
        len(admitted) + len(refused), size.limited, "with a limit: served, or told of the limit"
    )
    least, most = _admissible(admitted, refused)
    took_s = max(a.ended_s for a in crowd.answers) - min(a.sent_s for a in crowd.answers)
    report.check(
        least <= len(admitted) <= most,
        f"{PER_MINUTE} a minute, {size.limited} tries in {took_s:.1f} s: admitted",
        f"{len(admitted)}, where {least}" + (f" to {most}" if most > least else "") + " are due",
    )
    rows = place.books.receipts(f"account_id = {place.account_ids[LIMITED]}")
    report.equal(len(rows), len(admitted), "receipts under the limit")


def _admissible(admitted: list[Answer], refused: list[Answer]) -> tuple[int, int]:
    """How many a bucket lets in: all of it at once, then one for each step since the first.

    The server's clock is not ours, so that the first and the last try are known by bounds; they
    agree unless a step lies between them.
    """
    if not admitted or not refused:
        return PER_MINUTE, PER_MINUTE
    first_by_s = min(answer.ended_s for answer in admitted)
    first_from_s = min(answer.sent_s for answer in admitted)
    tries = [*admitted, *refused]
    last_from_s = max(answer.sent_s for answer in tries)
    last_by_s = max(answer.ended_s for answer in tries)
    least = math.floor(max(last_from_s - first_by_s, 0) / STEP_S)
    most = math.floor((last_by_s - first_from_s) / STEP_S)
    return PER_MINUTE + least, PER_MINUTE + most
