"""USDC through the pages: chosen on the balance page, paid, refunded by hand, accepted by hand."""

import re
from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from solrouter.services import billing, payments
from solrouter.services.payments import refund_rows
from solrouter.services.payments.solana import readiness
from tests.browser import Browser, Page
from tests.edge.conftest import visitor_of
from tests.edge.test_solana_pages import link_of
from tests.factories import Person, make_person
from tests.fakes.solana import Wallet
from tests.solana import Shop, open_shop


@pytest.fixture
def shop() -> Iterator[Shop]:
    with open_shop() as opened:
        yield opened


@pytest.fixture
def app(make_app: Callable[..., Flask], shop: Shop) -> Flask:
    app = make_app(**shop.settings)
    with app.app_context():
        readiness.look()
    return app


@pytest.fixture
def payer(app: Flask) -> Person:
    return make_person(app, "pat@example.com")


@pytest.fixture
def visitor(app: Flask, payer: Person) -> Browser:
    return browser_of(app, payer)


@pytest.fixture
def office(app: Flask) -> Browser:
    return browser_of(app, make_person(app, "olivia@example.com", operator=True))


def browser_of(app: Flask, person: Person) -> Browser:
    browser = Browser(app)
    browser.client = visitor_of(app)
    person.sign_in(browser.client)
    return browser


def begin(visitor: Browser, amount: str = "10") -> str:
    """The address of the page that the balance page's form leads to."""
    form = visitor.get("/account/balance")
    assert "USDC on Solana" in form.text
    data = {"preset": "other", "amount": amount, "method": "solana:usdc", "form_id": amount}
    return visitor.post("/account/payments", data).location


def look(app: Flask, path: str) -> payments.Payment:
    public_id = re.findall(r"pay_\w+", path)[0]
    with app.app_context():
        return payments.check(payments.find(public_id))


def paid(app: Flask, visitor: Browser, customer: Wallet) -> payments.Payment:
    """A payment of ten dollars that has been paid."""
    path = begin(visitor)
    customer.pay(link_of(visitor.get(path)))
    return look(app, path)


def units_of(app: Flask, person: Person) -> int:
    with app.app_context():
        assert list(billing.audit()) == []
        return billing.balance(person.account_id).paid_nanos // 1_000


def test_from_the_balance_page_to_the_receipt(
    app: Flask, visitor: Browser, shop: Shop, payer: Person
) -> None:
    path = begin(visitor)
    page = visitor.get(path)
    assert page.all("h1")[0].text == "Pay in USDC"
    customer = shop.customer()
    customer.pay(link_of(page))
    payment = look(app, path)
    done = visitor.get(path)
    receipt = next(a.get("href", "") for a in done.all("a") if a.text == "Receipt")
    assert "10.00" in visitor.get(receipt).text
    assert units_of(app, payer) == payment.details["amount_units"]
    statement = visitor.get("/account/balance")
    assert "Top-up" in statement.text or "top-up" in statement.text


def refund(visitor: Browser, payment: payments.Payment, pay_to: str, amount: str) -> Page:
    data = {"amount": amount, "pay_to": pay_to}
    return visitor.post(f"/account/payments/{payment.public_id}/refund", data, status=303)


def waiting_refund(app: Flask, payment: payments.Payment) -> refund_rows.Refund:
    with app.app_context():
        return refund_rows.of_payment(payment.id)[-1]


def send(shop: Shop, to: Pubkey, units: int) -> str:
    """The operator pays from the shop's own wallet."""
    wallet = Wallet.__new__(Wallet)
    wallet.chain, wallet.token, wallet.keys = shop.chain, shop.usdc, shop.keys
    act = wallet.transfer(shop.usdc, units=units, to=to)
    return shop.chain.run([act], [shop.keys]).signature


def test_a_refund_is_asked_for_paid_by_hand_and_proven(
    app: Flask, visitor: Browser, office: Browser, shop: Shop, payer: Person
) -> None:
    customer = shop.customer()
    payment = paid(app, visitor, customer)
    before = units_of(app, payer)
    home = customer.keys.pubkey()
    refund(visitor, payment, str(home), "4.000001")
    assert units_of(app, payer) == before - 4_000_001, "the credit is taken at once"
    asked = waiting_refund(app, payment)
    assert str(home) in office.get("/admin/payments").text
    there = f"/admin/refunds/{asked.public_id}/paid"
    wrong_sum = send(shop, home, 4_000_000)
    for proof in (
        wrong_sum,
        "nonsense",
        str(Keypair().sign_message(b"never sent")),
        customer.send_sol(link_of(visitor.get(begin(visitor, "20")))).signature,
    ):
        office.post(there, {"proof": proof})
        assert waiting_refund(app, payment).state == refund_rows.ASKED, proof
    right = send(shop, home, 4_000_001)
    office.post(there, {"proof": right})
    done = waiting_refund(app, payment)
    assert (done.state, done.refund_id) == (refund_rows.DONE, right)
    office.post(there, {"proof": right})
    assert units_of(app, payer) == before - 4_000_001, "and moves once"


def test_one_transaction_pays_one_refund(
    app: Flask, visitor: Browser, office: Browser, shop: Shop, payer: Person
) -> None:
    customer = shop.customer()
    payment, home = paid(app, visitor, customer), customer.keys.pubkey()
    right = send(shop, home, 2_000_000)
    refund(visitor, payment, str(home), "2")
    office.post(f"/admin/refunds/{waiting_refund(app, payment).public_id}/paid", {"proof": right})
    refund(visitor, payment, str(home), "2")
    second = waiting_refund(app, payment)
    office.post(f"/admin/refunds/{second.public_id}/paid", {"proof": right})
    assert waiting_refund(app, payment).state == refund_rows.ASKED
    office.post(f"/admin/refunds/{second.public_id}/rejected", {"why": "You asked twice."})
    assert waiting_refund(app, payment).state == refund_rows.FAILED
    assert units_of(app, payer) == payment.details["amount_units"] - 2_000_000


@pytest.mark.parametrize("kind", ["nothing", "nonsense", "ours", "the token", "an Ethereum one"])
def test_a_refund_goes_to_an_address_that_can_have_it(
    app: Flask, visitor: Browser, shop: Shop, payer: Person, kind: str
) -> None:
    payment = paid(app, visitor, shop.customer())
    pay_to = {
        "nothing": "",
        "nonsense": "my wallet",
        "ours": str(shop.keys.pubkey()),
        "the token": str(shop.usdc.mint),
        "an Ethereum one": "0x52908400098527886E0F7030069857D2E4169EE7",
    }[kind]
    data = {"amount": "1", "pay_to": pay_to}
    path = f"/account/payments/{payment.public_id}/refund"
    page = visitor.post(path, data, status=422)
    assert page.by_id("pay_to-error").text
    assert units_of(app, payer) == payment.details["amount_units"]


def test_no_more_is_refunded_than_can_be_paid(
    app: Flask, visitor: Browser, shop: Shop, payer: Person
) -> None:
    customer = shop.customer()
    payment = paid(app, visitor, customer)
    home = str(customer.keys.pubkey())
    path = f"/account/payments/{payment.public_id}/refund"
    for amount in ("11", "1.0000001", "0"):
        visitor.post(path, {"amount": amount, "pay_to": home}, status=422)
    visitor.post(path, {"amount": "", "pay_to": home})
    assert units_of(app, payer) == 0


def test_an_operator_credits_what_needed_a_look(
    app: Flask, visitor: Browser, office: Browser, shop: Shop, payer: Person
) -> None:
    path = begin(visitor)
    other = begin(visitor, "20")
    link = link_of(visitor.get(path))
    both = [*Wallet.references_of(link), *Wallet.references_of(link_of(visitor.get(other)))]
    sent = shop.customer().pay(link, references=both)
    payment = look(app, path)
    admin = f"/admin/payments/{payment.public_id}"
    page = office.get(admin)
    assert sent.signature in page.text and "names another payment" in page.text
    refused = office.post(f"{admin}/accept", {"signature": "nonsense"}, status=422)
    assert "signature" in refused.by_id("signature-error").itertext().__next__()
    office.post(f"{admin}/accept", {"signature": sent.signature})
    assert units_of(app, payer) == payment.details["amount_units"]
    again = office.post(f"{admin}/accept", {"signature": sent.signature}, status=422)
    assert "credited already" in again.text
    assert "Credited a transaction by hand" in office.get("/admin/audit").text
