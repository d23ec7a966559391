"""Processes killed and told to stop while fifty streams are open, again and again."""

import asyncio
import os
import signal
import time
from collections import Counter
from dataclasses import dataclass

from bench.faults.books import Row, nanos
from bench.faults.client import Answer
from bench.faults.place import Place, Stage, Terms, open_place, until
from bench.faults.report import Report

OPEN = 50
# They finish before, at and after the act.
BRIEF = 12
ENDED_MIN = 3
PIECES_BRIEF, PIECES_LONG = 20, 60
BETWEEN_S = 0.05
EXIT_WITHIN_S = 25.0
STARTS_WITHIN_S = 10.0
KILL_WORKER, KILL_SERVER = "kill -9 of a worker", "kill -9 of the server"
STOP_WORKER, STOP_SERVER = "SIGTERM of a worker", "SIGTERM of the server"


@dataclass(frozen=True)
class Size:
    """How often, how long a lease is, and how long a server that stops lets streams go on."""

    rounds: int
    lease_s: int
    drain_s: int


LONG = Size(rounds=3, lease_s=30, drain_s=20)
SHORT = Size(rounds=1, lease_s=3, drain_s=1)


def run(report: Report, stage: Stage, size: Size) -> None:
    """Each act on the same database, so that what one leaves behind meets the next."""
    kind, workers = stage.kind, stage.workers
    pause = {"stall_between_s": BETWEEN_S}
    terms = (
        Terms("brief", {"pieces": [" the"] * PIECES_BRIEF, "usage": [20, PIECES_BRIEF], **pause}),
        # Longer than the drain, so that some are still open at its end.
        Terms("long", {"pieces": [" the"] * _long(size), "usage": [20, 99], **pause}),
    )
    more = {
        "SOLROUTER_LEASE_S": str(size.lease_s),
        "SOLROUTER_DRAIN_S": str(size.drain_s),
    }
    acts = [KILL_WORKER, KILL_SERVER, STOP_SERVER]
    if workers > 1 and size.rounds > 1:
        acts.insert(1, STOP_WORKER)
    with open_place(stage, terms=terms, more=more) as place:
        for number in range(size.rounds):
            for act in acts:
                report.begin(f"kill, {kind}, round {number + 1}, {act}")
                _round(report, place, act, size)


def _long(size: Size) -> int:
    return max(PIECES_LONG, int((size.drain_s + 3) / BETWEEN_S))


def _round(report: Report, place: Place, act: str, size: Size) -> None:
    before = {row.id for row in place.books.receipts()}
    answers, ended = asyncio.run(_under_streams(place, act))
    if act in (KILL_SERVER, STOP_SERVER):
        if act == STOP_SERVER:
            code, took_s = ended
            report.check(code == 0 and took_s <= EXIT_WITHIN_S, "exit code and time",
                         f"{code} after {took_s:.1f} s")  # fmt: skip
        place.start()
    started = [answer for answer in answers if answer.status == 200]
    report.check(len(started) >= OPEN, "streams open", len(started))
    report.note(f"{dict(Counter(_end(answer) for answer in answers))}")
    freed_s = until(lambda: place.books.running() == 0, within_s=2 * size.lease_s + 2)
    report.check(
        freed_s is not None,
        f"nothing held after at most two leases of {size.lease_s} s",
        f"{place.books.running()} held" if freed_s is None else f"{freed_s:.1f} s",
    )
    rows = {row.id: row for row in place.books.receipts() if row.id not in before}
    _judge(report, started, rows, act)
    status, said = place.audit()
    report.check(status == 0, "the audit is clean", said)
    again = asyncio.run(place.caller().chat("faults/brief", stream=False))
    report.equal(again.outcome, "200", "the next request")


async def _under_streams(place: Place, act: str) -> tuple[list[Answer], tuple[int, float]]:
    caller = place.caller()
    seen: list[Answer] = []

    def begun(answer: Answer) -> bool:
        if answer not in seen:
            seen.append(answer)
        return False

    models = ["faults/brief"] * BRIEF + ["faults/long"] * OPEN
    streams = [
        asyncio.create_task(caller.chat(model, stream=True, leave_when=begun)) for model in models
    ]
    by_s = time.monotonic() + STARTS_WITHIN_S
    # All are open, and some of the brief ones have ended.
    while time.monotonic() < by_s:
        await asyncio.sleep(0.01)
        if len(seen) == len(models) and sum(stream.done() for stream in streams) >= ENDED_MIN:
            break
    ended = await asyncio.to_thread(_do, place, act)
    return list(await asyncio.gather(*streams)), ended


def _do(place: Place, act: str) -> tuple[int, float]:
    """Does it; for a server that was told to stop, its exit code and how long it took."""
    began_s = time.monotonic()
    assert place.served is not None
    if act == KILL_SERVER:
        place.kill_all()
    elif act == STOP_SERVER:
        code = place.served.stop(with_signal=signal.SIGTERM)
        return code, time.monotonic() - began_s
    else:
        victim = place.workers()[0]
        os.kill(victim, signal.SIGKILL if act == KILL_WORKER else signal.SIGTERM)
    return 0, 0.0


def _end(answer: Answer) -> str:
    if answer.is_done:
        return "told of an error" if answer.error else "finished"
    return "cut" if answer.status else "refused"


def _judge(report: Report, started: list[Answer], rows: dict[str, Row], act: str) -> None:
    missing = [answer for answer in started if answer.id not in rows]
    report.equal(len(missing), 0, f"of {len(started)} streams, without a receipt")
    finished = [answer for answer in started if answer.is_done and not answer.error]
    lost = [
        answer
        for answer in finished
        if answer.id not in rows or rows[answer.id].charge_nanos != nanos(answer.charge or "0")
    ]
    report.equal(len(lost), 0, f"of {len(finished)} finished, not settled as they were told")
    ours = [row for row in rows.values() if row.outcome in ("interrupted", "failed")]
    report.equal(sum(row.charge_nanos for row in ours), 0, f"charged for {len(ours)} broken ones")
    if act in (STOP_WORKER, STOP_SERVER):
        open_ended = [answer for answer in started if not answer.is_done]
        report.equal(len(open_ended), 0, "streams without a terminal event")
