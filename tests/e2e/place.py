"""What the end-to-end tests share: a running server, a customer of it, the operator's commands."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import requests

from tests.fakes.upstream import FakeUpstream
from tests.served import Served

Found = TypeVar("Found")

DEMO_MODEL = "demo/echo"
TINY_MODEL = "acme/tiny"
LLAMA_MODEL = "huggingface/smollm2-135m-instruct"
PROVIDER_KEY = "acme-provider-key-0123456789"
# Prices at which a request costs no whole number of nanodollars.
INPUT_USD, OUTPUT_USD = "0.123456789", "9.876543211"
WAIT_S = 10.0
NAP_S = 0.02
# How long each server took to start.
starts_s: list[float] = []


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


def browser() -> requests.Session:
    """A browser that stands on a page of the server's own."""
    session = requests.Session()
    session.headers["Sec-Fetch-Site"] = "same-origin"
    return session


def sign_up(served: Served, email: str, visitor: requests.Session) -> str:
    """Signs up by the form, makes a key by the form, and returns the key as the page shows it."""
    form = {"email": email, "password": "correct horse battery staple"}
    account = visitor.post(f"{served.url}/signup", data=form, timeout=WAIT_S)
    assert account.url == f"{served.url}/account"
    page = visitor.post(f"{served.url}/account/keys", data={"name": "laptop"}, timeout=WAIT_S)
    assert page.status_code == 200
    key, *others = set(re.findall(r"\bsr_[0-9A-Za-z]{44}\b", page.text))
    assert others == []
    return key


def add_tiny_model(served: Served, base_url: str) -> None:
    """A provider at this address, and its model `acme/tiny`."""
    provider = ("--kind", "openai", "--base-url", base_url, "--api-key", PROVIDER_KEY)
    command(served, "providers", "add", "acme", *provider)
    prices = ("--input", INPUT_USD, "--output", OUTPUT_USD)
    sizes = ("--context", "100000", "--max-output", "8000")
    offer = ("--provider", "acme", "--upstream", "tiny-1", *prices, *sizes)
    command(served, "models", "add", TINY_MODEL, *offer)
