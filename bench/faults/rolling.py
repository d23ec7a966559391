"""A rolling restart of two machines behind nginx, under load with streams open.

What is shorter than the drain ends as ever; what is longer is told of the restart, and costs
nothing; who comes meanwhile is served by the other machine.
"""

import asyncio
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.faults.books import Row, nanos
from bench.faults.client import Answer, Caller, Crowd
from bench.faults.place import Place, Stage, Terms, open_place, until
from bench.faults.report import Report
from tests.served import Served

BETWEEN_S = 0.25
BRIEF_AT_ONCE = 4
OPEN_WITHIN_S = 60.0
# gunicorn kills after 25 s.
EXIT_WITHIN_S = 25.0
STOPPING = "shutting_down"


@dataclass(frozen=True)
class Size:
    """How many streams are open at each restart; how long a server drains, and its lease."""

    streams: int
    drain_s: int
    lease_s: int


LONG = Size(streams=200, drain_s=20, lease_s=30)
SHORT = Size(streams=40, drain_s=5, lease_s=5)


def run(report: Report, stage: Stage, size: Size) -> None:
    """Restarts both machines, one after the other."""
    shorter = int(size.drain_s * 0.4 / BETWEEN_S)
    longer = int((size.drain_s * 2.5 + 5) / BETWEEN_S)
    pause = {"stall_between_s": BETWEEN_S}
    terms = (
        Terms("brief", {"text": "Good day.", "usage": [20, 5]}),
        Terms("shorter", {"pieces": [" the"] * shorter, "usage": [20, shorter], **pause}),
        Terms("longer", {"pieces": [" the"] * longer, "usage": [20, longer], **pause}),
    )
    more = {"SOLROUTER_DRAIN_S": str(size.drain_s), "SOLROUTER_LEASE_S": str(size.lease_s)}
    with open_place(stage, terms=terms, more=more) as place:
        for number in range(stage.machines):
            report.begin(f"rolling restart, machine {number + 1} of {stage.machines}")
            _round(report, place, number, size)
        status, said = place.audit()
        report.check(status == 0, "the audit is clean", said)


def _round(report: Report, place: Place, number: int, size: Size) -> None:
    before = {row.id for row in place.books.receipts()}
    machine = [place.served, *place.others][number]
    assert machine is not None
    streams, brief, ended = asyncio.run(_under_load(place, machine, size))
    code, took_s = ended
    report.check(code == 0 and took_s <= EXIT_WITHIN_S, "exit code and time",
                 f"{code} after {took_s:.1f} s")  # fmt: skip
    until(lambda: place.books.running() == 0, within_s=2 * size.lease_s + 5)
    report.equal(place.books.running(), 0, "holds left")
    rows = {row.id: row for row in place.books.receipts() if row.id not in before}
    _judge_streams(report, streams, rows)
    others = Counter(answer.outcome for answer in brief if answer.outcome != "200")
    report.equal(dict(others), {}, f"of {len(brief)} requests meanwhile, not served")
    slowest_s = max(answer.took_s for answer in brief)
    report.note(f"the slowest of them took {slowest_s:.1f} s")


async def _under_load(
    place: Place, machine: Served, size: Size
) -> tuple[dict[str, list[Answer]], list[Answer], tuple[int, float]]:
    """Opens the streams, restarts the machine among brief requests, and waits for all to end."""
    caller, begun, is_over = place.caller(), set[int](), threading.Event()

    def seen(answer: Answer) -> bool:
        begun.add(id(answer))
        return False

    names = ("shorter", "longer")
    # The long ones first, so that the short ones have most of their time before them.
    tasks = {
        name: [
            asyncio.create_task(caller.chat(f"faults/{name}", stream=True, leave_when=seen))
            for _ in range(size.streams // 2)
        ]
        for name in reversed(names)
    }
    crowd = Crowd()
    load = asyncio.create_task(crowd.run(_endlessly(caller, is_over), at_once=BRIEF_AT_ONCE))
    by_s = time.monotonic() + OPEN_WITHIN_S
    while len(begun) < size.streams // 2 * 2 and time.monotonic() < by_s:
        await asyncio.sleep(0.02)
    ended = await asyncio.to_thread(_restart, place, machine)
    streams = {name: list(await asyncio.gather(*tasks[name])) for name in names}
    is_over.set()
    await load
    return streams, crowd.answers, ended


def _restart(place: Place, machine: Served) -> tuple[int, float]:
    """Stops the machine and starts it again; its exit code and how long it took to stop."""
    began_s = time.monotonic()
    code = machine.stop(with_signal=signal.SIGTERM)
    took_s = time.monotonic() - began_s
    place.restart(machine)
    return code, took_s


def _endlessly(caller: Caller, is_over: threading.Event) -> Iterator[Callable[[], Any]]:
    number = 0
    while not is_over.is_set():
        number += 1
        yield partial(caller.chat, "faults/brief", stream=number % 2 == 0)


def _judge_streams(report: Report, streams: dict[str, list[Answer]], rows: dict[str, Row]) -> None:
    whole = [answer for answer in streams["shorter"] if answer.is_done and not answer.error]
    report.equal(len(whole), len(streams["shorter"]), "shorter than the drain, finished")
    told = [answer for answer in streams["longer"] if answer.code == STOPPING and answer.is_done]
    spared = [answer for answer in streams["longer"] if answer.is_done and not answer.error]
    report.equal(
        len(told) + len(spared), len(streams["longer"]), "longer ones, told of it or elsewhere"
    )
    report.check(len(told) > 0, "longer ones that were told of the restart", len(told))
    missing = [one for one in (*whole, *told, *spared) if one.id not in rows]
    report.equal(len(missing), 0, "streams without a receipt")
    paid = sum(rows[answer.id].charge_nanos for answer in told if answer.id in rows)
    report.equal(paid, 0, f"charged for {len(told)} that were ended")
    wrong = [
        answer for answer in (*whole, *spared)
        if answer.id in rows and rows[answer.id].charge_nanos != nanos(answer.charge or "0")
    ]  # fmt: skip
    report.equal(len(wrong), 0, f"of {len(whole) + len(spared)} finished, not charged as told")
