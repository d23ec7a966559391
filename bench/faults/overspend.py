"""Ten thousand requests against a balance that pays for some of them, and against a rate limit."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial

from bench.faults.books import Sampler
from bench.faults.client import Answer, Caller, Crowd
from bench.faults.place import LIMITED_PLAN, Customer, Place, Stage, Terms, open_place
from bench.faults.report import Report

ALICE, PROBE, LIMITED = "alice@example.com", "probe@example.com", "limited@example.com"
MAX_TOKENS = 100
PER_MINUTE = 12
STEP_S = 60 / PER_MINUTE
# SQLite's clock has milliseconds.
CLOCK_S = 0.01
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
SHORT = Size(requests=320, affordable=60, limited=40)


def run(report: Report, stage: Stage, size: Size) -> None:
    """Both halves on one server: one worker on SQLite, four on PostgreSQL."""
    kind, workers = stage.kind, stage.workers
    machines = f" on each of {stage.machines} machines" if stage.machines > 1 else ""
    report.begin(f"overspend, {kind}, {workers} worker{'s' * (workers > 1)}{machines}")
    customers = (
        Customer(ALICE, credit="0.000000001"),
        Customer(PROBE),
        Customer(LIMITED, plan=LIMITED_PLAN),
    )
    with open_place(
        stage,
        customers=customers,
        terms=(PLAIN, EXACT),
        requests_per_minute=PER_MINUTE,
    ) as place:
        _spend_all(report, place, size)
        _run_into_the_limit(report, place, size)
        status, said = place.audit()
        report.check(status == 0, "the audit is clean", said)


def _spend_all(report: Report, place: Place, size: Size) -> None:
    price = _price(place)
    usd = f"{(price * size.affordable - 1) / 10**9:.9f}"
    granted, said = place.command("credits", "grant", ALICE, usd, "--note", "For the check")
    assert granted == 0, said
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
    probe = asyncio.run(place.caller(PROBE).chat(PLAIN.model, stream=False, max_tokens=MAX_TOKENS))
    assert probe.status == 200, probe.data
    [row] = place.books.receipts()
    prompt, rest = divmod(row.held_nanos - MAX_TOKENS * 2_000, 1_000)
    assert rest == 0
    place.upstream.plays(EXACT.name, text="Hi", usage=[prompt, MAX_TOKENS])
    return row.held_nanos


def _requests(caller: Caller, count: int) -> Iterator[Callable[[], Awaitable[Answer]]]:
    for number in range(count):
        yield partial(caller.chat, EXACT.model, stream=number % 2 == 0, max_tokens=MAX_TOKENS)


def _run_into_the_limit(report: Report, place: Place, size: Size) -> None:
    caller, crowd, began_s = place.caller(LIMITED), Crowd(), time.time()
    asyncio.run(crowd.run(_requests(caller, size.limited - 1), at_once=AT_ONCE))
    # The last try comes alone, so that its time is known closely.
    last_from_s = time.time()
    asyncio.run(crowd.run(_requests(caller, 1), at_once=1))
    last_by_s = time.time()
    admitted = [answer for answer in crowd.answers if answer.status == 200]
    refused = [answer for answer in crowd.answers if answer.code == "requests_per_minute"]
    report.equal(
        len(admitted) + len(refused), size.limited, "with a limit: served, or told of the limit"
    )
    account_id = place.account_ids[LIMITED]
    bucket = f"SELECT tat_us FROM buckets WHERE subject = 'account:{account_id}'"
    # The bucket has moved one step for each that it let in, since the first of them.
    first_s = place.books.number(f"{bucket} AND kind = 'requests'") / 10**6
    first_s -= len(admitted) * STEP_S
    soonest_s = min(answer.took_s for answer in admitted)
    report.check(
        began_s - CLOCK_S <= first_s <= began_s + CLOCK_S + max(a.took_s for a in admitted),
        "the bucket's steps lead back to the first request",
        f"{first_s - began_s:.3f} s after the first was sent, answers from {soonest_s:.3f} s on",
    )
    # All of it at once, then one for each step since.
    least = PER_MINUTE + math.floor((last_from_s - first_s) / STEP_S)
    most = PER_MINUTE + math.floor((last_by_s - first_s) / STEP_S)
    report.check(
        least <= len(admitted) <= most,
        f"{PER_MINUTE} a minute, {size.limited} tries in {last_by_s - began_s:.1f} s: admitted",
        f"{len(admitted)}, where {least}" + (f" or {most}" if most > least else "") + " are due",
    )
    rows = place.books.receipts(f"account_id = {account_id}")
    report.equal(len(rows), len(admitted), "receipts under the limit")
