"""One run: all programs are set up, started and measured in turns, and their books are read."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.faults.databases import POSTGRESQL, SQLITE, Databases
from bench.speed import machine, page
from bench.speed.crowd import Crowd
from bench.speed.measuring import Sample, measure, said, say
from bench.speed.scenarios import GAP, Scenario
from bench.speed.table import medians
from bench.speed.targets.bare import Direct, Floor, Nginx
from bench.speed.targets.base import Surroundings, Target
from bench.speed.targets.peers import LiteLLM, Portkey
from bench.speed.targets.solrouter import SolRouter
from tests.served import ROOT

FORMAT = 1
# Before the first measurement: so many questions, by so many callers, once each.
WARMED, CALLERS = 2, 16
NAMES = (
    "direct",
    "nginx",
    "floor",
    "solrouter-sqlite",
    "solrouter-postgresql",
    "portkey",
    "litellm",
)


@contextmanager
def upstream(core: int) -> Iterator[tuple[int, int]]:
    """Our provider on this core: its port and its process."""
    with machine.on_cores({core}):
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.speed.upstream"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    assert process.stdin is not None and process.stdout is not None
    try:
        yield int(process.stdout.readline()), process.pid
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def targets(
    around: Surroundings, databases: Databases, names: Sequence[str], customers: int
) -> tuple[list[Target], dict[str, str]]:
    """Those that can run here, and why the others cannot."""

    def ours(kind: str) -> Target:
        folder = around.folder / kind
        folder.mkdir()
        own = Surroundings(around.upstream_port, folder, around.shapes, around.core)
        return SolRouter(own, databases, kind, customers=customers)

    makers: dict[str, Callable[[], Target]] = {
        "direct": lambda: Direct(around),
        "nginx": lambda: Nginx(around),
        "floor": lambda: Floor(around),
        "solrouter-sqlite": lambda: ours(SQLITE),
        "solrouter-postgresql": lambda: ours(POSTGRESQL),
        "portkey": lambda: Portkey(around),
        "litellm": lambda: LiteLLM(around),
    }
    wanted = [makers[name]() for name in names]
    missing = {target.name: reason for target in wanted if (reason := target.missing())}
    return [target for target in wanted if target.name not in missing], missing


class Run:
    """Collects the figures of some targets."""

    def __init__(self, found: Sequence[Target], scenarios: Sequence[Scenario], upstream_pid: int):
        self.targets, self.scenarios, self.upstream_pid = list(found), scenarios, upstream_pid
        self.samples: list[Sample] = []
        self.starts: dict[str, list[tuple[float, float]]] = {one.name: [] for one in found}
        self.warmed: dict[str, Counter[str]] = {one.name: Counter() for one in found}
        self.is_database_moved = True

    def rounds(self, count: int) -> None:
        """Every round starts every program anew, and measures each in every scenario."""
        for target in self.targets:
            target.prepare()
        for number in range(1, count + 1):
            self._round(number)

    def _round(self, number: int) -> None:
        try:
            for target in self.targets:
                ready_s = target.start()
                fresh_mb = machine.rss_mb(target.pids())
                self.starts[target.name].append((round(ready_s, 2), round(fresh_mb, 1)))
                self._warm(target)
                say(f"round {number}  {target.name} is ready after {ready_s:.2f} s")
            for scenario in self.scenarios:
                if number <= scenario.most_rounds:
                    self._measure_all(scenario, number)
        finally:
            for target in self.targets:
                target.stop()

    def _warm(self, target: Target) -> None:
        """The first requests import and compile what is needed; they stand in the books too."""
        for scenario in self.scenarios[:WARMED]:
            load = replace(scenario.load(target), at_once=CALLERS, once=True, probe=b"")
            outcome = Crowd(load, target.port).run()
            self.warmed[target.name] += Counter(right=outcome.right, errors=outcome.faults.total())

    def _measure_all(self, scenario: Scenario, number: int) -> None:
        # Nobody is always the first or always the last.
        turn = number % len(self.targets)
        for target in self.targets[turn:] + self.targets[:turn]:
            if scenario.name == GAP and target.name == "direct":
                continue
            pids = target.database_pids()
            self.is_database_moved &= machine.move(pids, max(machine.cores()))
            sample = measure(target, scenario, self.upstream_pid, number)
            self.samples.append(sample)
            say(said(sample))

    def facts(self) -> list[dict[str, Any]]:
        """What is known of each target beside its samples."""
        found = medians(
            {"target": name, "scenario": "start", "ready_s": ready_s, "fresh_mb": fresh_mb}
            for name, starts in self.starts.items()
            for ready_s, fresh_mb in starts
        )
        return [
            {
                "name": target.name,
                "title": target.title,
                "keeps_books": target.keeps_books,
                **found.get(target.name, {}).get("start", {}),
                "books": self._books(target),
            }
            for target in self.targets
        ]

    def _books(self, target: Target) -> str:
        """Whether each right answer stands in the books; a failed one may or may not."""
        receipts = target.receipts()
        if receipts is None:
            return ""
        own: list[Mapping[str, Any]] = [self.warmed[target.name]]
        own += (sample for sample in self.samples if sample["target"] == target.name)
        right = sum(sample["right"] for sample in own)
        most = right + sum(sample["errors"] for sample in own)
        wrong = target.audit()
        what = f"{receipts} receipts for {right} right answers"
        if not isinstance(target, SolRouter):
            return what
        if wrong or not right <= receipts <= most:
            return f"WRONG: {what}. {wrong}".strip()
        return f"{what}, the audit found nothing"


def result_of(run: Run, missing: dict[str, str], *, size: str, rounds: int) -> dict[str, Any]:
    """All that a run has found, as JSON has it."""
    return {
        "format": FORMAT,
        "made_at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "size": size,
        "rounds": rounds,
        "machine": page.surroundings(),
        "is_database_moved": run.is_database_moved,
        "targets": run.facts(),
        "missing": missing,
        "samples": run.samples,
        "medians": medians(run.samples),
        "growth": [],
    }


def clean(found: Sequence[Target]) -> None:
    """Drops what is not ours to keep."""
    for target in found:
        if isinstance(target, LiteLLM):
            target.forget()


def scratch(folder: Path) -> Path:
    """Where the programs write; nginx needs it to be readable by others."""
    folder.chmod(0o755)
    return folder
