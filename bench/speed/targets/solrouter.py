"""SolRouter as its Procfile starts it, set up by its operator's commands, on either database."""

import sys
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import psycopg

from bench.faults.books import Books
from bench.faults.databases import POSTGRESQL, SQLITE, Databases, settings
from bench.speed.shapes import Shape
from bench.speed.targets.base import Surroundings, Target
from solrouter import create_app, database
from solrouter.money import parse_usd
from solrouter.services import accounts, admission, keys
from tests.served import ROOT

PLAN, CREDIT_USD = "bench", "100000"
UNLIMITED = ("requests-per-minute", "tokens-per-minute", "concurrency")
TITLES = {SQLITE: "SolRouter on SQLite", POSTGRESQL: "SolRouter on PostgreSQL"}
LOCAL = ("127.0.0.1", "localhost", "::1")


class SolRouter(Target):
    """gunicorn with the repository's own gunicorn.conf.py, in production mode."""

    keeps_books = "yes"

    def __init__(
        self,
        around: Surroundings,
        databases: Databases,
        kind: str,
        *,
        customers: int = 1,
        workers: int = 1,
    ) -> None:
        super().__init__(around)
        self.kind, self.databases = kind, databases
        self.customers, self.workers = customers, workers
        self.name, self.title = f"solrouter-{kind}", TITLES[kind]
        self.settings: dict[str, str] = {}
        self.key_texts: list[str] = []
        self.url = ""

    def missing(self) -> str:
        """SQLite is always there."""
        if self.kind == POSTGRESQL and not Databases.has_postgresql():
            return "no PostgreSQL server answers"
        return ""

    def prepare(self) -> None:
        """A migrated database with customers, a provider, and a model for each shape."""
        self.url = self.databases.fresh(self.kind)
        more = {"SOLROUTER_ENV": "production", "WEB_CONCURRENCY": str(self.workers)}
        self.settings = settings(self.url, self.around.folder, **more)
        self._run(
            "plans", "set", PLAN, *(word for one in UNLIMITED for word in (f"--{one}", "none"))
        )
        upstream = ("--base-url", self.around.upstream_url, "--api-key", "upstream-key")
        self._run("providers", "add", PLAN, "--kind", "openai", *upstream)
        for shape in self.around.shapes:
            prices = ("--input", "1", "--output", "2", "--context", "128000")
            whose = ("--provider", PLAN, "--upstream", shape.model)
            self._run("models", "add", self.model(shape), *whose, *prices, "--max-output", "16000")
        self._add_customers()

    def _run(self, *arguments: str) -> str:
        app = create_app(self.settings)
        result = app.test_cli_runner().invoke(args=list(arguments))
        assert result.exit_code == 0, result.output
        with app.app_context():
            database.current().close()
        return str(result.output)

    def _add_customers(self) -> None:
        """Accounts with a key each, through the services: thousands by commands would take long."""
        app = create_app(self.settings)
        with app.app_context():
            for number in range(self.customers):
                user, _ = accounts.ensure_user(f"bench{number}@example.com", plan=PLAN)
                row = accounts.find_user(user.email)
                assert row is not None
                admission.credit(
                    row.account_id, parse_usd(CREDIT_USD), actor="bench", note="For the bench"
                )
                made = keys.create(row.account_id, user_id=row.user_id, name="bench")
                self.key_texts.append(made.text)
            database.current().close()

    def command(self) -> list[str]:
        """What the Procfile's `web` says."""
        return [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py"), "wsgi:app"]

    def environ(self) -> Mapping[str, str]:
        """Where its database is, and where it listens."""
        where = {"PORT": str(self.port), "SOLROUTER_BIND": "127.0.0.1", "PYTHONPATH": str(ROOT)}
        return {**self.settings, **where}

    def model(self, shape: Shape) -> str:
        """By SolRouter's own catalogue."""
        return f"{PLAN}/{shape.model}"

    def keys(self) -> Sequence[str]:
        """Every customer's."""
        return self.key_texts

    def database_pids(self) -> list[int]:
        """The backends that serve its workers."""
        return backends(self.url) if self.kind == POSTGRESQL else []

    def receipts(self) -> int | None:
        """The completions in its database."""
        return Books(self.url).number("SELECT count(*) FROM completions")

    def audit(self) -> str:
        """What `flask ledger audit` says against it, and holds that nobody ended."""
        app = create_app(self.settings)
        result = app.test_cli_runner().invoke(args=["ledger", "audit"])
        with app.app_context():
            database.current().close()
        if result.exit_code != 0:
            return f"ledger audit: {result.output.strip()[-300:]}"
        running = Books(self.url).running()
        return f"{running} holds were left" if running else ""


def backends(url: str) -> list[int]:
    """The processes of a PostgreSQL server on this machine that serve a database."""
    if urlsplit(url).hostname not in LOCAL:
        return []
    query = (
        "SELECT pid FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with psycopg.connect(url) as connection:
        return [int(row[0]) for row in connection.execute(query).fetchall()]
