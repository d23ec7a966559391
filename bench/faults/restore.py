"""A backup taken under load, by the lines of docs/backups.md, restored and audited."""

import asyncio
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.faults.books import Books, Row
from bench.faults.client import Answer, Caller, Crowd
from bench.faults.databases import SQLITE, settings
from bench.faults.place import READY_S, Place, Stage, Terms, open_place, until
from bench.faults.report import Report
from tests import served as serving
from tests.served import ROOT

PAGE = (ROOT / "docs" / "backups.md").read_text()
ENDLESS = 5
AT_ONCE = 24
BRISK = {"SOLROUTER_LEASE_S": "3", "SOLROUTER_DRAIN_S": "1"}
RELEASED_S = 30.0
STARTED_S = 20.0
BRIEF = Terms("brief", {"text": "Good day.", "usage": [20, 5]})
OPEN = Terms("open", {"pieces": [" the"], "endless": True, "stall_between_s": 0.05})


@dataclass(frozen=True)
class Size:
    """How many backups, and how many requests at least around each."""

    backups: int
    requests: int


LONG = Size(backups=5, requests=400)
SHORT = Size(backups=1, requests=60)


def run(report: Report, stage: Stage, size: Size) -> None:
    """Backs up while requests run, then restores each backup and holds it to the receipts."""
    report.begin(f"restore, {stage.kind}")
    files = [stage.folder / f"{stage.kind} {number}.backup" for number in range(size.backups)]
    with open_place(stage, terms=(BRIEF, OPEN)) as place:
        answers = asyncio.run(_under_load(place, files, size))
        served = sum(answer.status == 200 for answer in answers)
        report.check(served >= size.requests * size.backups, "requests served meanwhile", served)
        until(lambda: place.books.running() == 0, within_s=STARTED_S)
        receipts = {row.id: row for row in place.books.receipts()}
        for number, file in enumerate(files):
            report.begin(f"restore, {stage.kind}, backup {number + 1}")
            _restored(report, stage, place, file, receipts)


async def _under_load(place: Place, files: list[Path], size: Size) -> list[Answer]:
    """Takes the backups while streams are open and brief requests come and go."""
    caller, begun = place.caller(), threading.Semaphore(0)
    is_over = threading.Event()

    def leaves(_: Answer) -> bool:
        begun.release()
        return is_over.is_set()

    streams = [
        asyncio.create_task(caller.chat(OPEN.model, stream=True, leave_when=leaves))
        for _ in range(ENDLESS)
    ]
    await asyncio.to_thread(lambda: [begun.acquire(timeout=STARTED_S) for _ in range(ENDLESS)])
    crowd = Crowd()
    load = asyncio.create_task(crowd.run(_endlessly(caller, is_over), at_once=AT_ONCE))
    for number, file in enumerate(files, start=1):
        await asyncio.to_thread(until, partial(_has, crowd, size.requests * number), STARTED_S)
        await asyncio.to_thread(_back_up, place, file)
    is_over.set()
    await asyncio.gather(load, *streams)
    return crowd.answers


def _endlessly(caller: Caller, is_over: threading.Event) -> Iterator[Callable[[], Any]]:
    while not is_over.is_set():
        yield partial(caller.chat, BRIEF.model, stream=False)


def _has(crowd: Crowd, requests: int) -> bool:
    return len(crowd.answers) >= requests


def _back_up(place: Place, file: Path) -> None:
    kind = "sqlite" if place.url.startswith("sqlite") else "postgresql"
    said = _as_written(f"{kind}-backup", place.settings, BACKUP=str(file))
    assert said.returncode == 0, said.stderr


def _restored(
    report: Report, stage: Stage, place: Place, file: Path, receipts: dict[str, Row]
) -> None:
    if stage.kind == SQLITE:
        folder = stage.folder / f"restored from {file.stem}"
        folder.mkdir()
        url = f"sqlite:///{folder / 'solrouter.sqlite3'}"
        environ = settings(url, folder, **BRISK)
        said = _as_written("sqlite-restore", environ, BACKUP=str(file))
    else:
        url = stage.databases.empty()
        environ = settings(url, stage.folder, **BRISK)
        more = {"BACKUP": str(file), "NEW_DATABASE_URL": url}
        said = _as_written("postgresql-restore", place.settings, **more)
    report.check(
        said.returncode == 0 and "Every balance equals its ledger." in said.stderr,
        "restored as written, and the audit is clean",
        said.stderr.strip()[-200:],
    )
    books = Books(url)
    rows = books.receipts()
    differing = [row.id for row in rows if receipts.get(row.id) != row]
    report.equal(len(differing), 0, f"of {len(rows)} receipts, not as they were settled")
    report.check(books.running() >= ENDLESS, "holds open in the backup", books.running())
    _serve_again(report, place, books, environ)


def _serve_again(report: Report, place: Place, books: Books, environ: dict[str, str]) -> None:
    served = serving.start(environ, ready_s=READY_S)
    try:
        freed_s = until(lambda: books.running() == 0, within_s=RELEASED_S)
        report.check(freed_s is not None, "holds released by the server", books.running())
        again = Place(
            environ["DATABASE_URL"], place.folder, place.upstream, environ, place.keys,
            place.account_ids, books, served=served,
        )  # fmt: skip
        answer = asyncio.run(again.caller().chat(BRIEF.model, stream=False))
        report.equal(answer.outcome, "200", "the next request, with a key of the backup")
        charged = sum(row.charge_nanos for row in books.receipts() if row.outcome == "interrupted")
        report.equal(charged, 0, "charged for what was interrupted")
    finally:
        served.stop()
    status, said = again.audit()
    report.check(status == 0, "the audit is clean afterwards", said)


def _as_written(
    name: str, environ: dict[str, str], **more: str
) -> subprocess.CompletedProcess[str]:
    """Runs a block of the page as it stands there."""
    found = re.search(rf"^```sh id={name}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"docs/backups.md has no block {name}"
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euc", found.group(1)],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**serving.bare_environment(), **environ, **more, "PATH": programs},
    )
