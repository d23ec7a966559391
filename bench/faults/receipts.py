"""Ten thousand requests through every fault of an upstream: a receipt each, and every sum again."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.faults.books import Books, Row, cost, nanos
from bench.faults.client import Answer, Caller, Crowd
from bench.faults.place import Place, Stage, Terms, open_place, until
from bench.faults.report import Report

ALICE = "alice@example.com"
CREDIT = "1000"
AT_ONCE = 128
SEED = 20_260_101
WORDS = ["word "] * 12
BOOM = {"error": {"message": "boom", "code": 500}}
# Every answer carries it: no receipt may be keyed by what an upstream says.
SAME_ID = {"id": "chatcmpl-always-the-same"}
STATUSES = (400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 529)
# Prices at which hardly a request costs a whole number of nanodollars.
INPUT_USD, OUTPUT_USD = "0.123456789", "9.876543211"
SHORT_DEADLINES = {
    "SOLROUTER_FIRST_TOKEN_S": "2",
    "SOLROUTER_BETWEEN_CHUNKS_S": "2",
    "SOLROUTER_PINGS_S": "2",
    "SOLROUTER_TOTAL_S": "6",
    # A failure after content is free up to here; both sides of that rule are wanted.
    "SOLROUTER_UNRECOVERED_PER_DAY": "0.0005",
    "SOLROUTER_UNRECOVERED_PERCENT": "0",
}
FAULTS: dict[str, dict[str, Any]] = {
    "fine": {"usage": [41, 13]},
    "cached": {"usage": [1004, 77], "cached_tokens": 250, "cache_write_tokens": 100},
    "reasoning": {"reasoning": "let me think about it", "usage": [20, 30]},
    "tools": {"tool_calls": [{"name": "look", "arguments": {"q": "weather"}}], "usage": [30, 9]},
    "filtered": {"finish_reason": "content_filter", "usage": [9, 2]},
    "strange-finish": {"finish_reason": "eos_token", "usage": [9, 2]},
    "every-chunk": {"usage_mode": "every_chunk", "usage": [12, 12]},
    "on-finish": {"usage_mode": "on_finish_chunk", "usage": [12, 12]},
    "no-usage": {"usage_mode": "none"},
    "null-usage": {"usage_mode": "null"},
    "negative-usage": {"usage_mode": "negative"},
    "absurd-usage": {"usage_mode": "absurd"},
    "zero-usage": {"usage": [0, 0]},
    "over-limit": {"usage": [100, 9_000], "ignore_max_tokens": True},
    "cut-before-status": {"cut_before_status": True},
    "cut-at-once": {"cut_after_events": 0},
    "cut-after-role": {"cut_after_events": 1},
    "cut-after-content": {"cut_after_events": 5},
    "cut-mid-event": {"cut_after_events": 5, "cut_mid_event": True},
    "cut-with-fin": {"cut_after_events": 5, "cut_with_fin": True},
    "stall-before": {"stall_before_s": 30},
    "stall-after-headers": {"stall_after_headers_s": 30},
    "stall-in-the-middle": {"stall_after": [5, 30]},
    "slower-than-total": {"stall_between_s": 0.8},
    "garbage": {"garbage": True},
    "garbage-after-content": {"garbage": True, "garbage_after": 5},
    "empty": {"empty": True},
    "error-at-once": {"error_event": [0, BOOM]},
    "error-after-content": {"error_event": [5, BOOM]},
    "200-with-error": {"error_body": BOOM},
    "no-finish": {"no_finish": True},
    "no-done": {"no_done": True, "usage": [12, 12]},
    "not-an-object": {"body": [1, 2, 3]},
    "huge-line": {"huge_line_bytes": 300_000},
    "crlf-and-comments": {"crlf": True, "comments": True, "usage": [12, 12]},
    "split": {"split_bytes": 7, "usage": [12, 12]},
    "close-delimited": {"close_delimited": True, "usage": [12, 12]},
    "stream-unasked": {"force_stream": True, "usage": [12, 12]},
    "whole-though-streamed": {"force_stream": False, "usage": [12, 12]},
    **{f"status-{status}": {"status": status} for status in STATUSES},
}
# They keep a connection for seconds, so there are fewer of them.
SLOW = ("stall-before", "stall-after-headers", "stall-in-the-middle", "slower-than-total")
SLOW_SHARE = 0.02


@dataclass(frozen=True)
class Size:
    """How many requests."""

    requests: int


# Statuses of a request that was not admitted; none of them is due here.
REFUSED = (401, 402, 429, 503)
LONG, SHORT = Size(10_000), Size(160)


def run(report: Report, stage: Stage, size: Size) -> None:
    """All of them mixed, half of them streamed."""
    kind, workers = stage.kind, stage.workers
    report.begin(f"receipts, {kind}, {workers} worker{'s' * (workers > 1)}")
    terms = tuple(
        Terms(name, _script(script), INPUT_USD, OUTPUT_USD) for name, script in FAULTS.items()
    )
    with open_place(stage, terms=terms, more=SHORT_DEADLINES) as place:
        crowd = Crowd()
        asyncio.run(crowd.run(_requests(place.caller(), size.requests), at_once=AT_ONCE))
        settled_s = until(lambda: place.books.running() == 0, within_s=10)
        report.check(settled_s is not None, "holds left pending", place.books.running())
        rows = place.books.receipts()
        _tell(report, crowd, rows)
        refused = sum(answer.status in REFUSED for answer in crowd.answers)
        admitted = size.requests - refused
        report.equal(len(rows), admitted, f"receipts of {admitted} admitted requests")
        _reckon(report, place, rows)
        _compare(report, crowd.answers, {row.id: row for row in rows})
        status, said = place.audit()
        report.check(status == 0, "the audit is clean", said)


def _script(script: dict[str, Any]) -> dict[str, Any]:
    said = {} if "tool_calls" in script else {"pieces": WORDS}
    return {**said, "extra": SAME_ID, **script}


def _requests(caller: Caller, count: int) -> Iterator[Callable[[], Awaitable[Answer]]]:
    """Every fault, streamed and not, in an order that looks like chance and is always the same."""
    chance = random.Random(SEED)
    quick = [name for name in FAULTS if name not in SLOW]
    each = itertools.cycle(itertools.product(quick, (True, False)))
    slow = itertools.cycle(itertools.product(SLOW, (True, False)))
    for _ in range(count):
        name, stream = next(slow if chance.random() < SLOW_SHARE else each)
        yield partial(caller.chat, f"faults/{name}", stream=stream, max_tokens=50)


def _tell(report: Report, crowd: Crowd, rows: list[Row]) -> None:
    report.note(f"{len(crowd.answers)} requests through {len(FAULTS)} faults: {crowd.tally}")
    outcomes = Counter(row.outcome for row in rows)
    sources = Counter(row.usage_source for row in rows)
    beyond = sum(row.reason == "beyond_allowance" for row in rows)
    report.note(f"outcomes {dict(outcomes)}, usage {dict(sources)}, beyond allowance {beyond}")
    strange = [
        answer.outcome
        for answer in crowd.answers
        if answer.fault or answer.status == 500 or answer.status in REFUSED
    ]
    report.equal(dict(Counter(strange)), {}, "answers cut, or refused for a fault of ours")
    unfinished = [
        answer
        for answer in crowd.answers
        if answer.headers.get("content-type", "").startswith("text/event") and not answer.is_done
    ]
    report.equal(len(unfinished), 0, "streams without an end")


def _reckon(report: Report, place: Place, rows: list[Row]) -> None:
    """Charges again from usage × price, and the balance from the charges."""
    differences = [row for row in rows if not _is_right(row, place.books)]
    report.check(
        not differences,
        "receipts that differ from usage × price",
        f"{len(differences)} {[(row.requested_model, row.reason) for row in differences[:5]]}",
    )
    charged = sum(row.charge_nanos for row in rows)
    balance = place.books.balance(place.account_ids[ALICE])
    report.equal(balance, (nanos(CREDIT) - charged, 0), "credit − charges = posted; held")
    unrecovered = sum(row.lost_nanos for row in rows)
    allowed = nanos(SHORT_DEADLINES["SOLROUTER_UNRECOVERED_PER_DAY"])
    written_off = sum(row.write_off_nanos for row in rows)
    report.check(
        unrecovered - written_off <= allowed,
        "nanodollars unrecovered, within the day's allowance",
        f"{unrecovered - written_off} of {allowed}",
    )


def _is_right(row: Row, books: Books) -> bool:
    """What the table of endings says about one receipt."""
    rates = _rates(books)
    due = cost(row.usage, rates[row.sale_card_id])
    if row.outcome == "failed" and row.reason != "beyond_allowance":
        due = 0
    if row.outcome == "interrupted":
        due = 0
    return row.charge_nanos + row.write_off_nanos == due


_cards: dict[Books, dict[int, Any]] = {}


def _rates(books: Books) -> dict[int, Any]:
    if books not in _cards:
        _cards[books] = books.rates()
    return _cards[books]


def _compare(report: Report, answers: list[Answer], rows: dict[str, Row]) -> None:
    """What callers were told against what stands in the books."""
    told = [answer for answer in answers if answer.id]
    missing = [answer for answer in told if answer.id not in rows]
    report.equal(len(missing), 0, "ids that were told and have no receipt")
    charged = [(answer, rows[answer.id]) for answer in told if answer.charge and answer.id in rows]
    wrong = [a for a, row in charged if nanos(str(a.charge)) != row.charge_nanos]
    report.check(not wrong, f"of {len(charged)} costs that were told, wrong ones", len(wrong))
    told_failed = [a for a in answers if a.error or a.status >= 400]
    billed = [
        row
        for answer in told_failed
        if (row := rows.get(answer.id)) is not None
        and row.charge_nanos
        and row.reason != "beyond_allowance"
    ]
    report.equal(len(billed), 0, f"of {len(told_failed)} answers that failed, charged ones")
