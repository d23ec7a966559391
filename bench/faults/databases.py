"""Databases to examine: fresh ones of both kinds, and a PostgreSQL server of our own to kill."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import psycopg

from solrouter import create_app, database

SQLITE, POSTGRESQL = "sqlite", "postgresql"
SERVER = os.environ.get(
    "SOLROUTER_TEST_POSTGRESQL", "postgresql://postgres@127.0.0.1:5432/postgres"
)
SECRET_KEY = "a-secret-for-fault-tests-that-is-long-enough"
PROGRAMS = "/usr/lib/postgresql/*/bin"


def settings(url: str, folder: Path, **more: str) -> dict[str, str]:
    """The environment of a server on this database."""
    return {
        "SOLROUTER_ENV": "test",
        "SECRET_KEY": SECRET_KEY,
        "DATABASE_URL": url,
        "SOLROUTER_INSTANCE_PATH": str(folder),
        **more,
    }


def migrate(url: str, folder: Path) -> None:
    """Runs `flask db upgrade`."""
    app = create_app(settings(url, folder))
    result = app.test_cli_runner().invoke(args=["db", "upgrade"])
    assert result.exit_code == 0, result.output
    with app.app_context():
        database.current().close()


class Databases:
    """Migrated once for each kind, then copied. Drops what it made at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._templates: dict[str, str] = {}
        self._made: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._made:
            return
        with psycopg.connect(SERVER, autocommit=True) as admin:
            for name in reversed(self._made):
                admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    @staticmethod
    def has_postgresql() -> bool:
        """Whether a PostgreSQL server answers."""
        try:
            psycopg.connect(SERVER, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def fresh(self, kind: str) -> str:
        """The URL of an empty, migrated database."""
        if kind == SQLITE:
            path = self.folder / f"{uuid.uuid4().hex[:12]}.sqlite3"
            shutil.copy(self._template(kind), path)
            return f"sqlite:///{path}"
        template = self._template(kind)
        return self._url(self._create(f"TEMPLATE {template}"))

    def empty(self, how: str = "") -> str:
        """The URL of a PostgreSQL database without a table, made in this way."""
        return self._url(self._create(how))

    def _template(self, kind: str) -> str:
        if kind not in self._templates:
            if kind == SQLITE:
                self._templates[kind] = str(self.folder / "template.sqlite3")
                migrate(f"sqlite:///{self._templates[kind]}", self.folder)
            else:
                self._templates[kind] = self._create()
                migrate(self._url(self._templates[kind]), self.folder)
        return self._templates[kind]

    def _create(self, how: str = "") -> str:
        name = f"faults_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(SERVER, autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name} {how}")
        self._made.append(name)
        return name

    def _url(self, name: str) -> str:
        return f"{SERVER.rpartition('/')[0]}/{name}"


class Cluster:
    """A PostgreSQL server of our own, in a folder of its own, to be stopped in any way."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._data = folder / "data"
        self._log = folder / "log"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._folder = folder

    @property
    def url(self) -> str:
        """Where its one database is."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def make(self) -> None:
        """Makes it. An unflushed commit may be lost for long, so that a kill shows it."""
        self._run("initdb", "-D", str(self._data), "-U", "postgres", "-A", "trust", "--no-sync")
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(
                f"port = {self.port}\nlisten_addresses = '127.0.0.1'\n"
                f"unix_socket_directories = '{self._folder}'\nwal_writer_delay = 10000\n"
            )

    def start(self) -> None:
        """Starts it and waits until it answers."""
        self._run("pg_ctl", "-D", str(self._data), "-l", str(self._log), "-w", "start")

    def stop(self, mode: str = "fast") -> None:
        """Stops it; `immediate` is a crash."""
        self._run("pg_ctl", "-D", str(self._data), "-m", mode, "-w", "stop")

    def restart(self, mode: str) -> None:
        """Stops and starts it in one go."""
        data, log = str(self._data), str(self._log)
        self._run("pg_ctl", "-D", data, "-l", log, "-m", mode, "-w", "restart")

    def _run(self, program: str, *arguments: str) -> None:
        # PostgreSQL refuses to run as root.
        as_postgres = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        command = [*as_postgres, str(self._programs / program), *arguments]
        # The server inherits what it is given, so a pipe would never end.
        subprocess.run(
            command,
            check=True,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def postgresql_programs() -> Path | None:
    """Where initdb and pg_ctl are, if this machine has them."""
    found = sorted(Path("/").glob(PROGRAMS.lstrip("/")))
    if found:
        return found[-1]
    beside = shutil.which("initdb")
    return Path(beside).parent if beside else None


@contextmanager
def own_cluster() -> Iterator[Cluster]:
    """A running cluster, gone at the end."""
    programs = postgresql_programs()
    assert programs is not None, "initdb and pg_ctl are not on this machine"
    folder = Path(tempfile.mkdtemp(prefix="faults-pg-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, pwd.getpwnam("postgres").pw_uid)
        cluster = Cluster(programs, folder)
        cluster.make()
        cluster.start()
        yield cluster
    finally:
        with suppress(subprocess.CalledProcessError):
            cluster.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)
