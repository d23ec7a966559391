"""What the server's processes hold: memory, descriptors, threads, greenlets, connections, files."""

import json
import os
import time
import urllib.request
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from bench.faults.place import Place, until
from bench.soak.inside import sitecustomize as inside

INSIDE = Path(inside.__file__).parent
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TOLD_WITHIN_S = 20.0
REST_WITHIN_S = 20.0
# Settlements flush, connections close, the collector collects.
REST_S = 2.0
MB = 1_048_576


@dataclass(frozen=True)
class Reading:
    """All workers together, at one moment. `files` are what lies in the temporary folder."""

    at_s: float
    workers: int
    rss_mb: float
    fds: Mapping[str, int]
    threads: int
    greenlets: int
    objects: int
    types: Mapping[str, int]
    holds: int
    connections: int
    files: int

    @property
    def open(self) -> int:
        """Descriptors of every kind."""
        return sum(self.fds.values())


class Gauges:
    """Reads a running place. Make `settings` part of the place's own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "told"
        self._temporary = folder / "temporary"
        for path in (self._folder, self._temporary):
            path.mkdir()

    @property
    def settings(self) -> dict[str, str]:
        """What the server needs in its environment, to be read."""
        return {
            "SOAK_FOLDER": str(self._folder),
            "PYTHONPATH": str(INSIDE),
            "TMPDIR": str(self._temporary),
        }

    def read(self, place: Place, number: int = inside.TELL) -> Reading:
        """How it stands now."""
        pids = place.workers()
        told = [self._told(pid, number) for pid in pids]
        return Reading(
            at_s=time.monotonic(),
            workers=len(pids),
            rss_mb=sum(_rss_bytes(pid) for pid in pids) / MB,
            fds=sum((_descriptors(pid) for pid in pids), Counter()),
            threads=sum(len(os.listdir(f"/proc/{pid}/task")) for pid in pids),
            greenlets=sum(one["greenlets"] for one in told),
            objects=sum(one["objects"] for one in told),
            types=sum((Counter(one["types"]) for one in told), Counter()),
            holds=place.books.running(),
            connections=_connections(place, pids),
            files=sum(len(names) for _, _, names in os.walk(self._temporary)),
        )

    def at_rest(self, place: Place) -> Reading:
        """How it stands when nothing runs any more."""
        until(lambda: place.books.running() == 0, within_s=REST_WITHIN_S)
        place.upstream.wait_idle(REST_WITHIN_S)
        time.sleep(REST_S)
        return self.read(place, inside.TELL_COLLECTED)

    def _told(self, pid: int, number: int) -> dict[str, Any]:
        path = self._folder / f"{pid}.json"
        path.unlink(missing_ok=True)
        os.kill(pid, number)
        by_s = time.monotonic() + TOLD_WITHIN_S
        while time.monotonic() < by_s:
            with suppress(FileNotFoundError):
                told: dict[str, Any] = json.loads(path.read_text())
                return told
            time.sleep(0.02)
        raise AssertionError(f"the worker {pid} does not tell what it is made of")


def aborts(origin: str) -> int:
    """How many answers the fake upstream could not finish, since its client left."""
    with urllib.request.urlopen(f"{origin}/_control/requests", timeout=30) as answer:
        return len(json.load(answer)["aborted"])


def forget(origin: str) -> None:
    """Lets the fake upstream forget its scripts and all that it has seen."""
    request = urllib.request.Request(f"{origin}/_control/reset", method="POST")
    urllib.request.urlopen(request, timeout=30).close()


def growth(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """What there is more of."""
    return {kind: n - before.get(kind, 0) for kind, n in after.items() if n > before.get(kind, 0)}


def median(values: Iterable[float]) -> float:
    """The middle one."""
    found = sorted(values)
    return found[len(found) // 2]


def _rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES


def _descriptors(pid: int) -> Counter[str]:
    kinds: Counter[str] = Counter()
    for number in os.listdir(f"/proc/{pid}/fd"):
        # One may be closed before it is looked at.
        with suppress(FileNotFoundError):
            target = os.readlink(f"/proc/{pid}/fd/{number}")
            kind, is_special, name = target.partition(":")
            if not is_special or target.startswith("/"):
                kind = "file"
            kinds[name if kind == "anon_inode" else kind] += 1
    return kinds


def _connections(place: Place, pids: list[int]) -> int:
    """To the database: as PostgreSQL counts them, or the descriptors on SQLite's file."""
    if not place.url.startswith("sqlite"):
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        with psycopg.connect(place.url, autocommit=True) as connection:
            row = connection.execute(query).fetchone()
        # Less the one that asks.
        return (int(row[0]) if row else 1) - 1
    path, found = place.url.removeprefix("sqlite:///"), 0
    for pid in pids:
        for number in os.listdir(f"/proc/{pid}/fd"):
            with suppress(FileNotFoundError):
                found += os.readlink(f"/proc/{pid}/fd/{number}") == path
    return found
