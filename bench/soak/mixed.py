"""Mixed load for as long as one likes, and a look every few seconds at what the server holds."""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.faults.place import Place, Stage, open_place
from bench.faults.report import Report
from bench.soak.aborts import judge_rest
from bench.soak.gauges import Gauges, Reading, median
from bench.soak.load import KINDS, Load, add_spares, silences
from tests.fakes.idle_proxy import IdleProxy

AT_ONCE = 16
RSS_GROWTH_MAX = 1.10
TENTHS = 10
# Connections that lie in a pool until somebody needs them: as many as ever spoke at once.
POOLED = AT_ONCE + 8
PATIENT = {"SOLROUTER_FIRST_TOKEN_S": "800", "SOLROUTER_BETWEEN_CHUNKS_S": "800"}


@dataclass(frozen=True)
class Size:
    """How long, after how long a start that does not count, and how silent an upstream may be.

    The proxy hangs up after `idle_s`, and the keep-alive is set in proportion.
    """

    seconds: float
    warm_up_s: float
    every_s: float
    silent_s: tuple[float, ...]
    idle_s: float
    settings: tuple[tuple[str, str], ...] = ()


# A router of a platform, with our own defaults for one.
LONG = Size(3_600, 300, 5, (55, 600), idle_s=30, settings=(("SOLROUTER_FIRST_BYTE_S", "25"),))
SHORT = Size(
    75,
    20,
    2,
    (5, 20),
    idle_s=3,
    settings=(("SOLROUTER_KEEP_ALIVE_S", "1"), ("SOLROUTER_FIRST_BYTE_S", "2")),
)


@dataclass
class Sampler:
    """Reads the gauges again and again, in a thread of its own."""

    read: Callable[[], Reading]
    every_s: float
    readings: list[Reading] = field(default_factory=list)
    fault: str = ""
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Sampler":
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(self.every_s):
            try:
                self.readings.append(self.read())
            except Exception as error:  # (a sampler that ends in silence would prove nothing)
                self.fault = repr(error)
                return


def run(report: Report, stage: Stage, size: Size) -> None:
    """A start that warms the server up; then at rest, under load, and at rest again."""
    report.begin(f"mixed, {stage.kind}")
    gauges = Gauges(stage.folder)
    silent = silences(*size.silent_s)
    terms = tuple(kind.terms for kind in (*KINDS, *silent))
    more = {**PATIENT, **dict(size.settings), **gauges.settings}
    with (
        open_place(stage, terms=terms, more=more) as place,
        IdleProxy(place.port, idle_s=size.idle_s) as proxy,
    ):
        add_spares(place)
        load = Load(place, proxy.port, silent)
        load.furnish()
        asyncio.run(load.run(size.warm_up_s, AT_ONCE, is_silent=False))
        before = gauges.at_rest(place)
        report.note(f"warm after {sum(load.asked.values())} requests: {_row(before)}")
        began_s = time.monotonic()
        with Sampler(lambda: gauges.read(place), size.every_s) as sampler:
            asyncio.run(load.run(size.seconds, AT_ONCE))
        after = gauges.at_rest(place)
        report.equal(sampler.fault, "", "the gauges could be read")
        _table(report, sampler.readings, began_s)
        report.note(f"{'at rest':>10}  {_row(after)}")
        _judge_answers(report, place, load, proxy)
        _judge_growth(report, sampler.readings)
        judge_rest(report, before, after, slack=POOLED)
        status, said = place.audit()
        report.check(status == 0, "the audit is clean", said)


def _judge_answers(report: Report, place: Place, load: Load, proxy: IdleProxy) -> None:
    report.note(f"{sum(load.asked.values())} requests: {dict(sorted(load.asked.items()))}")
    report.check(not load.wrong, "answers that were not as they must be", load.wrong[:5])
    report.equal(proxy.cuts, 0, "connections that the idle proxy hung up on")
    chats = sum(count for name, count in load.asked.items() if not name.startswith("/"))
    rows = dict(place.books.rows("SELECT outcome, count(*) FROM completions GROUP BY outcome"))
    report.equal(sum(rows.values()), chats, f"receipts of {rows}")
    report.equal(place.books.running(), 0, "holds left")
    twice = [name for name, count in load.chat_ids.items() if count > 1]
    report.equal(twice, [], "ids told twice")


def _judge_growth(report: Report, readings: list[Reading]) -> None:
    """Memory of the first tenth against the last."""
    size = max(len(readings) // TENTHS, 3)
    first = median(reading.rss_mb for reading in readings[:size])
    last = median(reading.rss_mb for reading in readings[-size:])
    report.check(
        last <= first * RSS_GROWTH_MAX,
        "resident memory, first tenth and last",
        f"{first:.1f} MB, {last:.1f} MB ({(last / first - 1) * 100:+.1f} %)",
    )


def _table(report: Report, readings: list[Reading], began_s: float) -> None:
    """The highest of each tenth."""
    names = ("RSS", "sockets", "fds", "threads", "greenlets", "holds", "database", "files")
    report.note(f"{'after':>10}  " + "".join(f"{name:>11}" for name in names))
    size = max(len(readings) // TENTHS, 1)
    for start in range(0, len(readings), size):
        part = readings[start : start + size]
        highest = max(part, key=lambda reading: reading.rss_mb)
        report.note(f"{part[-1].at_s - began_s:>8.0f} s  {_row(highest)}")


def _row(reading: Reading) -> str:
    found = (
        f"{reading.rss_mb:.1f} MB",
        reading.fds.get("socket", 0),
        reading.open,
        reading.threads,
        reading.greenlets,
        reading.holds,
        reading.connections,
        reading.files,
    )
    return "".join(f"{one!s:>11}" for one in found)
