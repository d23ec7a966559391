"""Two server processes on one database, and Stripe tells both of them everything at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import requests
from flask import Flask

from solrouter.money import parse_usd
from solrouter.services import billing, payments
from solrouter.services.payments import Wish, refund_rows
from tests import served as serving
from tests.factories import make_person
from tests.fakes.stripe import FakeStripe, signed

TEN, THREE = parse_usd("10"), parse_usd("3")
TIMES = 5
AT_ONCE = 20


def test_each_event_five_times_to_both(
    make_app: Callable[..., Flask],
    serve: Callable[..., serving.Served],
    database_url: str,
    stripe: FakeStripe,
) -> None:
    app = make_app(database_url, **stripe.settings())
    pat = make_person(app, "pat@example.com")
    servers = [serve(database_url, **stripe.settings()) for _ in range(2)]
    with app.app_context():
        wish = Wish(pat.account_id, pat.user_id, "stripe", "card", TEN)
        payment = payments.begin(wish).payment
    intent = stripe.books.pay(str(payment.order_id))["payment_intent"]
    stripe.books.refund(intent, 300, {})

    def tell(number: int) -> int:
        event = stripe.books.events[number // 2 % len(stripe.books.events)]
        body, headers = signed(event)
        url = f"{servers[number % 2].url}/webhooks/stripe"
        return requests.post(url, data=body, headers=headers, timeout=30).status_code

    with ThreadPoolExecutor(AT_ONCE) as pool:
        count = 2 * TIMES * len(stripe.books.events)
        statuses = list(pool.map(tell, range(count)))
    assert set(statuses) == {200}, statuses
    with app.app_context():
        after = payments.find(payment.public_id)
        assert (after.received_nanos, after.refunded_nanos) == (TEN, THREE)
        assert after.state == "refunded_in_part"
        assert len(refund_rows.of_payment(payment.id)) == 1
        assert billing.balance(pat.account_id).paid_nanos == TEN - THREE
        assert list(billing.audit()) == []
