"""A thousand callers leave, hundreds at a time, and nothing of them is left behind."""

import asyncio
from dataclasses import dataclass
from functools import partial

from bench.faults.client import Answer, Caller, Crowd
from bench.faults.place import Place, Stage, Terms, open_place, until
from bench.faults.report import Report
from bench.soak.gauges import Gauges, Reading, aborts, growth

PIECE = " the"
STALL_S = 600
# A gate that does not open is a fault, and this ends the wait for it.
GATE_S = 30.0
HEARD_WITHIN_S = 10.0
RSS_GROWTH_MAX = 1.10
# Of every kind: a housekeeper's own, a connection that lies in the pool.
SLACK = 4
# Of gevent's own pool, for each worker.
THREADS_POOLED = 10
SETTINGS = {
    # So that each caller hears something, and can tell that it is being served.
    "SOLROUTER_KEEP_ALIVE_S": "1",
    "SOLROUTER_FIRST_BYTE_S": "1",
    "SOLROUTER_FIRST_TOKEN_S": str(STALL_S),
    "SOLROUTER_BETWEEN_CHUNKS_S": str(STALL_S),
}
# Where the upstream falls silent; the last is asked for in one piece.
TERMS = (
    Terms("in-the-middle", {"pieces": [PIECE] * 9, "counting": "content",
                            "stall_after": [3, STALL_S]}),
    Terms("before-the-first-event", {"stall_after_headers_s": STALL_S}),
    Terms("before-the-status", {"stall_before_s": STALL_S}),
    Terms("whole", {"stall_before_s": STALL_S}),
)  # fmt: skip
FINE = Terms("fine", {"pieces": [PIECE] * 9, "usage": [9, 9]})


@dataclass(frozen=True)
class Size:
    """How many leave in all, and how many at one stroke."""

    streams: int
    at_once: int


LONG, SHORT = Size(1_000, 250), Size(200, 100)


class Gate:
    """Opens when all have come: then all leave."""

    def __init__(self, awaited: int) -> None:
        self._awaited = awaited
        self._here: set[int] = set()

    def may_leave(self, answer: Answer) -> bool:
        """Whether everybody is being served, this one included."""
        if answer.data:
            self._here.add(id(answer))
        return len(self._here) >= self._awaited


def run(report: Report, stage: Stage, size: Size) -> None:
    """A first batch warms the server up; what the others leave behind is counted."""
    report.begin(f"aborts, {stage.kind}")
    gauges = Gauges(stage.folder)
    more = {**SETTINGS, **gauges.settings}
    with open_place(stage, terms=(*TERMS, FINE), more=more) as place:
        asyncio.run(_fine(place.caller(), size.at_once))
        first = asyncio.run(_leave(place.caller(), size.at_once))
        before = gauges.at_rest(place)
        answers: list[Answer] = []
        while len(answers) < size.streams:
            answers += asyncio.run(_leave(place.caller(), size.at_once))
        after = gauges.at_rest(place)
        asyncio.run(_fine(place.caller(), 10))
        left = [*first, *answers]
        strange = [a.outcome for a in left if a.status != 200 or a.fault or a.left_s is None]
        report.equal(strange, [], f"callers of {len(left)} who were not served until they left")
        _judge(report, place, len(left))
        judge_rest(report, before, after, slack=SLACK)
        grown = after.rss_mb / before.rss_mb
        report.check(
            grown <= RSS_GROWTH_MAX,
            "resident memory",
            f"{before.rss_mb:.1f} MB before, {after.rss_mb:.1f} MB after",
        )
        status, said = place.audit()
        report.check(status == 0, "the audit is clean", said)


async def _fine(caller: Caller, count: int) -> None:
    crowd = Crowd()
    asked = (partial(caller.chat, FINE.model, stream=bool(n % 2)) for n in range(count))
    await crowd.run(asked, at_once=count)
    assert crowd.tally == {"200": count}, crowd.tally


async def _leave(caller: Caller, count: int) -> list[Answer]:
    gate = Gate(count)
    chosen = [TERMS[n % len(TERMS)] for n in range(count)]
    return await asyncio.gather(
        *(
            caller.chat(
                terms.model,
                stream=terms.name != "whole",
                max_tokens=50,
                leave_when=gate.may_leave,
                leave_after_s=GATE_S,
            )
            for terms in chosen
        )
    )


def _judge(report: Report, place: Place, count: int) -> None:
    """The upstream has heard of each, and each has its receipt."""
    heard_s = until(lambda: aborts(place.upstream.origin) >= count, HEARD_WITHIN_S)
    report.check(heard_s is not None, "upstream calls aborted", aborts(place.upstream.origin))
    rows = place.books.rows("SELECT outcome, count(*) FROM completions GROUP BY outcome")
    outcomes = {str(outcome): int(number) for outcome, number in rows}
    report.equal(outcomes.get("cancelled"), count, "receipts of callers who left")
    report.equal(set(outcomes), {"cancelled", "finished"}, "other outcomes")
    report.equal(place.books.running(), 0, "holds left")


def judge_rest(report: Report, before: Reading, after: Reading, *, slack: int) -> None:
    """Nothing is left behind: what there was at rest is all that there is at rest again."""
    more = growth(before.fds, after.fds)
    report.check(
        all(number <= slack for number in more.values()),
        "descriptors left behind",
        f"{more or 0} ({before.open} before, {after.open} after)",
    )
    # A pool of threads is filled as it is needed, and each thread has two greenlets of its own.
    threads = max(after.threads - before.threads, 0)
    slacks = {
        "threads": THREADS_POOLED * after.workers,
        "greenlets": SLACK + 2 * threads,
        "connections": SLACK,
        "files": SLACK,
    }
    for name, allowed in slacks.items():
        then, now = getattr(before, name), getattr(after, name)
        report.check(now <= then + allowed, f"{name} left behind", f"{then} before, {now} after")
    types = growth(before.types, after.types)
    most = dict(sorted(types.items(), key=lambda one: -one[1])[:5])
    report.note(f"{before.objects} objects before, {after.objects} after; most of it {most}")
