"""Adding credits in the pages: chosen, paid, followed, receipted, refunded; and what is refused."""

import json
import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask

from solrouter import clock
from solrouter.blueprints import filters
from solrouter.errors import Refused
from solrouter.money import parse_usd
from solrouter.services import billing, payments, plans, statements, trail
from solrouter.services.payments import codes, refunds, standing
from solrouter.services.payments.methods import DisputeNews, Finding
from tests.browser import Browser
from tests.edge.signed_in import browser_of
from tests.factories import Person, make_person, pay_in
from tests.fakes.stripe import FakeStripe

Make = Callable[..., Flask]
STANDING = {"threshold": "5", "amount": "25", "cap": "100", "consent": "1"}


@pytest.fixture
def card_shop(make_app: Make, stripe: FakeStripe) -> Flask:
    return make_app(
        **stripe.settings(),
        SOLROUTER_CARD_FEE_PERCENT="5.5",
        SOLROUTER_CARD_FEE_MIN="0.80",
    )


def balance_of(app: Flask, person: Person) -> billing.Balance:
    with app.app_context():
        assert list(billing.audit()) == []
        return billing.balance(person.account_id)


def pay_by_test(browser: Browser, amount: str = "$25.00") -> str:
    """The address of a payment that was paid as a test."""
    answer = browser.client.post(
        "/account/payments", data={"preset": amount, "method": "test:test"}
    )
    address = answer.headers["Location"]
    browser.client.post(f"{address}/test", data={"act": "paid"})
    return str(address)


class TestTestPayment:
    def test_it_is_offered_and_labelled_outside_production(self, app: Flask, bob: Person) -> None:
        browser = browser_of(app, bob)
        page = browser.get("/account/balance")
        assert "Test payment" in page.text and "No money moves" in page.text
        address = pay_by_test(browser)
        page = browser.get(address)
        assert "this is a test payment" in page.text
        assert balance_of(app, bob).paid_nanos == parse_usd("25")
        assert "Test payment: no money was paid." in browser.get(f"{address}/receipt").text

    def test_production_has_none(self, make_app: Make, bob: Person, app: Flask) -> None:
        address = pay_by_test(browser_of(app, bob))
        app = make_app(SOLROUTER_ENV="production", SOLROUTER_BASE_URL="https://llm.example.com")
        browser = browser_of(app, bob)
        page = browser.get("/account/balance")
        assert "No money moves. This server" not in page.text
        assert "are not set up on this server yet" in page.text
        answer = browser.client.post(
            "/account/payments", data={"preset": "$25.00", "method": "test:test"}
        )
        assert answer.status_code == 422
        assert browser.client.post(f"{address}/test", data={"act": "paid"}).status_code == 422
        assert balance_of(app, bob).paid_nanos == parse_usd("25")

    def test_declined(self, app: Flask, bob: Person) -> None:
        browser = browser_of(app, bob)
        form = {"preset": "$10.00", "method": "test:test"}
        address = browser.client.post("/account/payments", data=form).headers["Location"]
        browser.client.post(f"{address}/test", data={"act": "declined"})
        assert "The test payment was declined." in browser.get(address).text
        # The first word counts.
        browser.client.post(f"{address}/test", data={"act": "paid"})
        assert balance_of(app, bob).paid_nanos == 0


class TestCard:
    def test_it_leads_to_the_checkout_and_back(self, card_shop: Flask, stripe: FakeStripe) -> None:
        pat = make_person(card_shop, "pat@example.com")
        browser = browser_of(card_shop, pat)
        page = browser.get("/account/balance")
        assert "5.5 %" in page.text and "at least $0.80" in page.text
        assert "$10.80" in page.text
        answer = browser.client.post(
            "/account/payments",
            data={"amount": "40", "method": "stripe:card", "form_id": "a"},
        )
        assert answer.status_code == 303
        assert answer.headers["Location"].startswith(f"{stripe.url}/c/pay/")
        [session] = stripe.books.of_kind("checkout.session")
        assert session["amount_total"] == 4220
        stripe.books.pay(session["id"])
        with card_shop.app_context():
            payment = payments.find(session["client_reference_id"])
        page = browser.get(f"/account/payments/{payment.public_id}")
        assert "The credits are in your balance." in page.text
        assert "Visa ending 4242" in page.text
        # This very page asked the provider, and its header tells what came of it.
        assert "$40.00" in "".join(page.by_id("balance").itertext())
        assert balance_of(card_shop, pat).paid_nanos == parse_usd("40")
        receipt = browser.client.get(f"/account/payments/{payment.public_id}/receipt?download=1")
        assert "Total paid   $42.20" in receipt.text
        assert receipt.headers["Content-Disposition"].startswith("attachment")

    def test_stripes_stablecoins_go_the_same_way(self, make_app: Make, stripe: FakeStripe) -> None:
        """Also with the box for cards ticked, which is beside it in the form."""
        app = make_app(**stripe.settings(), SOLROUTER_STRIPE_CRYPTO="1")
        pat = make_person(app, "pat@example.com")
        browser = browser_of(app, pat)
        assert "Stablecoin" in browser.get("/account/balance").text
        form = {"preset": "$10.00", "method": "stripe:stablecoin", "save_card": "1"}
        answer = browser.client.post("/account/payments", data=form)
        assert answer.headers["Location"].startswith(f"{stripe.url}/c/pay/")
        [session] = stripe.books.of_kind("checkout.session")
        assert session["payment_method_types"] == ["crypto"]
        stripe.books.pay(session["id"])
        page = browser.get(f"/account/payments/{session['client_reference_id']}")
        assert "The credits are in your balance." in page.text
        assert balance_of(app, pat).paid_nanos == parse_usd("10")

    @pytest.mark.parametrize(
        ("form", "words"),
        [
            ({"amount": "4"}, "between $5.00 and $1,000.00"),
            ({"amount": "1000.01"}, "between $5.00 and $1,000.00"),
            ({"amount": "a lot"}, "Write an amount in US dollars"),
            ({"amount": ""}, "Choose an amount"),
            ({"preset": "$10.00", "amount": "4"}, "between $5.00 and $1,000.00"),
            ({"preset": "$10.00", "method": "stripe:gold"}, "Choose a way to pay"),
            ({"preset": "-10"}, "between $5.00 and $1,000.00"),
        ],
        ids=["little", "much", "words", "nothing", "typed", "method", "negative"],
    )
    def test_a_tampered_form_begins_nothing(
        self, card_shop: Flask, stripe: FakeStripe, form: dict[str, str], words: str
    ) -> None:
        pat = make_person(card_shop, "pat@example.com")
        answer = browser_of(card_shop, pat).client.post("/account/payments", data=form)
        assert answer.status_code == 422
        assert words in answer.text
        assert stripe.calls == []

    def test_a_price_that_the_form_brings_is_not_read(
        self, card_shop: Flask, stripe: FakeStripe
    ) -> None:
        pat = make_person(card_shop, "pat@example.com")
        form = {"preset": "$10.00", "fee_nanos": "0", "total": "1", "currency": "eur"}
        browser_of(card_shop, pat).client.post("/account/payments", data=form)
        [session] = stripe.books.of_kind("checkout.session")
        assert (session["amount_total"], session["currency"]) == (1080, "usd")

    def test_stripe_is_down(self, card_shop: Flask, stripe: FakeStripe) -> None:
        stripe.is_down = True
        pat = make_person(card_shop, "pat@example.com")
        answer = browser_of(card_shop, pat).client.post(
            "/account/payments", data={"preset": "$10.00"}
        )
        assert "Stripe did not answer. Nothing was lost" in answer.text

    def test_the_forms_may_lead_to_stripe_and_nowhere_else(
        self, card_shop: Flask, stripe: FakeStripe, app: Flask
    ) -> None:
        policy = card_shop.test_client().get("/").headers["Content-Security-Policy"]
        assert f"form-action 'self' {stripe.url};" in policy
        policy = app.test_client().get("/").headers["Content-Security-Policy"]
        assert "form-action 'self';" in policy

    def test_the_quote_by_htmx(self, card_shop: Flask) -> None:
        pat = make_person(card_shop, "pat@example.com")
        client = browser_of(card_shop, pat).client
        headers = {"HX-Request": "true"}
        quote = client.get("/account/balance/quote?amount=100", headers=headers)
        assert "$105.50" in quote.text and "$5.50" in quote.text
        quote = client.get("/account/balance/quote?amount=1", headers=headers)
        assert "between $5.00" in quote.text


class TestSwitches:
    def test_stripes_stablecoins_are_a_way_of_their_own(
        self, make_app: Make, stripe: FakeStripe
    ) -> None:
        app = make_app(**stripe.settings(), SOLROUTER_STRIPE_CRYPTO="1")
        pat = make_person(app, "pat@example.com")
        browser = browser_of(app, pat)
        assert "Stablecoin" in browser.get("/account/balance").text
        browser.post("/account/payments", {"preset": "$10.00", "method": "stripe:stablecoin"})
        [session] = stripe.books.of_kind("checkout.session")
        assert session["payment_method_types"] == ["crypto"]
        stripe.books.pay(session["id"])
        browser.get(f"/account/payments/{session['client_reference_id']}")
        assert balance_of(app, pat).paid_nanos == parse_usd("10")

    def test_tax_comes_on_top_and_is_no_credit(self, make_app: Make, stripe: FakeStripe) -> None:
        taxed = {"SOLROUTER_STRIPE_TAX": "1", "SOLROUTER_STRIPE_INVOICES": "1"}
        app = make_app(**stripe.settings(), **taxed)
        pat = make_person(app, "pat@example.com")
        browser = browser_of(app, pat)
        browser.post("/account/payments", {"preset": "$10.00", "method": "stripe:card"})
        [session] = stripe.books.of_kind("checkout.session")
        assert session["automatic_tax"] == session["invoice_creation"] == {"enabled": "true"}
        session["total_details"]["amount_tax"] = 190
        session["amount_total"] = 1190
        stripe.books.pay(session["id"])
        address = f"/account/payments/{session['client_reference_id']}"
        browser.get(address)
        assert balance_of(app, pat).paid_nanos == parse_usd("10")
        for text in (
            browser.get(f"{address}/receipt").text,
            browser.client.get(f"{address}/receipt?download=1").text,
        ):
            assert re.search(r"Tax\s*\$1\.90\s*Total paid\s*\$11\.90", text)
        browser.post(f"{address}/refund", {"amount": "5"})
        browser.post(f"{address}/refund", {"amount": "5"})
        # Their part of the tax goes back with them, and never more than there was.
        assert [made["amount"] for made in stripe.books.of_kind("refund")] == [595, 595]
        assert balance_of(app, pat).paid_nanos == 0

    def test_the_form_of_an_ended_order_leads_to_what_became_of_it(
        self, card_shop: Flask, stripe: FakeStripe
    ) -> None:
        browser = browser_of(card_shop, make_person(card_shop, "pat@example.com"))
        form = {"preset": "$10.00", "method": "stripe:card", "form_id": "once"}
        assert "/c/pay/" in browser.post("/account/payments", form).location
        assert "/c/pay/" in browser.post("/account/payments", form).location
        [session] = stripe.books.of_kind("checkout.session")
        stripe.books.expire(session["id"])
        address = f"/account/payments/{session['client_reference_id']}"
        assert "Expired" in browser.get(address).text
        assert browser.post("/account/payments", form).location == address

    def test_who_buys_stands_on_receipts_and_statements(self, app: Flask, bob: Person) -> None:
        browser = browser_of(app, bob)
        address = pay_by_test(browser)
        typed = {"address": " Bob’s <b>Bakery</b>\r\n\r\n2 Side Road\x07 ", "tax_id": " DE 99 "}
        browser.post("/account/settings/buyer", typed)
        words = ("Bob’s <b>Bakery</b>", "2 Side Road", "DE 99")
        for path in (f"{address}/receipt", "/account/statements", "/account/settings"):
            page = browser.get(path).html
            assert all(word in page for word in words[1:]), path
        download = browser.client.get(f"{address}/receipt?download=1").text
        assert "Sold to:   Bob’s <b>Bakery</b>, 2 Side Road\n" in download
        for wrong in ({"address": "x\n" * 7}, {"address": "x" * 101}, {"tax_id": "x" * 51}):
            browser.post("/account/settings/buyer", wrong, status=422)
        assert "DE 99" in browser.get(f"{address}/receipt").text
        with app.app_context():
            told = json.dumps(
                [event.details for event in trail.of_account(bob.account_id, limit=9)]
            )
        assert "Bakery" not in told and "DE 99" not in told

    def test_who_sells_stands_on_receipts_and_statements(
        self, make_app: Make, app: Flask, bob: Person
    ) -> None:
        address = pay_by_test(browser_of(app, bob))
        words = ("Router Ltd", "1 High Street", "GB 123", "VAT is included.")
        app = make_app(
            SOLROUTER_SELLER="Router Ltd | 1 High Street",
            SOLROUTER_SELLER_TAX_ID="GB 123",
            SOLROUTER_TAX_NOTE="VAT is included.",
        )
        browser = browser_of(app, bob)
        for path in (f"{address}/receipt", "/account/statements"):
            text = browser.get(path).text
            assert all(word in text for word in words), path
        download = browser.client.get(f"{address}/receipt?download=1").text
        assert all(word in download for word in words)


class TestAutoTopUp:
    def test_from_the_saved_card_to_the_end(self, make_app: Make, stripe: FakeStripe) -> None:
        app = make_app(**stripe.settings())
        pat = make_person(app, "pat@example.com")
        browser = browser_of(app, pat)
        assert "No card is saved yet." in browser.get("/account/auto-top-up").text
        form = {"preset": "$10.00", "method": "stripe:card", "save_card": "1"}
        browser.post("/account/payments", form)
        [session] = stripe.books.of_kind("checkout.session")
        stripe.books.pay(session["id"])
        browser.get(f"/account/payments/{session['client_reference_id']}")
        assert "Visa ending 4242" in browser.get("/account/auto-top-up").text
        page = browser.post("/account/auto-top-up", {**STANDING, "consent": ""}, status=422)
        assert "without asking you each time" in page.text
        page = browser.post("/account/auto-top-up", {**STANDING, "amount": "x"}, status=422)
        assert "Write an amount in US dollars" in page.text
        browser.post("/account/auto-top-up", STANDING)
        assert "Automatic top-ups: on" in browser.get("/account/balance").text
        portal = browser.post("/account/auto-top-up/card")
        assert portal.location.startswith(f"{stripe.url}/p/session/")
        browser.post("/account/auto-top-up/stop")
        with app.app_context():
            order = standing.find(pat.account_id)
        assert order is not None and not order.is_on

    def test_a_card_that_is_not_saved_is_not_charged(
        self, make_app: Make, stripe: FakeStripe
    ) -> None:
        app = make_app(**stripe.settings())
        pat = make_person(app, "pat@example.com")
        browser = browser_of(app, pat)
        browser.post("/account/payments", {"preset": "$10.00", "method": "stripe:card"})
        [session] = stripe.books.of_kind("checkout.session")
        stripe.books.pay(session["id"])
        browser.get(f"/account/payments/{session['client_reference_id']}")
        assert "No card is saved yet." in browser.get("/account/auto-top-up").text
        browser.post("/account/auto-top-up", STANDING, status=422)


def test_what_is_on_its_way_is_not_asked_for_again(card_shop: Flask, stripe: FakeStripe) -> None:
    browser = browser_of(card_shop, make_person(card_shop, "pat@example.com"))
    browser.post("/account/payments", {"method": "stripe:card", "amount": "10"})
    [session] = stripe.books.of_kind("checkout.session")
    public_id = session["client_reference_id"]

    def looked_at() -> str:
        with card_shop.app_context():
            payments.check(payments.find(public_id))
        return browser.get(f"/account/payments/{public_id}").text

    page = looked_at()
    assert "Waiting" in page and "Continue to payment" in page and "Open until" in page
    stripe.books.pay_slowly(session["id"])
    page = looked_at()
    assert "On its way" in page and "You have paid." in page
    assert "Continue to payment" not in page and "Open until" not in page
    assert "To pay" not in page and "On its way" in browser.get("/account/balance").text
    stripe.books.bounce(session["id"])
    page = looked_at()
    assert "The bank sent it back." in page and "On its way" not in page


def test_an_account_is_not_deleted_while_what_was_paid_is_on_its_way(
    card_shop: Flask, stripe: FakeStripe
) -> None:
    pat = make_person(card_shop, "pat@example.com")
    browser = browser_of(card_shop, pat)
    browser.post("/account/payments", {"method": "stripe:card", "amount": "10"})
    [session] = stripe.books.of_kind("checkout.session")
    stripe.books.pay_slowly(session["id"])

    def looked_at() -> None:
        with card_shop.app_context():
            payments.check(payments.find(session["client_reference_id"]))

    looked_at()
    form = {"forfeit": "0", "email": pat.email, "current": pat.password}
    page = browser.post("/account/settings/delete", form, status=422)
    assert "A payment of $10.00 is still under way" in page.text
    assert "the money is not here yet. Wait until “Balance” shows what became of it" in page.text
    stripe.books.bounce(session["id"])
    looked_at()
    assert browser.post("/account/settings/delete", form).location == "/"


def test_what_is_on_hold_is_not_asked_for_again(make_app: Make, stripe: FakeStripe) -> None:
    app = make_app(**stripe.settings(), SOLROUTER_FIRST_DAY_HOLD_ABOVE="5")
    browser = browser_of(app, make_person(app, "pat@example.com"))
    browser.post("/account/payments", {"method": "stripe:card", "amount": "10"})
    [session] = stripe.books.of_kind("checkout.session")
    stripe.books.pay(session["id"])
    with app.app_context():
        payments.check(payments.find(session["client_reference_id"]))
    page = browser.get(f"/account/payments/{session['client_reference_id']}").text
    assert "The money is here." in page
    assert "To pay" not in page and "Open until" not in page


def test_nothing_configured_says_what_the_operator_must_set(
    make_app: Make, operator: Person, bob: Person
) -> None:
    app = make_app(SOLROUTER_ENV="production", SOLROUTER_BASE_URL="https://llm.example.com")
    page = browser_of(app, operator).get("/account/balance")
    assert "set STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET" in page.text
    page = browser_of(app, bob).get("/account/balance")
    assert "STRIPE_SECRET_KEY" not in page.text
    assert "Its operator can grant you credits." in page.text


class TestRefund:
    def test_by_the_person(self, app: Flask, bob: Person) -> None:
        browser = browser_of(app, bob)
        address = pay_by_test(browser)
        page = browser.get(f"{address}/refund")
        assert "$25.00" in page.text
        answer = browser.client.post(f"{address}/refund", data={"amount": "5"})
        assert answer.headers["Location"] == address
        assert balance_of(app, bob).paid_nanos == parse_usd("20")
        answer = browser.client.post(f"{address}/refund", data={"amount": "20.01"})
        assert answer.status_code == 422 and "At most $20.00" in answer.text
        browser.client.post(f"{address}/refund", data={"amount": "20"})
        assert balance_of(app, bob).paid_nanos == 0
        assert "All of it is given back." in browser.get(address).text

    def test_a_form_that_is_sent_twice_gives_back_once(self, app: Flask, bob: Person) -> None:
        browser = browser_of(app, bob)
        address = pay_by_test(browser)
        form = {"amount": "5", "seen": browser.get(f"{address}/refund").by_name("seen")}
        browser.post(f"{address}/refund", form)
        assert browser.post(f"{address}/refund", form).location == address
        assert "Nothing more was given back" in browser.get(address).text
        assert balance_of(app, bob).paid_nanos == parse_usd("20")
        form["seen"] = browser.get(f"{address}/refund").by_name("seen")
        browser.post(f"{address}/refund", form)
        assert balance_of(app, bob).paid_nanos == parse_usd("15")

    def test_it_says_that_a_plan_falls(self, app: Flask, bob: Person) -> None:
        browser = browser_of(app, bob)
        address = pay_by_test(browser, "$100.00")
        with app.app_context():
            assert plans.standing(bob.account_id).plan.name == "Pro"
        browser.client.post(f"{address}/refund", data={"amount": "1"})
        assert "The plan is “Pay as you go” now." in browser.get(address).text
        browser.client.post(f"{address}/refund", data={"amount": "1"})
        assert "The plan is" not in browser.get(address).text

    def test_only_what_is_unused(self, app: Flask, bob: Person) -> None:
        browser = browser_of(app, bob)
        address = pay_by_test(browser)
        with app.app_context():
            payment = payments.find(address.rsplit("/", 1)[1])
            balance = billing.balance(bob.account_id)
            used = billing.Balance(parse_usd("25") - 1, balance.granted_nanos, 0)
            held = billing.Balance(parse_usd("25"), parse_usd("5"), parse_usd("24.99"))
            assert refunds.terms_for(payment, used).amount_nanos == parse_usd("24.99")
            assert refunds.terms_for(payment, held).amount_nanos == parse_usd("0.01")
            assert refunds.terms_for(payment, billing.Balance(-5, 0, 0)).amount_nanos == 0

    def test_after_the_window_only_by_an_operator(
        self, make_app: Make, app: Flask, bob: Person, operator: Person
    ) -> None:
        address = pay_by_test(browser_of(app, bob))
        app = make_app(SOLROUTER_REFUND_DAYS="0")
        browser = browser_of(app, bob)
        answer = browser.client.post(f"{address}/refund", data={"amount": "5"})
        assert answer.status_code == 422
        admin = browser_of(app, operator)
        public_id = address.rsplit("/", 1)[1]
        assert "At most $25.00" in admin.get(f"/admin/payments/{public_id}").text
        admin.client.post(f"/admin/payments/{public_id}/refund", data={"amount": "5"})
        assert balance_of(app, bob).paid_nanos == parse_usd("20")

    def test_gifts_are_not_refundable(self, app: Flask, bob: Person) -> None:
        with app.app_context():
            gift = payments.grant(bob.account_id, parse_usd("5"), actor="test", note="A gift")
        answer = browser_of(app, bob).client.post(f"/account/payments/{gift.public_id}/refund")
        assert answer.status_code == 422
        assert "Gifts cannot be refunded." in answer.text
        browser_of(app, bob).get(f"/account/payments/{gift.public_id}/receipt", status=404)


def test_charlie_sees_nothing_of_it(app: Flask, bob: Person, charlie: Person) -> None:
    address = pay_by_test(browser_of(app, bob))
    stranger = browser_of(app, charlie).client
    for path in (address, f"{address}/receipt", f"{address}/refund"):
        assert stranger.get(path).status_code == 404
    for path in (f"{address}/test", f"{address}/refund"):
        assert stranger.post(path, data={"act": "paid"}).status_code == 404


def test_the_figures_look_again_only_while_something_is_open(app: Flask, bob: Person) -> None:
    browser = browser_of(app, bob)
    assert "every 4s" not in browser.get("/account/balance").html
    form = {"preset": "$10.00", "method": "test:test"}
    address = browser.client.post("/account/payments", data=form).headers["Location"]
    assert "every 4s" in browser.get("/account/balance").html
    assert "every 3s" in browser.get(address).html
    browser.client.post(f"{address}/test", data={"act": "paid"})
    figures = browser.client.get("/account/balance/figures", headers={"HX-Request": "true"})
    assert "every 4s" not in figures.text
    assert '<div id="recent-payments">' in figures.text
    assert figures.text.count('hx-swap-oob="true"') == 2, "the figures, and the header's"
    assert "$10.00" in figures.text


def test_what_people_came_for_stands_before_what_they_have_done(app: Flask, bob: Person) -> None:
    browser = browser_of(app, bob)
    pay_by_test(browser)
    page = browser.get("/account/balance").html
    assert page.index("Add credits") < page.index('id="recent-payments"')


class TestCodes:
    def test_from_the_operator_to_the_balance(
        self, app: Flask, bob: Person, charlie: Person, operator: Person
    ) -> None:
        made = browser_of(app, operator).client.post(
            "/admin/codes", data={"amount": "7", "uses": "2", "note": "Meetup"}
        )
        found = re.search(r"SR(-\w{4}){4}", made.text)
        assert found is not None
        code = found.group(0)
        assert code not in browser_of(app, operator).get("/admin/codes").text
        browser = browser_of(app, bob)
        assert (
            browser.client.post("/account/balance/code", data={"code": code.lower()}).status_code
            == 303
        )
        again = browser.client.post("/account/balance/code", data={"code": code})
        assert again.status_code == 422 and "used that code already" in again.text
        before = balance_of(app, charlie).granted_nanos
        browser_of(app, charlie).client.post(
            "/account/balance/code", data={"code": code.replace("-", " ")}
        )
        assert balance_of(app, bob).granted_nanos == parse_usd("7")
        assert balance_of(app, charlie).granted_nanos == before + parse_usd("7")
        third = browser_of(app, operator).client.post("/account/balance/code", data={"code": code})
        assert third.status_code == 422 and "used up" in third.text

    def test_an_ended_code_gives_nothing(self, app: Flask, bob: Person) -> None:
        with app.app_context():
            code = codes.make(parse_usd("7"), actor="test")
            codes.end(codes.list_of()[0].public_id, actor="test")
        answer = browser_of(app, bob).client.post("/account/balance/code", data={"code": code})
        assert answer.status_code == 422

    def test_guessing_is_slow(self, app: Flask, bob: Person) -> None:
        client = browser_of(app, bob).client
        answers = [
            client.post("/account/balance/code", data={"code": f"SR-{number}"}).text
            for number in range(12)
        ]
        assert "not known here" in answers[0]
        assert "not known here" not in answers[-1]


class TestStatements:
    def test_page_and_csv_agree_with_the_ledger(self, app: Flask, bob: Person) -> None:
        with app.app_context():
            for number in range(3):
                pay_in(bob.account_id, parse_usd("1.5") + number)
            payments.grant(bob.account_id, parse_usd("2"), actor="test", note="=1+1")
            [month] = statements.months_of(bob.account_id)
            statement = statements.of_month(bob.account_id, month)
        posted = balance_of(app, bob).posted_nanos
        assert (statement.opening_nanos, statement.closing_nanos) == (0, posted)
        browser = browser_of(app, bob)
        assert "Balance so far" in browser.get("/account/statements").text
        answer = browser.client.get(f"/account/statements/{month}.csv")
        rows = [line.split(",") for line in answer.text.strip().splitlines()]
        assert rows[0][4] == "amount_usd"
        assert rows[1][1] == "balance so far" and rows[1][5] == "6.500000003"
        assert rows[1][0] <= filters.iso(clock.utcnow()), "nothing is told of the future"
        assert rows[-1][1] == "opening balance" and rows[-1][5] == "0"
        assert len(rows) == 7
        assert "'=1+1" in answer.text

    def test_a_month_that_is_over_has_closed(self, app: Flask, bob: Person) -> None:
        browser = browser_of(app, bob)
        assert "Closing balance" in browser.get("/account/statements?month=2020-01").text
        answer = browser.client.get("/account/statements/2020-01.csv")
        assert answer.text.splitlines()[1] == "2020-02-01T00:00:00Z,closing balance,,,,0"

    def test_each_month_opens_where_the_last_closed(self, app: Flask, bob: Person) -> None:
        with app.app_context():
            pay_in(bob.account_id, parse_usd("3"))
            [month] = statements.months_of(bob.account_id)
            year, number = map(int, month.split("-"))
            following = f"{year + number // 12}-{number % 12 + 1:02d}"
            after = statements.of_month(bob.account_id, following)
            assert after.opening_nanos == after.closing_nanos == parse_usd("3")
            assert list(statements.entries(bob.account_id, following)) == []

    @pytest.mark.parametrize(
        "month",
        ["2026", "2026-13", "0001-01", "9999-12", "x", "2026-7", "２０２６-07", "2026-07%0A"],
    )
    def test_what_is_no_month(self, app: Flask, bob: Person, month: str) -> None:
        client = browser_of(app, bob).client
        assert client.get(f"/account/statements?month={month}").status_code == 404
        assert client.get(f"/account/statements/{month}.csv").status_code == 404

    def test_a_month_that_has_not_begun(self, app: Flask, bob: Person) -> None:
        client, month = browser_of(app, bob).client, f"{clock.utcnow() + timedelta(days=32):%Y-%m}"
        assert client.get(f"/account/statements?month={month}").status_code == 404
        assert client.get(f"/account/statements/{month}.csv").status_code == 404


def test_a_frozen_account_says_so(app: Flask, bob: Person, operator: Person) -> None:
    browser = browser_of(app, bob)
    address = pay_by_test(browser)
    with app.app_context():
        payment = payments.find(address.rsplit("/", 1)[1])
        dispute = DisputeNews("dp_1", parse_usd("25"), True, False, False)
        payments.take(payment.id, Finding(disputes=(dispute,)))
    assert "This account is frozen." in browser.get("/account/balance").text
    assert "It is disputed at the bank." in browser.get(address).text
    with app.app_context():
        other = pay_in(bob.account_id, parse_usd("5"))
        payment = next(
            each for each in payments.of_account(bob.account_id, limit=5) if each.id == other
        )
        with pytest.raises(Refused, match="frozen"):
            refunds.ask(payment, actor=f"user:{bob.user_id}")
    answer = app.test_client().post(
        "/v1/chat/completions",
        json={"model": "demo/echo", "messages": [{"role": "user", "content": "Hi"}]},
        headers=bob.bearer,
    )
    assert answer.status_code == 403 and answer.json["error"]["code"] == "frozen"
    page = browser_of(app, operator).get(f"/admin/accounts/{bob.account_public_id}")
    assert "Has had disputes" in page.text
