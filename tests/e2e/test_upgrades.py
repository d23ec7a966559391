"""From an earlier version to this one: many machines migrate at once, nothing is lost, and what
does not fit is refused.
"""

import gzip
import json
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

from bench.faults.books import Books
from bench.faults.databases import POSTGRESQL, SERVER, SQLITE, Databases
from solrouter.services import schema
from tests import served as serving
from tests.conftest import require, settings
from tests.e2e.place import until
from tests.served import ROOT, Served

SEEDS = ROOT / "tests" / "data" / "upgrade"
MACHINES = 4
MIGRATED_WITHIN_S = 120
LEASE_S = 3
ServerStarter = Callable[..., Served]


@pytest.fixture(params=[SQLITE, pytest.param(POSTGRESQL, marks=pytest.mark.postgresql)])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without a table."""
    if request.param == SQLITE:
        yield f"sqlite:///{tmp_path / 'new.sqlite3'}"
        return
    require("PostgreSQL", Databases.has_postgresql())
    name = f"solrouter_upgrade_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(SERVER, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        yield f"{SERVER.rpartition('/')[0]}/{name}"
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def load_seed(url: str) -> dict[str, Any]:
    """Fills an empty database with that of the earlier version; what must be found in it."""
    kind = SQLITE if url.startswith("sqlite") else POSTGRESQL
    dump = gzip.decompress((SEEDS / f"0013-{kind}.sql.gz").read_bytes()).decode()
    if kind == SQLITE:
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            connection.executescript(dump)
    else:
        with psycopg.connect(url) as connection:
            connection.execute(dump.encode())
    facts: dict[str, Any] = json.loads((SEEDS / f"0013-{kind}.json").read_text())
    return facts


def command(url: str, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """A command of the operator's, on one of many machines."""
    return subprocess.Popen(
        [sys.executable, "-m", "flask", *arguments],
        cwd=ROOT,
        env={**serving.bare_environment(), **settings(url, folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def migrate_everywhere(url: str, folder: Path) -> list[str]:
    """What each of some machines says that migrate at the same time; all must succeed."""
    machines = [command(url, folder, "db", "upgrade") for _ in range(MACHINES)]
    said = [machine.communicate(timeout=MIGRATED_WITHIN_S)[0] for machine in machines]
    assert [machine.returncode for machine in machines] == [0] * MACHINES, said
    return said


def run(url: str, folder: Path, *arguments: str) -> str:
    """What a command says; it must succeed."""
    process = command(url, folder, *arguments)
    said = process.communicate(timeout=MIGRATED_WITHIN_S)[0]
    assert process.returncode == 0, said
    return said


def test_many_machines_may_make_the_tables_at_once(empty_url: str, tmp_path: Path) -> None:
    said = migrate_everywhere(empty_url, tmp_path)
    assert sum("rows added" in one for one in said) == 1
    books = Books(empty_url)
    assert books.rows("SELECT version_num FROM alembic_version") == [(schema.revisions()[-1],)]
    models = books.number("SELECT count(*) FROM language_models")
    assert models == books.number("SELECT count(DISTINCT slug) FROM language_models") > 100


def test_data_of_an_earlier_version_is_all_there(empty_url: str, tmp_path: Path) -> None:
    facts = load_seed(empty_url)
    migrate_everywhere(empty_url, tmp_path)
    books = Books(empty_url)
    run(empty_url, tmp_path, "ledger", "audit")
    for table in ("completions", "transfers", "holds"):
        assert books.number(f"SELECT count(*) FROM {table}") == facts[table]
    named = settings(empty_url, tmp_path, SOLROUTER_LEASE_S=str(LEASE_S))
    served = serving.start(named)
    try:
        until(lambda: books.running() == 0, within_s=10 * LEASE_S)
        for person in facts["people"].values():
            before, _ = person["balance"]
            assert books.balance(person["account_id"]) == (before, 0)
            key = {"Authorization": f"Bearer {person['key']}"}
            assert requests.get(f"{served.api}/key", headers=key, timeout=10).status_code == 200
        form = {"email": "alice@example.com", "password": person["password"]}
        same_origin = {"Sec-Fetch-Site": "same-origin"}
        page = requests.post(f"{served.url}/login", form, headers=same_origin, timeout=10)
        assert page.url == f"{served.url}/account"
    finally:
        assert served.stop() == 0
    run(empty_url, tmp_path, "ledger", "audit")


@pytest.mark.postgresql
def test_a_table_in_use_is_waited_for_without_stopping_everybody(
    postgresql_url: str, tmp_path: Path
) -> None:
    run(postgresql_url, tmp_path, "db", "downgrade", "0012")
    with psycopg.connect(postgresql_url) as reader, psycopg.connect(postgresql_url) as customer:
        reader.execute("SELECT count(*) FROM accounts")
        upgrade = command(postgresql_url, tmp_path, "db", "upgrade")
        assert upgrade.stdout is not None
        for line in upgrade.stdout:
            if "A table is in use" in line:
                break
        assert upgrade.poll() is None
        # Between its tries nobody waits behind it.
        customer.execute("SET statement_timeout = '1s'")
        customer.execute("SELECT count(*) FROM accounts")
        customer.rollback()
        reader.rollback()
        said = upgrade.communicate(timeout=MIGRATED_WITHIN_S)[0]
    assert upgrade.returncode == 0, said
    assert "The catalogue is up to date" in said


# What a server makes of tables that are not its own.


def stamp(url: str, migration: str, *, oldest_code: str | None = None) -> None:
    """As if a version had migrated that this code does not know."""
    written = [f"UPDATE alembic_version SET version_num = '{migration}'"]
    if oldest_code is not None:
        its = f"WHERE name = '{schema.OLDEST_CODE}'"
        written.append(f"UPDATE versions SET number = {int(oldest_code)} {its}")
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file, file:
            assert [file.execute(statement).rowcount for statement in written] == [1] * len(written)
    else:
        with psycopg.connect(url) as server:
            for statement in written:
                server.execute(statement.encode())


def refusal(url: str, folder: Path) -> str:
    """The log of a server that must not start."""
    with pytest.raises(AssertionError) as said:
        serving.start(settings(url, folder))
    assert "Traceback" not in str(said.value)
    return str(said.value)


def test_newer_tables_that_lack_something_are_refused(database_url: str, tmp_path: Path) -> None:
    stamp(database_url, "9998", oldest_code="9997")
    said = refusal(database_url, tmp_path)
    assert "SolRouter cannot start. The database is at migration 9998" in said
    assert f"flask db downgrade {schema.revisions()[-1]}" in said


def test_newer_tables_that_only_grew_are_served(serve: ServerStarter, sqlite_url: str) -> None:
    """As after a roll-back, or where an old process starts anew while an update runs."""
    stamp(sqlite_url, "9998", oldest_code=schema.revisions()[-1])
    served = serve(sqlite_url)
    assert "newer than this version's" in served.log
    assert served.stop() == 0


def test_a_roll_back_passes_the_release_line(database_url: str, tmp_path: Path) -> None:
    """The former version's `flask db upgrade` leaves newer tables as they are."""
    stamp(database_url, "9998", oldest_code=schema.revisions()[-1])
    said = run(database_url, tmp_path, "db", "upgrade")
    assert "The database is at migration 9998, newer than this version's" in said
    assert "The catalogue is up to date" not in said
    assert Books(database_url).rows("SELECT version_num FROM alembic_version") == [("9998",)]


def test_the_release_line_refuses_newer_tables_that_lack_something(
    database_url: str, tmp_path: Path
) -> None:
    stamp(database_url, "9998", oldest_code="9997")
    upgrade = command(database_url, tmp_path, "db", "upgrade")
    said = upgrade.communicate(timeout=MIGRATED_WITHIN_S)[0]
    assert upgrade.returncode == 1
    assert f"flask db downgrade {schema.revisions()[-1]}" in said
    assert "Traceback" not in said


def test_older_tables_are_refused(database_url: str, tmp_path: Path) -> None:
    run(database_url, tmp_path, "db", "downgrade", "--", "-1")
    said = refusal(database_url, tmp_path)
    assert "Run: flask db upgrade" in said
    assert schema.revisions()[-1] in said
