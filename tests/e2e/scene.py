"""A served place on either database, where each test has a customer and a provider of its own."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import requests
from flask import Flask
from openai import OpenAI
from sqlalchemy import select, update

from bench.faults.books import Books, Row, cost
from bench.faults.client import Caller
from bench.faults.databases import SQLITE, Databases
from bench.faults.upstream import Upstream
from solrouter import create_app, database
from solrouter.models import LanguageModel, Offer
from solrouter.money import parse_usd
from solrouter.services import keys
from tests import served as serving
from tests.conftest import close, settings
from tests.e2e import fault_matrix
from tests.e2e.place import until
from tests.factories import Person, make_person
from tests.served import Served

CREDIT = "5"
# At $1 and $2 a million tokens, as `fault_matrix.offer` has it.
INPUT_NANOS, OUTPUT_NANOS = 1_000, 2_000
RATES = {"input": INPUT_NANOS * 1_000_000, "output": OUTPUT_NANOS * 1_000_000}
# A busy machine takes its time.
WAIT_S = 60.0
READY_S = 60.0


@dataclass
class Scene:
    """A running server, its books, and the providers' program."""

    served: Served
    app: Flask
    books: Books
    upstream: Upstream
    _numbers: Iterator[int] = field(default_factory=count)

    def offer(self, *, model: str = "", kind: str = "openai", **script: Any) -> str:
        """A new provider that answers so; returns the id of its model, a new one unless named."""
        name = f"p{next(self._numbers)}"
        self.upstream.plays(name, **script)
        model = model or f"endings/{name}"
        sizes = {"context": 200_000, "max_output": 8_000}
        fault_matrix.offer(self.app, self.upstream.origin, model, provider=name, kind=kind, **sizes)
        return model

    def plays(self, model: str, **script: Any) -> None:
        """From now on its first provider answers so; with `times` only so often."""
        self.upstream.plays(self.name_of(model), **script)

    @staticmethod
    def name_of(model: str) -> str:
        """The first provider of a model, as its program knows it."""
        return model.rpartition("/")[2]

    def change_offers(self, model: str, **columns: Any) -> None:
        """Sets columns of a model's offers; to be done before the first request for it."""
        with self.app.app_context():
            known = select(LanguageModel.id).where(LanguageModel.slug == model)
            its = Offer.language_model_id.in_(known)
            statement = update(Offer).where(its).values(**columns)
            database.transact(lambda connection: connection.execute(statement).rowcount)

    def customer(self, credit: str = CREDIT) -> "Customer":
        """Somebody new, with an account, this credit and a key."""
        email = f"c{next(self._numbers)}@example.com"
        person = make_person(self.app, email, credit=credit, plan="unlimited")
        return Customer(self, person, parse_usd(credit))

    def audit(self) -> tuple[int, str]:
        """What `flask ledger audit` says, beside the server."""
        result = self.app.test_cli_runner().invoke(args=["ledger", "audit"])
        return result.exit_code, result.output.strip()


@dataclass(frozen=True)
class Customer:
    """A new account of a scene."""

    scene: Scene
    person: Person
    credit_nanos: int

    @property
    def caller(self) -> Caller:
        """The customer as a program over plain sockets, that may leave."""
        return Caller(self.scene.served.port, self.person.key_text)

    @contextmanager
    def sdk(self, **headers: str) -> Iterator[OpenAI]:
        """The customer as the official client, without retries of its own."""
        with OpenAI(
            base_url=self.scene.served.api,
            api_key=self.person.key_text,
            max_retries=0,
            timeout=WAIT_S,
            default_headers=headers,
        ) as client:
            yield client

    def ask(self, model: str, *, stream: bool, **more: Any) -> fault_matrix.Said:
        """What the official client makes of one answer."""
        with self.sdk() as client:
            return fault_matrix.ask(client, model, stream=stream, **more)

    def with_limited_key(self, limit: str) -> "Customer":
        """The same account, and another key of it that may spend so much."""
        person = self.person
        with self.scene.app.app_context():
            key = keys.create(
                person.account_id,
                user_id=person.user_id,
                name="Limited",
                limit_nanos=parse_usd(limit),
            )
        return replace(self, person=replace(person, key_text=key.text))

    def told(self, completion_id: str) -> Mapping[str, Any]:
        """The receipt as the API tells it."""
        answer = requests.get(
            f"{self.scene.served.api}/generation?id={completion_id}",
            headers=self.person.bearer,
            timeout=WAIT_S,
        )
        assert answer.status_code == 200, answer.text
        receipt: Mapping[str, Any] = answer.json()["data"]
        return receipt

    def receipts(self, wanted: int = 1) -> list[Row]:
        """So many receipts and no more, the oldest first, once nothing of the account runs.

        Proves the books: the balance is what the receipts leave of the credit, each charge is its
        own usage at its price or nothing, no hold is left, and the audit is clean.
        """
        books, account_id = self.scene.books, self.person.account_id
        its = f"account_id = {account_id}"
        until(
            lambda: (
                books.number(f"SELECT count(*) FROM completions WHERE {its}") >= wanted
                and not books.number(f"SELECT count(*) FROM holds WHERE {its}")
            ),
            within_s=WAIT_S,
        )
        rows = books.receipts(its)
        assert len(rows) == wanted
        charged = sum(row.charge_nanos for row in rows)
        assert books.balance(account_id) == (self.credit_nanos - charged, 0)
        for row in rows:
            whole = row.charge_nanos + row.write_off_nanos
            assert whole in (0, cost(row.usage, RATES))
        assert self.scene.audit() == (0, "Every balance equals its ledger.")
        return rows


@contextmanager
def open_scene(kind: str, folder: Path, **more: str) -> Iterator[Scene]:
    """A server with these settings on a fresh database; its log is shown if it fails to start."""
    with Databases(folder) as databases, Upstream.start() as upstream:
        url = databases.fresh(kind)
        environ = settings(url, folder, **more)
        if kind != SQLITE:
            environ["WEB_CONCURRENCY"] = "2"
        app = create_app(environ)
        served = serving.start(environ, ready_s=READY_S)
        try:
            yield Scene(served, app, Books(url), upstream)
        finally:
            served.stop()
            close(app)
