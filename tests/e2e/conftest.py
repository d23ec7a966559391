"""One running server for the end-to-end tests, set up as an operator does it: by the commands.

It is started once for the session. A test that wants other settings starts its own, by `serve`.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import OpenAI

from bench.faults.databases import POSTGRESQL, SQLITE, Databases
from tests import served as serving
from tests.conftest import node_is_ready, require, settings
from tests.e2e import llama
from tests.e2e.fault_matrix import CASES_ON, Case
from tests.e2e.place import (
    LLAMA_MODEL,
    PROVIDER_KEY,
    Place,
    add_tiny_model,
    command,
    make_customer,
    starts_s,
)
from tests.fakes.upstream import FakeUpstream

NODE_VERSION_MIN = (20, 6)


@pytest.fixture(
    scope="session", params=[SQLITE, pytest.param(POSTGRESQL, marks=pytest.mark.postgresql)]
)
def kind(request: pytest.FixtureRequest) -> str:
    """A kind of database, for tests that make one of it: SQLite, then PostgreSQL."""
    if request.param == POSTGRESQL:
        require("PostgreSQL", Databases.has_postgresql())
    return str(request.param)


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Place]:
    """The server that most tests use. At the end its books are proven and its log is read."""
    folder = tmp_path_factory.mktemp("place")
    database = folder / "place.sqlite3"
    shutil.copy(sqlite_template, database)
    served = serving.start(settings(f"sqlite:///{database}", folder))
    starts_s.append(served.ready_s)
    try:
        with FakeUpstream(expected_key=PROVIDER_KEY) as upstream:
            # The server is running already: what commands add, it finds by itself.
            add_tiny_model(served, upstream.url)
            plan = ("--plan", "unlimited", "--credit", "5")
            key = make_customer(served, "alice@example.com", *plan)
            assert re.fullmatch(r"sr_[0-9A-Za-z]{44}", key)
            yield Place(served, upstream, key)
            assert served.process.poll() is None, f"the server has ended by itself:\n{served.log}"
            command(served, "ledger", "audit")
            assert key not in served.log
            assert PROVIDER_KEY not in served.log
    finally:
        served.stop()


@pytest.fixture
def upstream(place: Place) -> Iterator[FakeUpstream]:
    """The provider behind `acme/tiny`, without memory of other tests."""
    place.upstream.reset()
    yield place.upstream
    place.upstream.reset()


@pytest.fixture
def sdk(place: Place) -> Iterator[OpenAI]:
    """The official client, with a good key and without retries of its own."""
    with OpenAI(base_url=place.served.api, api_key=place.key, max_retries=0) as client:
        yield client


@pytest.fixture(scope="session")
def llama_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of llama.cpp's own server, with a model loaded."""
    require("llama.cpp's server (make test-real)", llama.PYTHON.exists())
    with llama.running(tmp_path_factory.mktemp("llama") / "server.log") as url:
        yield url


@pytest.fixture(scope="session")
def llama_model(place: Place, llama_url: str) -> str:
    """The id of that server's model, as an operator offers it."""
    provider = ("--kind", "openai", "--base-url", llama_url)
    command(place.served, "providers", "add", "llama", *provider)
    command(place.served, "models", "add", LLAMA_MODEL, "--provider", "llama", *llama.TERMS)
    return LLAMA_MODEL


@pytest.fixture(scope="session")
def node() -> str:
    """The command that runs Node.js, of a version that the quickstart asks for."""
    version = ".".join(map(str, NODE_VERSION_MIN))
    require(f"Node.js {version} with the packages of `make setup-dev`", _node_is_new_enough())
    return str(shutil.which("node"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out the cases of the fault matrix that are not played on their database."""
    left_out = [item for item in items if not _is_played(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if _is_played(item)]


def _is_played(item: pytest.Item) -> bool:
    params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(
        item, "callspec") else {}  # fmt: skip
    case = params.get("case")
    return not isinstance(case, Case) or case in CASES_ON[params["failing"]]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How long the server took to start; for the eye, since a busy machine is no fault of ours."""
    if starts_s:
        terminalreporter.write_line(f"The server answered {min(starts_s):.1f} s after its start")


def _node_is_new_enough() -> bool:
    if not node_is_ready():
        return False
    said = subprocess.run(["node", "--version"], check=True, capture_output=True, text=True).stdout
    major, minor = re.match(r"v(\d+)\.(\d+)", said).groups()  # type: ignore[union-attr]
    return (int(major), int(minor)) >= NODE_VERSION_MIN
