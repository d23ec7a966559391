"""`flask solana`: whether payments can be taken, and the cases that need a person."""

from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from solders.pubkey import Pubkey

from solrouter.services import billing, payments
from solrouter.services.payments.solana import readiness
from tests.factories import Person, make_person
from tests.fakes.solana import Wallet
from tests.services.test_solana_payments import begun, link_of, looked
from tests.solana import Shop, open_shop


@pytest.fixture
def shop() -> Iterator[Shop]:
    with open_shop(nodes=2) as opened:
        yield opened


@pytest.fixture
def app(make_app: Callable[..., Flask], shop: Shop) -> Flask:
    return make_app(**shop.settings)


@pytest.fixture
def payer(app: Flask) -> Person:
    return make_person(app, "pat@example.com")


def test_check_says_which_nodes_are_believed(app: Flask, shop: Shop) -> None:
    result = app.test_cli_runner().invoke(args=["solana", "check"])
    assert result.exit_code == 0, result.output
    for node in shop.nodes:
        assert f"{node.name}\tbelieved" in result.stdout
    shop.nodes[1].fault = "down"
    shop.nodes[0].rewrites["getGenesisHash"] = lambda *_: "another"
    readiness.forget()
    result = app.test_cli_runner().invoke(args=["solana", "check"])
    assert result.exit_code == 1
    assert "another network" in result.stderr
    assert shop.node.token not in result.output


def test_check_says_what_to_set(make_app: Callable[..., Flask]) -> None:
    result = make_app().test_cli_runner().invoke(args=["solana", "check"])
    assert result.exit_code == 1
    assert "SOLROUTER_SOLANA_WALLET is not set" in result.output


def test_an_operator_finds_and_accepts_what_needs_a_look(
    app: Flask, shop: Shop, payer: Person
) -> None:
    with app.app_context():
        readiness.look()
        payment, other = begun(payer), begun(payer)
        both = [*Wallet.references_of(link_of(payment)), Pubkey.from_string(str(other.order_id))]
        paid = shop.customer().pay(link_of(payment), references=both, units=6_000_000)
        for one in (payment, other):
            looked(one)
    run = app.test_cli_runner()
    listed = run.invoke(args=["solana", "review"])
    assert listed.stdout.count(paid.signature) == 2
    accept = ["solana", "accept", payment.public_id, paid.signature]
    assert "Credited $6.00" in run.invoke(args=accept).output
    again = run.invoke(args=accept)
    assert again.exit_code == 1
    assert "credited already" in again.output
    assert run.invoke(args=["solana", "review"]).stdout.count(paid.signature) == 1
    with app.app_context():
        assert billing.balance(payer.account_id).paid_nanos == 6_000_000_000
        assert payments.find(payment.public_id).problem == ""
        assert list(billing.audit()) == []
