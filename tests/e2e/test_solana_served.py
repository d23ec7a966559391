"""Payments on Solana at the real server: found by its own looks, also after a kill at each step."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import update

from solrouter import database
from solrouter.models import Payment
from solrouter.models.columns import db_now
from solrouter.money import parse_usd
from solrouter.services import billing, payments
from solrouter.services.payments import states
from solrouter.services.payments.solana import readiness
from tests import served as serving
from tests.factories import Person, make_person
from tests.fakes.solana import Node
from tests.services.test_solana_payments import asked_units, begun, link_of
from tests.solana import Shop, open_shop

DEADLINE_S = 60.0
NANOS_PER_UNIT = 1_000
TEN = parse_usd("10")


@pytest.fixture
def shop() -> Iterator[Shop]:
    """Of two nodes that must agree from five dollars on, so that each look asks both."""
    with open_shop(nodes=2) as opened:
        yield opened


class Counter:
    """The operator's side of the database, beside the server."""

    def __init__(self, app: Flask, person: Person) -> None:
        self.app = app
        self.person = person

    def begin(self) -> payments.Payment:
        with self.app.app_context():
            readiness.look()
            return begun(self.person)

    def find(self, payment: payments.Payment) -> payments.Payment:
        with self.app.app_context():
            return payments.find(payment.public_id)

    def wait_for(
        self, payment: payments.Payment, what: Callable[[payments.Payment], bool]
    ) -> payments.Payment:
        """The payment, once this is true of it."""
        until_s = time.monotonic() + DEADLINE_S
        while not what(found := self.find(payment)):
            assert time.monotonic() < until_s, f"it is still {found}"
            time.sleep(0.05)
        return found

    def make_due(self) -> None:
        """Lets the time pass for which a dead process has claimed its payments."""
        with self.app.app_context():
            due = update(Payment).values(due_at=db_now())
            database.transact(lambda connection: connection.execute(due).rowcount)

    def paid_units(self) -> int:
        with self.app.app_context():
            assert list(billing.audit()) == []
            return billing.balance(self.person.account_id).paid_nanos // NANOS_PER_UNIT


@pytest.fixture
def more(shop: Shop) -> dict[str, str]:
    return {**shop.settings, "SOLROUTER_SOLANA_AGREE_FROM": "5"}


@pytest.fixture
def counter(make_app: Callable[..., Flask], database_url: str, more: dict[str, str]) -> Counter:
    app = make_app(database_url, **more)
    return Counter(app, make_person(app, "pat@example.com"))


def is_paid(payment: payments.Payment) -> bool:
    return payment.state == states.PAID


def test_the_server_finds_what_is_paid_also_while_it_was_not_running(
    counter: Counter,
    serve: Callable[..., serving.Served],
    shop: Shop,
    database_url: str,
    more: dict[str, str],
) -> None:
    """Rule S12: nothing is kept in memory that a restart would lose."""
    served = serve(database_url, **more)
    first, second = counter.begin(), counter.begin()
    shop.chain.finalizes = False
    customer = shop.customer()
    customer.pay(link_of(first))
    seen = counter.wait_for(first, lambda found: bool(found.details.get("seen")))
    assert seen.received_nanos == 0
    shop.chain.finalize()
    counter.wait_for(first, is_paid)
    served.stop()
    shop.chain.finalizes = True
    customer.pay(link_of(second))
    again = serve(database_url, **more)
    counter.wait_for(second, is_paid)
    assert counter.paid_units() == asked_units(first) + asked_units(second)
    for node in shop.nodes:
        assert node.token not in served.log + again.log


class Killer:
    """Kills a server at the moment when it asks a node for something."""

    def __init__(self, node: Node, method: str) -> None:
        self.pid: int | None = None
        self.has_killed = False
        node.rewrites[method] = self

    def __call__(self, parameters: list[Any], told: Any) -> Any:
        if told and self.pid is not None and not self.has_killed:
            self.has_killed = True
            os.kill(self.pid, signal.SIGKILL)
        return told


# What a look does, in order: all of it is before the one transaction that credits. With both nodes
# well the second is asked whether it says the same.
STEPS = {
    "at the list": ("getSignaturesForAddress", False),
    "at the transaction": ("getTransaction", False),
    "at the second node's word": ("getTransaction", True),
}


@pytest.mark.parametrize(("method", "is_second"), STEPS.values(), ids=STEPS.keys())
def test_a_server_that_is_killed_in_the_middle_of_a_look_credits_once_later(
    counter: Counter,
    serve: Callable[..., serving.Served],
    shop: Shop,
    database_url: str,
    more: dict[str, str],
    method: str,
    is_second: bool,
) -> None:
    served = serve(database_url, **more)
    payment = counter.begin()
    customer = shop.customer()
    which = (counter.find(payment).checks + is_second) % 2
    killer = Killer(shop.nodes[which], method)
    # Until it is killed no look can end well.
    shop.nodes[1 - which].rewrites["getTransaction"] = lambda _, told: (
        told if killer.has_killed or is_second else None
    )
    killer.pid = worker_of(served)
    customer.pay(link_of(payment))
    until_s = time.monotonic() + DEADLINE_S
    while not killer.has_killed:
        counter.make_due()
        assert time.monotonic() < until_s
        time.sleep(0.05)
    served.stop(with_signal=signal.SIGKILL)
    for node in shop.nodes:
        node.rewrites.clear()
    counter.make_due()
    serve(database_url, **more)
    counter.wait_for(payment, is_paid)
    assert counter.paid_units() == asked_units(payment)


def worker_of(served: serving.Served) -> int:
    """The process id of the server's worker."""
    children = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children")
    return int(children.read_text().split()[-1])
