"""A server to examine: its database, its customers, and a model for each kind of upstream."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bench.faults.books import Books
from bench.faults.client import Caller
from bench.faults.databases import SQLITE, Databases, settings
from bench.faults.front import Front
from bench.faults.upstream import Upstream
from solrouter import create_app, database
from solrouter.models import Plan
from solrouter.services import startup
from tests import served as serving
from tests.factories import make_offer, make_person
from tests.served import Served

# Words of the server's log that somebody should read.
ALARMING = ("Traceback", "Error:", "unexpected fault", "for good", "WORKER TIMEOUT")
READY_S = 60.0
LIMITED_PLAN = "limited"


@dataclass(frozen=True)
class Customer:
    """An account with a key. `plan` is one of the seeds, or `limited`."""

    email: str
    credit: str = "1000"
    plan: str = "unlimited"


@dataclass(frozen=True)
class Terms:
    """A model whose upstream answers as the script of `name` says."""

    name: str
    script: Mapping[str, Any] = field(default_factory=dict)
    input_usd: str = "1"
    output_usd: str = "2"

    @property
    def model(self) -> str:
        """What callers name."""
        return f"faults/{self.name}"


@dataclass(frozen=True)
class Stage:
    """Where a check plays: which databases, which of the two kinds, which upstream."""

    databases: Databases
    kind: str
    upstream: Upstream
    folder: Path
    workers_max: int = 4
    # How many process groups run, each as a machine of its own; nginx is in front of several.
    machines: int = 1

    @property
    def workers(self) -> int:
        """SQLite has always one."""
        return 1 if self.kind == SQLITE else self.workers_max


@dataclass
class Place:
    """A database, the people in it, and the server that runs on it at the moment."""

    url: str
    folder: Path
    upstream: Upstream
    settings: dict[str, str]
    keys: dict[str, str]
    account_ids: dict[str, int]
    books: Books
    machines: int = 1
    served: Served | None = None
    # The machines beside the first, and nginx in front of all.
    others: list[Served] = field(default_factory=list)
    front: Front | None = None

    def start(self) -> Served:
        """Starts the servers; those before must have ended."""
        self.served = self._started()
        self.others = [self._started() for _ in range(self.machines - 1)]
        if self.others:
            self.front = Front(self.folder, [self.served.port, *(one.port for one in self.others)])
        return self.served

    def restart(self, machine: Served) -> Served:
        """Starts one of several machines again, where it was; it must have ended."""
        again = self._started(machine.port)
        if machine is self.served:
            self.served = again
        else:
            self.others[self.others.index(machine)] = again
        return again

    def _started(self, port: int | None = None) -> Served:
        served = serving.start(self.settings, ready_s=READY_S, port=port)
        # The first worker answers while the others are still on their way.
        wanted = 1 if self.url.startswith("sqlite") else int(self.settings["WEB_CONCURRENCY"])
        ready_s = until(lambda: self._leases(served) == wanted, READY_S)
        assert ready_s is not None, f"{wanted} workers did not start:\n{served.log[-2000:]}"
        return served

    def _leases(self, served: Served) -> int:
        """How many of a server's workers have told the database that they live."""
        names = [str(row[0]) for row in self.books.rows("SELECT id FROM workers")]
        return sum(any(f"-{pid}-" in name for name in names) for pid in _workers_of(served))

    @property
    def port(self) -> int:
        """Where it listens; with several machines, nginx."""
        assert self.served is not None
        return self.served.port if self.front is None else self.front.port

    def caller(self, email: str = "alice@example.com") -> Caller:
        """Somebody who calls as this customer."""
        return Caller(self.port, self.keys[email])

    def audit(self) -> tuple[int, str]:
        """What `flask ledger audit` says."""
        return self.command("ledger", "audit")

    def command(self, *arguments: str) -> tuple[int, str]:
        """Runs a command of the operator's beside the server: its exit code and what it says."""
        app = create_app(self.settings)
        result = app.test_cli_runner().invoke(args=list(arguments))
        with app.app_context():
            database.current().close()
        return result.exit_code, result.output.strip()[-300:]

    def workers(self) -> list[int]:
        """The process ids of the workers of the first server."""
        assert self.served is not None
        return _workers_of(self.served)

    def kill_all(self) -> None:
        """kill −9 for servers and workers, at one stroke as far as that is possible."""
        assert self.served is not None
        running = [one for one in (self.served, *self.others) if one.process.poll() is None]
        for pid in [pid for one in running for pid in (one.process.pid, *_workers_of(one))]:
            os.kill(pid, signal.SIGKILL)
        for one in running:
            one.process.wait()


@contextmanager
def open_place(
    stage: Stage,
    *,
    customers: tuple[Customer, ...] = (Customer("alice@example.com"),),
    terms: tuple[Terms, ...],
    requests_per_minute: int | None = None,
    url: str | None = None,
    more: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Place]:
    """A server with these customers and models; ended in the end."""
    url = url or stage.databases.fresh(stage.kind)
    environ = settings(url, stage.folder, WEB_CONCURRENCY=str(stage.workers), **more)
    upstream = stage.upstream
    keys, account_ids = _furnish(environ, upstream, customers, terms, requests_per_minute)
    for one in terms:
        upstream.plays(one.name, **one.script)
    books = Books(url)
    place = Place(url, stage.folder, upstream, environ, keys, account_ids, books, stage.machines)
    place.start()
    try:
        yield place
    finally:
        assert place.served is not None
        if place.front is not None:
            place.front.stop()
        for served in (place.served, *place.others):
            if served.process.poll() not in (None, 0):
                sys.stderr.write("       a server had ended by itself:\n" + served.log[-3000:])
            for line in _faults_told(served.log):
                sys.stderr.write(f"       the server's log: {line}\n")
        place.kill_all()


def _furnish(
    environ: Mapping[str, str],
    upstream: Upstream,
    customers: tuple[Customer, ...],
    terms: tuple[Terms, ...],
    requests_per_minute: int | None,
) -> tuple[dict[str, str], dict[str, int]]:
    """Sets it up through SolRouter's own services, before the server runs."""
    app = create_app(environ)
    plan = {"slug": LIMITED_PLAN, "name": "Limited", "requests_per_minute": requests_per_minute}
    with app.app_context():
        statement = Plan.__table__.insert().values(**plan)  # type: ignore[attr-defined]
        database.transact(lambda connection: connection.execute(statement).rowcount)
    people = [make_person(app, one.email, credit=one.credit, plan=one.plan) for one in customers]
    for one in terms:
        make_offer(
            app,
            upstream.url(one.name),
            model=one.model,
            provider=one.name,
            input_usd=one.input_usd,
            output_usd=one.output_usd,
        )
    with app.app_context():
        startup.begin()
        database.current().close()
    keys = {person.email: person.key_text for person in people}
    return keys, {person.email: person.account_id for person in people}


def _workers_of(served: Served) -> list[int]:
    pid = served.process.pid
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _faults_told(log: str) -> list[str]:
    """The last lines of the log that no check should bring about."""
    return [line for line in log.splitlines() if any(word in line for word in ALARMING)][-8:]


def until(holds: Callable[[], bool], within_s: float) -> float | None:
    """Waits until it holds and says after how many seconds; None when it never did."""
    began_s = time.monotonic()
    while time.monotonic() - began_s < within_s:
        if holds():
            return time.monotonic() - began_s
        time.sleep(0.1)
    return None
