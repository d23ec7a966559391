"""The programs of others, if `make bench-peers` has installed them: LiteLLM's proxy and Portkey."""

import json
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

import psycopg

from bench.faults.databases import SERVER, Databases
from bench.speed.targets.base import PEERS, Surroundings, Target
from bench.speed.targets.solrouter import backends

LITELLM = PEERS / "litellm" / "bin" / "litellm"
PORTKEY = PEERS / "portkey" / "node_modules" / "@portkey-ai" / "gateway" / "build"
BOOKS = Path(__file__).resolve().parent.parent / "peers" / "litellm_books.py"
INSTALL = "not installed (make bench-peers)"
KEY = "sk-bench-0123456789"
# Without one it refuses to start; nobody uses it.
MASTER_KEY = "sk-0b7d1c52f5a84e3f9a6c2d8e4f10b3a7"


class LiteLLM(Target):
    """LiteLLM's proxy with keys and spend rows in PostgreSQL, by its own two extension points.

    Its own virtual keys need an engine that Prisma downloads when it is installed, from neither of
    the registries; `peers/litellm_books.py` stands in and does less than they do.
    """

    name = "litellm"
    title = "LiteLLM proxy + PostgreSQL spend rows"
    keeps_books = "yes"
    health_path = "/health/liveliness"

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self.database = f"bench_litellm_{uuid.uuid4().hex[:12]}"
        self.url = f"{SERVER.rpartition('/')[0]}/{self.database}"

    def missing(self) -> str:
        """It needs a database too."""
        if not LITELLM.exists():
            return INSTALL
        return "" if Databases.has_postgresql() else "no PostgreSQL server answers"

    def prepare(self) -> None:
        """A database with one key in it, and the proxy's settings."""
        with psycopg.connect(SERVER, autocommit=True) as admin:
            admin.execute(f'CREATE DATABASE "{self.database}"')
        shutil.copy(BOOKS, self.around.folder)
        (self.around.folder / "litellm.yaml").write_text(json.dumps(self._settings()))

    def _settings(self) -> dict[str, object]:
        """JSON is YAML."""
        common = {"api_base": self.around.upstream_url, "api_key": "upstream-key"}
        prices = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
        return {
            "model_list": [
                {
                    "model_name": shape.model,
                    "litellm_params": {"model": f"openai/{shape.model}", **common, **prices},
                }
                for shape in self.around.shapes
            ],
            "litellm_settings": {"callbacks": "litellm_books.books", "telemetry": False},
            "general_settings": {"custom_auth": "litellm_books.authenticate"},
        }

    def command(self) -> list[str]:
        """One worker."""
        config = str(self.around.folder / "litellm.yaml")
        where = ("--host", "127.0.0.1", "--port", str(self.port))
        return [str(LITELLM), "--config", config, *where, "--num_workers", "1"]

    def environ(self) -> Mapping[str, str]:
        """No look-ups elsewhere, no chatter, and the books' address."""
        return {
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_LOG": "ERROR",
            "LITELLM_MASTER_KEY": MASTER_KEY,
            "LITELLM_MODE": "PRODUCTION",
            "BENCH_DATABASE_URL": self.url,
            "BENCH_KEY": KEY,
            "PYTHONPATH": str(self.around.folder),
        }

    def keys(self) -> tuple[str, ...]:
        """The one key that its books know."""
        return (KEY,)

    def database_pids(self) -> list[int]:
        """The backends that write its rows."""
        return backends(self.url)

    def receipts(self) -> int | None:
        """Its spend rows."""
        with psycopg.connect(self.url) as connection:
            row = connection.execute("SELECT count(*) FROM spend_rows").fetchone()
        return None if row is None else int(row[0])

    def forget(self) -> None:
        """Drops the database."""
        with psycopg.connect(SERVER, autocommit=True) as admin:
            admin.execute(f'DROP DATABASE IF EXISTS "{self.database}" WITH (FORCE)')


class Portkey(Target):
    """Portkey's gateway."""

    name = "portkey"
    title = "Portkey gateway"
    health_path = "/"

    def missing(self) -> str:
        """It is a Node.js program."""
        return "" if PORTKEY.exists() and shutil.which("node") else INSTALL

    def command(self) -> list[str]:
        """Without its console."""
        script = str(PORTKEY / "start-server.js")
        return [str(shutil.which("node")), script, f"--port={self.port}", "--headless"]

    def environ(self) -> Mapping[str, str]:
        """As one runs a Node.js server."""
        return {"NODE_ENV": "production"}

    def headers(self) -> Mapping[str, str]:
        """Which provider it is to call, and where."""
        return {
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": self.around.upstream_url,
        }
