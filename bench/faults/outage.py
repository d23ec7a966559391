"""PostgreSQL killed under open streams, and stopped for a while: a cluster of our own."""

import asyncio
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bench.faults.books import nanos
from bench.faults.client import Answer, Caller
from bench.faults.databases import Cluster, migrate, own_cluster
from bench.faults.place import Place, Stage, Terms, open_place, until
from bench.faults.report import Report

OPEN = 20
BETWEEN_S = 0.05
# Some end during the outage, the others after it.
PIECES_BRIEF, PIECES_LONG = 30, 90
STARTS_WITHIN_S = 10.0
OUTAGE_S = 2.0
REFUSED_WITHIN_S = 2.0
HEALS_WITHIN_S = 10.0
PAGES = ("/models", "/v1/models", "/v1/key", "/v1/credits", "/")


@dataclass(frozen=True)
class Size:
    """How often the database is killed."""

    rounds: int


LONG, SHORT = Size(5), Size(1)


def run(report: Report, stage: Stage, size: Size) -> None:
    """Both checks on one server."""
    report.begin("outage")
    pause = {"stall_between_s": BETWEEN_S}
    terms = tuple(
        Terms(name, {"pieces": [" the"] * count, "usage": [20, count], **pause})
        for name, count in (("brief", PIECES_BRIEF), ("long", PIECES_LONG))
    )
    with own_cluster() as cluster:
        migrate(cluster.url, stage.folder)
        with open_place(stage, terms=terms, url=cluster.url) as place:
            for number in range(size.rounds):
                report.begin(f"outage, killed under {OPEN} streams, round {number + 1}")
                _killed(report, place, cluster)
            if size.rounds > 1:
                report.begin(f"outage, restarted at one stroke under {OPEN} streams")
                _restarted(report, place, cluster)
            report.begin("outage, database down")
            _down(report, place, cluster)
            report.begin("outage, told to stop meanwhile")
            _stopped(report, place, cluster)


def _killed(report: Report, place: Place, cluster: Cluster) -> None:
    answers, probes, lost = asyncio.run(_under_streams(place, cluster))
    report.note(f"{lost} of {OPEN} holds were lost with the unflushed log")
    told = Counter(probe.outcome for probe in probes)
    slowest_s = max(probe.took_s for probe in probes)
    report.check(
        set(told) == {"503 database_unavailable"} and slowest_s <= REFUSED_WITHIN_S,
        f"requests during an outage of {OUTAGE_S} s",
        f"{dict(told)}, the slowest after {slowest_s:.2f} s",
    )
    _judge(report, place, answers)


async def _under_streams(place: Place, cluster: Cluster) -> tuple[list[Answer], list[Answer], int]:
    caller = place.caller()
    streams = await _open_streams(caller)
    await asyncio.to_thread(cluster.stop, "immediate")
    down_s = time.monotonic()
    probes = []
    while time.monotonic() - down_s < OUTAGE_S:
        asked = [caller.chat("faults/brief", stream=stream) for stream in (True, False)]
        probes += await asyncio.gather(*asked, caller.send("GET", "/v1/key"))
        await asyncio.sleep(0.05)
    await asyncio.to_thread(cluster.start)
    lost = OPEN - await asyncio.to_thread(place.books.running)
    return list(await asyncio.gather(*streams)), probes, lost


async def _open_streams(caller: Caller) -> list["asyncio.Task[Answer]"]:
    models = ["faults/brief", "faults/long"] * (OPEN // 2)
    seen: list[Answer] = []

    def begun(answer: Answer) -> bool:
        if answer not in seen:
            seen.append(answer)
        return False

    streams = [
        asyncio.create_task(caller.chat(model, stream=True, leave_when=begun)) for model in models
    ]
    by_s = time.monotonic() + STARTS_WITHIN_S
    while len(seen) < OPEN and time.monotonic() < by_s:
        await asyncio.sleep(0.02)
    return streams


def _restarted(report: Report, place: Place, cluster: Cluster) -> None:
    async def under_streams() -> list[Answer]:
        streams = await _open_streams(place.caller())
        await asyncio.to_thread(cluster.restart, "immediate")
        return list(await asyncio.gather(*streams))

    _judge(report, place, asyncio.run(under_streams()))


def _judge(report: Report, place: Place, answers: list[Answer]) -> None:
    """It heals by itself, the streams have ended well, and each is settled as it was told."""
    ids = {answer.id for answer in answers}
    outcomes = Counter(answer.outcome if answer.is_done else "cut" for answer in answers)
    report.equal(dict(outcomes), {"200": OPEN}, "the streams that were open finished")

    def is_settled() -> bool:
        return len({row.id for row in place.books.receipts()} & ids) == len(ids)

    settled_s = until(is_settled, HEALS_WITHIN_S)
    rows = {row.id: row for row in place.books.receipts()}
    report.check(settled_s is not None, "all settled", f"{len(ids & rows.keys())} of {len(ids)}")
    wrong = [
        answer
        for answer in answers
        if answer.id not in rows
        or nanos(answer.charge or "-1") != rows[answer.id].charge_nanos
        or rows[answer.id].outcome != "finished"
    ]
    report.equal(len(wrong), 0, "charged other than they were told")
    _heals(report, place)
    freed_s = until(lambda: place.books.running() == 0, HEALS_WITHIN_S)
    report.check(freed_s is not None, "holds left", place.books.running())
    status, said = place.audit()
    report.check(status == 0, "the audit is clean", said)


def _stopped(report: Report, place: Place, cluster: Cluster) -> None:
    """A server that is told to stop while it owes settlements pays them before it ends."""

    async def finished_in_the_dark() -> list[Answer]:
        streams = await _open_streams(place.caller())
        await asyncio.to_thread(cluster.stop, "immediate")
        return list(await asyncio.gather(*streams))

    answers = asyncio.run(finished_in_the_dark())
    assert place.served is not None
    with ThreadPoolExecutor(1) as other:
        code = other.submit(place.served.stop)
        time.sleep(OUTAGE_S)
        cluster.start()
        report.equal(code.result(), 0, "exit code")
    rows = {row.id: row for row in place.books.receipts()}
    owed = [one for one in answers if one.id not in rows or rows[one.id].outcome != "finished"]
    report.equal(len(owed), 0, f"of {len(answers)} answers, not settled")
    status, said = place.audit()
    report.check(status == 0, "the audit is clean", said)


def _heals(report: Report, place: Place) -> None:
    async def ask() -> Answer:
        return await place.caller().chat("faults/brief", stream=False)

    healed_s = until(lambda: asyncio.run(ask()).status == 200, HEALS_WITHIN_S)
    report.check(healed_s is not None, "it heals by itself", f"{healed_s or 0:.1f} s")


def _down(report: Report, place: Place, cluster: Cluster) -> None:
    caller, stranger = place.caller(), Caller(place.port, "")
    cluster.stop("fast")
    for path in PAGES:
        who = caller if path.startswith("/v1") else stranger
        answer = asyncio.run(who.send("GET", path))
        report.check(
            answer.status == 503 and answer.took_s <= REFUSED_WITHIN_S,
            f"GET {path}",
            f"{answer.outcome or answer.status} after {answer.took_s:.2f} s",
        )
    chat = asyncio.run(caller.chat("faults/brief", stream=True))
    report.equal(chat.outcome, "503 database_unavailable", "POST /v1/chat/completions")
    health = asyncio.run(stranger.send("GET", "/healthz"))
    report.check(health.status == 200, "GET /healthz", health.status)
    ready = asyncio.run(stranger.send("GET", "/readyz"))
    report.check(ready.status == 503, "GET /readyz", ready.status)
    cluster.start()
    _heals(report, place)
    for path in PAGES:
        who = caller if path.startswith("/v1") else stranger
        answer = asyncio.run(who.send("GET", path))
        report.check(answer.status == 200, f"GET {path} afterwards", answer.status)
    status, said = place.audit()
    report.check(status == 0, "the audit is clean", said)
