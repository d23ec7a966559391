"""One running server for the end-to-end tests, set up as an operator does it: by the commands.

It is started once for the session. A test that wants other settings starts its own, by `serve`.
"""

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
import requests
from openai import OpenAI

from tests import served as serving
from tests.conftest import node_is_ready, require, settings
from tests.fakes.upstream import FakeUpstream
from tests.served import Served

Found = TypeVar("Found")

DEMO_MODEL = "demo/echo"
TINY_MODEL = "acme/tiny"
PROVIDER_KEY = "acme-provider-key-0123456789"
# Prices at which a request costs no whole number of nanodollars.
INPUT_USD, OUTPUT_USD = "0.123456789", "9.876543211"
NODE_VERSION_MIN = (20, 6)
WAIT_S = 10.0
NAP_S = 0.02


@dataclass(frozen=True)
class Place:
    """A running server, a customer's key to it, and the provider behind one of its models."""

    served: Served
    upstream: FakeUpstream
    key: str

    def get(self, path: str, *, key: str | None = None) -> dict[str, Any]:
        """What the API answers to a GET, which must succeed."""
        answer = requests.get(
            f"{self.served.api}{path}",
            headers={"Authorization": f"Bearer {key or self.key}"},
            timeout=WAIT_S,
        )
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def receipt(self, completion_id: str) -> dict[str, Any]:
        """The receipt of a request, once it has been settled."""

        def settled() -> dict[str, Any] | None:
            receipt: dict[str, Any] = self.get(f"/generation?id={completion_id}")["data"]
            return receipt if receipt["status"] == "settled" else None

        return until(settled)


def until(find: Callable[[], Found | None], *, within_s: float = WAIT_S) -> Found:
    """What `find` finds, as soon as it finds something; raises AssertionError at the deadline."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        found = find()
        if found:
            return found
        time.sleep(NAP_S)
    raise AssertionError(f"nothing was found within {within_s} s")


def command(served: Served, *arguments: str) -> str:
    """Runs a command of the operator's, which must succeed; returns its standard output."""
    result = served.flask(*arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


def make_customer(served: Served, email: str, *options: str) -> str:
    """A user with these options, and the text of a key of theirs."""
    command(served, "users", "create", email, *options)
    return command(served, "keys", "create", email, "--name", "For the tests").removesuffix("\n")


def add_tiny_model(served: Served, base_url: str) -> None:
    """A provider at this address, and its model `acme/tiny`."""
    provider = ("--kind", "openai", "--base-url", base_url, "--api-key", PROVIDER_KEY)
    command(served, "providers", "add", "acme", *provider)
    prices = ("--input", INPUT_USD, "--output", OUTPUT_USD)
    sizes = ("--context", "100000", "--max-output", "8000")
    offer = ("--provider", "acme", "--upstream", "tiny-1", *prices, *sizes)
    command(served, "models", "add", TINY_MODEL, *offer)


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Place]:
    """The server that most tests use. At the end its books are proven and its log is read."""
    folder = tmp_path_factory.mktemp("place")
    database = folder / "place.sqlite3"
    shutil.copy(sqlite_template, database)
    served = serving.start(settings(f"sqlite:///{database}", folder))
    try:
        with FakeUpstream(expected_key=PROVIDER_KEY) as upstream:
            # The server is running already: what commands add, it finds by itself.
            add_tiny_model(served, upstream.url)
            plan = ("--plan", "unlimited", "--credit", "5")
            key = make_customer(served, "alice@example.com", *plan)
            assert re.fullmatch(r"sr_[0-9A-Za-z]{44}", key)
            yield Place(served, upstream, key)
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
def node() -> str:
    """The command that runs Node.js, of a version that the quickstart asks for."""
    version = ".".join(map(str, NODE_VERSION_MIN))
    require(f"Node.js {version} with the packages of `make setup-dev`", _node_is_new_enough())
    return str(shutil.which("node"))


def _node_is_new_enough() -> bool:
    if not node_is_ready():
        return False
    said = subprocess.run(["node", "--version"], check=True, capture_output=True, text=True).stdout
    major, minor = re.match(r"v(\d+)\.(\d+)", said).groups()  # type: ignore[union-attr]
    return (int(major), int(minor)) >= NODE_VERSION_MIN
