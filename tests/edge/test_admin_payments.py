"""Payments as operators see them: found, refunded, and paid back by hand."""

import pytest
from flask import Flask

from solrouter.errors import Refused
from solrouter.money import parse_usd
from solrouter.services import billing, departures, payments
from solrouter.services.payments import refund_rows, refunds, registry
from solrouter.services.payments.trial import Trial
from tests.edge.signed_in import browser_of
from tests.factories import Person

TEN, FOUR = parse_usd("10"), parse_usd("4")


class ByHand(Trial):
    """A way to pay whose refunds a person makes, as those on a chain."""

    provider = "byhand"
    refunds_itself = False


@pytest.fixture
def by_hand(app: Flask, bob: Person, monkeypatch: pytest.MonkeyPatch) -> payments.Payment:
    monkeypatch.setitem(registry.METHODS, "byhand", ByHand())  # type: ignore[arg-type]
    return paid(app, bob, "byhand")


def paid(app: Flask, person: Person, provider: str = "test") -> payments.Payment:
    with app.app_context():
        wish = payments.Wish(person.account_id, person.user_id, provider, "test", TEN)
        return payments.answer_trial(payments.begin(wish).payment, "paid")


def balance(app: Flask, person: Person) -> int:
    with app.app_context():
        assert list(billing.audit()) == []
        return billing.balance(person.account_id).paid_nanos


def test_they_are_found(app: Flask, bob: Person, charlie: Person, operator: Person) -> None:
    first, second = paid(app, bob), paid(app, charlie)
    browser = browser_of(app, operator)
    page = browser.get("/admin/payments")
    assert first.public_id in page.text and second.public_id in page.text
    page = browser.get(f"/admin/payments?q={bob.account_public_id}")
    assert first.public_id in page.text and second.public_id not in page.text
    assert "No payments" in browser.get("/admin/payments?state=refunded").text
    page = browser.get(f"/admin/payments?q={first.order_id}&before={second.public_id}")
    assert first.public_id in page.text


def test_a_refund_by_an_operator_has_the_same_limits(
    app: Flask, bob: Person, operator: Person
) -> None:
    payment = paid(app, bob)
    browser = browser_of(app, operator)
    address = f"/admin/payments/{payment.public_id}"
    page = browser.post(f"{address}/refund", {"amount": "10.01"}, status=422)
    assert "At most $10.00" in page.text
    browser.post(f"{address}/refund", {"amount": "4"})
    assert balance(app, bob) == TEN - FOUR
    page = browser.post(f"{address}/refund", {"amount": "6.01"}, status=422)
    assert "At most $6.00" in page.text
    browser.post(f"{address}/refund", {"amount": ""})
    assert balance(app, bob) == 0
    who = [each.text for each in browser.get(address).all("td") if each.get("data-label") == "By"]
    assert who == [operator.email] * 2
    assert "All of it is given back." in browser.get(address).text


def test_by_hand_the_ledger_moves_once(
    app: Flask, bob: Person, operator: Person, by_hand: payments.Payment
) -> None:
    person, keeper = browser_of(app, bob), browser_of(app, operator)
    address = f"/account/payments/{by_hand.public_id}/refund"
    assert "Your address" in person.get(address).text
    person.post(address, {"amount": "4", "pay_to": ""}, status=422)
    person.post(address, {"amount": "4", "pay_to": "7xKX…a wallet"})
    assert balance(app, bob) == TEN - FOUR
    with app.app_context():
        [refund] = refund_rows.of_payment(by_hand.id)
        # Nothing is sent by itself.
        assert refunds.send_waiting() == 0
    page = keeper.get("/admin/payments")
    assert "7xKX…a wallet" in page.text
    paid_path = f"/admin/refunds/{refund.public_id}/paid"
    keeper.post(paid_path, {"proof": ""})
    keeper.post(paid_path, {"proof": "signature-1"})
    keeper.post(paid_path, {"proof": "signature-2"})
    keeper.post(f"/admin/refunds/{refund.public_id}/rejected", {"why": "Too late"})
    assert balance(app, bob) == TEN - FOUR
    with app.app_context():
        [refund] = refund_rows.of_payment(by_hand.id)
        assert (refund.state, refund.refund_id) == ("done", "signature-1")
    assert "7xKX…a wallet" not in keeper.get("/admin/payments").text


def test_what_is_declined_comes_back_once(
    app: Flask, bob: Person, operator: Person, by_hand: payments.Payment
) -> None:
    with app.app_context():
        refund = refunds.ask(by_hand, FOUR, actor="test", pay_to="a wallet")
    keeper = browser_of(app, operator)
    for _ in range(2):
        keeper.post(f"/admin/refunds/{refund.public_id}/rejected", {"why": "Wrong chain"})
    assert balance(app, bob) == TEN
    page = browser_of(app, bob).get(f"/account/payments/{by_hand.public_id}")
    assert "Wrong chain" in page.text


def test_an_account_with_a_refund_under_way_cannot_be_deleted(
    app: Flask, bob: Person, by_hand: payments.Payment
) -> None:
    with app.app_context():
        refunds.ask(by_hand, FOUR, actor="test", pay_to="a wallet")
        with pytest.raises(Refused, match="still under way"):
            departures.delete_user(bob.user_id, forfeit_nanos=TEN - FOUR)


def test_only_for_operators(app: Flask, bob: Person) -> None:
    payment = paid(app, bob)
    browser_of(app, bob).get(f"/admin/payments/{payment.public_id}", status=404)
