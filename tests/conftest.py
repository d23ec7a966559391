"""What every test may ask for: an app on a database of its own, the people, the programs it talks
to.

The database is made once by the real migrations and copied for each test. Nothing of ours is faked;
others (upstreams, GitHub) are programs on real sockets.
"""

import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient, FlaskCliRunner

from solrouter import create_app, database, process
from solrouter.errors import DatabaseUnavailable
from solrouter.services import admission, billing
from tests import served as serving
from tests.browser import Browser
from tests.factories import DEFAULT_CREDIT, Person, make_offer, make_person
from tests.fakes.github import FakeGitHub
from tests.fakes.google import FakeGoogle
from tests.fakes.smtp import FakeSmtp
from tests.fakes.stripe import FakeStripe
from tests.fakes.upstream import FakeUpstream

ROOT = Path(__file__).resolve().parent.parent
SECRET_KEY = "a-secret-for-tests-that-is-long-enough-to-use"
POSTGRESQL = os.environ.get(
    "SOLROUTER_TEST_POSTGRESQL", "postgresql://postgres@127.0.0.1:5432/postgres"
)
# Some matrices are too wide for each run: whole on demand, else a selection that covers them.
IS_WHOLE = os.environ.get("SOLROUTER_TEST_MATRIX") == "whole"
missing: dict[str, str] = {}


def settings(database_url: str, folder: Path, **more: str) -> dict[str, str]:
    """The environment of a test's server."""
    return {
        "SOLROUTER_ENV": "test",
        "SECRET_KEY": SECRET_KEY,
        "DATABASE_URL": database_url,
        "SOLROUTER_INSTANCE_PATH": str(folder),
        **more,
    }


def migrate(database_url: str, folder: Path) -> None:
    """Runs `flask db upgrade` on a fresh database."""
    app = create_app(settings(database_url, folder))
    result = app.test_cli_runner().invoke(args=["db", "upgrade"])
    assert result.exit_code == 0, result.output
    close(app)


def close(app: Flask) -> None:
    """Lets go of the app's connections."""
    with app.app_context():
        database.current().close()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy from."""
    folder = tmp_path_factory.mktemp("template")
    path = folder / "template.sqlite3"
    migrate(f"sqlite:///{path}", folder)
    return path


@pytest.fixture(scope="session")
def postgresql_template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a migrated PostgreSQL database to copy from."""
    name = f"solrouter_template_{uuid.uuid4().hex[:12]}"
    with _postgresql_admin() as admin:
        admin.execute(f"CREATE DATABASE {name}")
    migrate(_postgresql_url(name), tmp_path_factory.mktemp("template"))
    yield name
    with _postgresql_admin() as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def sqlite_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An SQLite database for one test."""
    with fresh_database(request, "sqlite", tmp_path) as url:
        yield url


@pytest.fixture
def postgresql_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A PostgreSQL database for one test."""
    with fresh_database(request, "postgresql", tmp_path) as url:
        yield url


@contextmanager
def fresh_database(request: pytest.FixtureRequest, kind: str, folder: Path) -> Iterator[str]:
    """A migrated database of this kind, and nobody else's; a PostgreSQL one goes afterwards."""
    if kind == "sqlite":
        path = folder / "test.sqlite3"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    require("PostgreSQL", _postgresql_answers())
    template = request.getfixturevalue("postgresql_template")
    name = f"solrouter_test_{uuid.uuid4().hex[:12]}"
    with _postgresql_admin() as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    yield _postgresql_url(name)
    with _postgresql_admin() as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database_url(request: pytest.FixtureRequest) -> str:
    """A database for one test, on SQLite and then on PostgreSQL."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def make_app(tmp_path: Path, sqlite_url: str) -> Iterator[Callable[..., Flask]]:
    """Makes apps on this test's database, with further settings."""
    made: list[Flask] = []

    def make(database_url: str = sqlite_url, **more: str) -> Flask:
        app = create_app(settings(database_url, tmp_path, **more))
        app.testing = True
        # As a server does at its start; some tests take the database away first.
        with app.app_context(), suppress(DatabaseUnavailable):
            admission.beat(process.worker_id())
            admission.lead(process.worker_id())
        made.append(app)
        return app

    yield make
    for app in made:
        close(app)


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    """An app on SQLite."""
    return make_app()


@pytest.fixture
def context(app: Flask) -> Iterator[None]:
    """The app's context, for tests that speak to services. The ledger is proven afterwards."""
    with app.app_context():
        yield
        assert list(billing.audit()) == []


@pytest.fixture
def context_on_both(make_app: Callable[..., Flask], database_url: str) -> Iterator[Flask]:
    """An app's context on each database. The ledger is proven afterwards."""
    app = make_app(database_url)
    with app.app_context():
        yield app
        assert list(billing.audit()) == []


@pytest.fixture
def unaudited_on_both(make_app: Callable[..., Flask], database_url: str) -> Iterator[Flask]:
    """The same for tests that put in rows by themselves: the ledger is not proven."""
    app = make_app(database_url)
    with app.app_context():
        yield app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def runner(app: Flask) -> FlaskCliRunner:
    return app.test_cli_runner()


@pytest.fixture
def browser(app: Flask) -> Browser:
    """A client that inspects each page it is given."""
    return Browser(app)


@pytest.fixture
def alice(app: Flask) -> Person:
    """Signed up, verified, with credit and one key."""
    return make_person(app, "alice@example.com", credit=DEFAULT_CREDIT)


@pytest.fixture
def bob(app: Flask) -> Person:
    """Signed up, verified, without credit."""
    return make_person(app, "bob@example.com")


@pytest.fixture
def charlie(app: Flask) -> Person:
    """Has his own account and must never see Alice's."""
    return make_person(app, "charlie@example.com", credit=DEFAULT_CREDIT)


@pytest.fixture
def operator(app: Flask) -> Person:
    """Runs the place."""
    return make_person(app, "olivia@example.com", operator=True)


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    """An upstream provider, as a program on a socket."""
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture
def offered(app: Flask, upstream: FakeUpstream) -> str:
    """The id of a model that the fake upstream serves."""
    return make_offer(app, upstream.url)


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    """GitHub, as a program on a socket."""
    with FakeGitHub() as fake:
        yield fake


@pytest.fixture
def google() -> Iterator[FakeGoogle]:
    """Google, as a program on a socket."""
    with FakeGoogle() as fake:
        yield fake


@pytest.fixture
def stripe() -> Iterator[FakeStripe]:
    """Stripe, as a program on a socket."""
    with FakeStripe() as fake:
        yield fake


@pytest.fixture
def smtp() -> Iterator[FakeSmtp]:
    """A mail server, as a program on a socket."""
    with FakeSmtp() as fake:
        yield fake


@pytest.fixture
def serve(tmp_path: Path, sqlite_url: str) -> Iterator[Callable[..., serving.Served]]:
    """Starts the real server on this test's database, with further settings."""
    running: list[serving.Served] = []

    def start(database_url: str = sqlite_url, **more: str) -> serving.Served:
        served = serving.start(settings(database_url, tmp_path, **more))
        running.append(served)
        return served

    yield start
    for served in running:
        served.stop()


def require(name: str, present: bool) -> None:
    """Skips a test whose third party is absent, and says so at the end; in CI that is an error."""
    if present:
        return
    missing[name] = "not found"
    if os.environ.get("CI"):
        pytest.fail(f"{name} is needed by this test and CI must have it")
    pytest.skip(f"{name} is not on this machine")


def node_is_ready() -> bool:
    """Whether Node.js runs and `make setup-dev` has installed its packages."""
    if shutil.which("node") is None or not (ROOT / ".node" / "node_modules" / "openai").is_dir():
        return False
    return subprocess.run(["node", "--version"], check=False, capture_output=True).returncode == 0


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line about what was absent."""
    if missing:
        terminalreporter.write_line(f"Absent, so some tests were skipped: {', '.join(missing)}")


def _postgresql_admin() -> psycopg.Connection:
    return psycopg.connect(POSTGRESQL, autocommit=True)


def _postgresql_url(name: str) -> str:
    return f"{POSTGRESQL.rpartition('/')[0]}/{name}"


def _postgresql_answers() -> bool:
    try:
        _postgresql_admin().close()
    except psycopg.OperationalError:
        return False
    return True
