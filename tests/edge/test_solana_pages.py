"""The page of a payment in USDC: what it asks for, what it says at each stage, when it rests."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from urllib.parse import quote
from xml.etree.ElementTree import Element

import pytest
from flask import Flask
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from sqlalchemy import update

from solrouter import clock, database
from solrouter.blueprints import qr_codes
from solrouter.models import Payment
from solrouter.money import parse_usd
from solrouter.services import payments
from solrouter.services.payments.solana import readiness
from tests.browser import Browser, Page
from tests.edge.conftest import visitor_of
from tests.factories import Person, make_person
from tests.fakes.solana import Wallet
from tests.fakes.solana.wallet import TransferRequest
from tests.solana import Shop, open_shop

HTMX = {"HX-Request": "true"}


@pytest.fixture
def shop() -> Iterator[Shop]:
    with open_shop() as opened:
        yield opened


class Desk:
    """Alice before her payment's page."""

    def __init__(self, app: Flask, shop: Shop, person: Person) -> None:
        self.app = app
        self.shop = shop
        self.browser = Browser(app)
        self.browser.client = visitor_of(app)
        person.sign_in(self.browser.client)
        self.payment = begin(app, person)
        self.path = f"/account/payments/{self.payment.public_id}/solana"
        self.customer = shop.customer()

    def page(self) -> Page:
        return self.browser.get(self.path)

    def look(self) -> Page:
        """The page after a look at the chain."""
        with self.app.app_context():
            self.payment = payments.check(payments.find(self.payment.public_id))
        return self.page()

    @property
    def link(self) -> str:
        return link_of(self.page())


def begin(app: Flask, person: Person) -> payments.Payment:
    with app.app_context():
        readiness.look()
        wish = payments.Wish(
            account_id=person.account_id,
            user_id=person.user_id,
            provider="solana",
            method="usdc",
            amount_nanos=parse_usd("10"),
        )
        return payments.begin(wish).payment


def link_of(page: Page) -> str:
    (link,) = [a.get("href", "") for a in page.all("a") if a.get("href", "").startswith("solana:")]
    return link


def steps_done(page: Page) -> int:
    return sum("is-done" in step.get("class", "") for step in page.by_id("payment-steps"))


def polls(page: Page) -> Element:
    return page.by_id("look-again")


@pytest.fixture
def desk(make_app: Callable[..., Flask], shop: Shop) -> Desk:
    app = make_app(**shop.settings)
    return Desk(app, shop, make_person(app, "alice@example.com"))


def test_the_page_asks_for_exactly_what_the_link_says(desk: Desk) -> None:
    page = desk.page()
    asked = TransferRequest.parse(link_of(page))
    assert str(asked.recipient) == page.by_id("pay-address").text
    assert page.by_id("pay-amount").get("data-text") == str(asked.amount)
    assert asked.label == "SolRouter"
    assert desk.payment.public_id in asked.message
    path = qr_codes.draw(link_of(page)).path
    assert path in page.html
    assert "Test network" in page.text
    assert steps_done(page) == 0
    assert "an hour" in page.text
    assert polls(page).get("hx-trigger") == "click, every 3s"


def test_from_seen_to_credited(desk: Desk) -> None:
    desk.shop.chain.finalizes = False
    paid = desk.customer.pay(desk.link)
    seen = desk.look()
    assert (steps_done(seen), "Seen." in seen.text) == (1, True)
    assert paid.signature in seen.text
    assert not [a for a in seen.all("a") if a.get("href", "").startswith("solana:")]
    desk.shop.chain.finalize()
    done = desk.look()
    assert steps_done(done) == 3
    assert "is in your balance" in done.text
    assert polls(done).get("hx-get") is None, "what is finished does not ask again"


def test_while_nothing_happens_nothing_is_swapped(desk: Desk) -> None:
    asks = polls(desk.page()).get("hx-get")
    assert asks is not None
    assert desk.browser.client.get(asks, headers=HTMX).status_code == 204
    desk.customer.pay(desk.link)
    desk.look()
    answer = desk.browser.client.get(asks, headers=HTMX)
    assert answer.status_code == 200
    assert 'id="solana-payment"' in answer.text
    assert 'hx-swap-oob="true"' in answer.text, "the balance in the header is told too"
    assert "$10.0" in answer.text


def test_who_paid_less_is_asked_for_the_rest(desk: Desk) -> None:
    desk.customer.pay(desk.link, units=4_000_000)
    page = desk.look()
    assert "Less than asked for." in page.text
    assert "Pay the rest" in page.text
    rest = TransferRequest.parse(link_of(page)).amount
    desk.customer.pay(link_of(page))
    after = desk.look()
    assert "Less than" not in after.text
    assert desk.payment.received_nanos == desk.payment.details["amount_units"] * 1_000
    assert rest < 7


def test_who_paid_the_round_amount_has_paid(desk: Desk) -> None:
    desk.customer.pay(desk.link, units=10_000_000)
    page = desk.look()
    assert "Less than" not in page.text
    assert "$10.00 is in your balance" in page.text
    assert polls(page).get("hx-get") is None


def test_who_paid_more_sees_it(desk: Desk) -> None:
    desk.customer.pay(desk.link, units=12_000_000)
    assert "Paid, and more." in desk.look().text


def test_who_is_late_is_told_what_happens(desk: Desk) -> None:
    then = clock.utcnow() - timedelta(days=1)
    with desk.app.app_context():
        changed = update(Payment).values(created_at=then, expires_at=then + timedelta(hours=1))
        database.transact(lambda connection: connection.execute(changed).rowcount)
    page = desk.look()
    assert "Late." in page.text
    assert polls(page).get("hx-trigger") == "click, every 30s"
    desk.customer.pay(link_of(page))
    assert "is in your balance" in desk.look().text


def test_a_payment_that_vanished_is_explained(desk: Desk) -> None:
    desk.shop.chain.finalizes = False
    desk.customer.pay(desk.link)
    desk.look()
    desk.shop.chain.reorganise()
    page = desk.look()
    assert (steps_done(page), "Taken back." in page.text) == (0, True)


def test_a_node_that_is_down_is_explained(desk: Desk) -> None:
    desk.shop.node.fault = "down"
    assert "cannot reach the network" in desk.look().text
    desk.shop.node.fault = ""
    assert "cannot reach the network" not in desk.look().text


def test_a_transaction_for_two_payments_is_explained(desk: Desk) -> None:
    other = begin(desk.app, make_person(desk.app, "olga@example.com"))
    both = [*Wallet.references_of(desk.link)]
    both.append(Pubkey.from_string(str(other.order_id)))
    desk.customer.pay(desk.link, references=both)
    page = desk.look()
    assert "An operator has to look" in page.text
    assert "Needs a person" in page.text
    assert link_of(page), "and can still be paid"


def test_a_claim_is_taken_and_looked_for(desk: Desk) -> None:
    paid = desk.customer.pay(desk.link, references=[])
    page = desk.browser.post(f"{desk.path}/claim", {"signature": paid.signature}, status=200)
    assert "We are looking for that transaction" in page.text
    assert "is in your balance" in desk.look().text
    again = desk.browser.post(f"{desk.path}/claim", {"signature": paid.signature}, status=200)
    assert "known here already" in again.text
    assert "We are looking for that transaction" not in again.text


def test_a_claim_of_nonsense_is_explained(desk: Desk) -> None:
    page = desk.browser.post(f"{desk.path}/claim", {"signature": "<b>hello"}, status=422)
    assert "Enter the transaction’s signature" in page.text.replace("'", "’")
    assert page.by_id("signature").get("value") == "<b>hello"
    assert polls(page).get("hx-get") is None, "what is being typed is not swapped away"


def test_payments_of_others_and_of_other_kinds_are_not_there(desk: Desk) -> None:
    charlie = make_person(desk.app, "charlie@example.com")
    with visitor_of(desk.app) as client:
        charlie.sign_in(client)
        signature = str(Keypair().sign_message(b"x"))
        assert client.get(desk.path).status_code == 404
        claimed = client.post(f"{desk.path}/claim", data={"signature": signature})
        assert claimed.status_code == 404
    assert desk.browser.client.get(f"/account/payments/{quote('pay_no')}/solana").status_code == 404
