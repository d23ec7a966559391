"""USDC on Solana from the wish to the ledger, on a chain in process, with nodes that fail and lie.

After each test the ledger is proven.
"""

import copy
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from solders.keypair import Keypair
from sqlalchemy import update

from solrouter import clock, database
from solrouter.errors import RateLimited, Refused
from solrouter.models import Payment, SolanaOrder
from solrouter.money import parse_usd
from solrouter.services import billing, departures, payments
from solrouter.services.payments import orders, states
from solrouter.services.payments.methods import Finding, ProviderUnavailable
from solrouter.services.payments.solana import (
    addresses,
    claims,
    entries,
    pay_url,
    progress,
    quotes,
    readiness,
    watching,
)
from tests.factories import Person, make_person
from tests.fakes.solana import Wallet
from tests.solana import Shop, open_shop

TEN = parse_usd("10")
UNITS_OF_TEN = 10_000_000
NANOS_PER_UNIT = 1_000


@pytest.fixture
def shop() -> Iterator[Shop]:
    with open_shop() as opened:
        yield opened


@pytest.fixture
def shop_of_two() -> Iterator[Shop]:
    """Of two nodes, by which sums from 100 dollars on are verified."""
    with open_shop(nodes=2) as opened:
        yield opened


Opened = Callable[..., Flask]


@pytest.fixture
def server(make_app: Opened, database_url: str, shop: Shop) -> Iterator[Flask]:
    yield from serving(make_app(database_url, **shop.settings))


@pytest.fixture
def server_of_two(make_app: Opened, database_url: str, shop_of_two: Shop) -> Iterator[Flask]:
    yield from serving(make_app(database_url, **shop_of_two.settings))


def serving(app: Flask) -> Iterator[Flask]:
    """In the app's context, with nodes that were asked. The ledger is proven afterwards."""
    with app.app_context():
        readiness.look()
        yield app
        assert list(billing.audit()) == []


@pytest.fixture
def payer(server: Flask) -> Person:
    return make_person(server, "pat@example.com")


@pytest.fixture
def customer(shop: Shop) -> Wallet:
    return shop.customer()


def wish(person: Person, amount: str) -> payments.Wish:
    return payments.Wish(
        account_id=person.account_id,
        user_id=person.user_id,
        provider="solana",
        method="usdc",
        amount_nanos=parse_usd(amount),
    )


def begun(person: Person, amount: str = "10") -> payments.Payment:
    return payments.begin(wish(person, amount)).payment


def link_of(payment: payments.Payment) -> str:
    """What the payment's page shows as a QR code."""
    order = entries.Order.of(payment)
    return pay_url.transfer_request(
        wallet=order.wallet,
        mint=order.target.mint,
        amount_units=order.amount_units,
        reference=order.reference,
        label="SolRouter",
        message=payment.public_id,
    )


def looked(payment: payments.Payment, times: int = 1) -> payments.Payment:
    """The payment after so many looks at the chain."""
    for _ in range(times):
        payment = payments.check(payments.find(payment.public_id))
    return payment


def asked_units(payment: payments.Payment) -> int:
    return int(payment.details["amount_units"])


def units_of(person: Person) -> int:
    """What the account was credited with."""
    return billing.balance(person.account_id).paid_nanos // NANOS_PER_UNIT


def kinds(payment: payments.Payment) -> list[str]:
    return [entry.kind for entry in entries.of(payment.details).values()]


def set_back(payment: payments.Payment, by: timedelta) -> payments.Payment:
    """Lets so much time pass for the payment."""
    then = clock.utcnow() - by
    changed = update(Payment).where(Payment.id == payment.id)
    values = {"created_at": then, "expires_at": then + timedelta(hours=1)}
    database.transact(lambda connection: connection.execute(changed.values(values)).rowcount)
    return payments.find(payment.public_id)


# The ways in which people pay.


def test_a_payment_is_seen_then_final_then_credited(
    payer: Person, shop: Shop, customer: Wallet
) -> None:
    payment = begun(payer)
    assert payment.state == states.PENDING
    assert looked(payment).details["seen"] == []
    shop.chain.finalizes = False
    paid = customer.pay(link_of(payment))
    seen = looked(payment)
    assert seen.details["seen"] == [{"signature": paid.signature, "units": asked_units(payment)}]
    assert (seen.state, units_of(payer)) == (states.PENDING, 0)
    shop.chain.finalize()
    after = looked(payment)
    assert after.state == states.PAID
    assert units_of(payer) == asked_units(payment) == shop.has_units
    assert UNITS_OF_TEN < units_of(payer) < UNITS_OF_TEN + 10_000


def test_looking_again_and_again_credits_once(payer: Person, customer: Wallet) -> None:
    payment = begun(payer)
    customer.pay(link_of(payment))
    after = looked(payment, times=watching.LIST_ALL_EVERY + 5)
    assert after.received_nanos == asked_units(payment) * NANOS_PER_UNIT
    assert units_of(payer) == asked_units(payment)


def test_who_pays_twice_is_credited_twice(payer: Person, customer: Wallet) -> None:
    payment = begun(payer)
    customer.pay(link_of(payment))
    looked(payment)
    customer.pay(link_of(payment), units=3_000_000)
    assert looked(payment).is_over
    assert units_of(payer) == asked_units(payment) + 3_000_000


def test_less_is_credited_as_it_came_and_the_rest_may_follow(
    payer: Person, customer: Wallet
) -> None:
    payment = begun(payer)
    customer.pay(link_of(payment), units=4_000_000)
    assert looked(payment).is_short
    assert units_of(payer) == 4_000_000
    customer.pay(link_of(payment), units=asked_units(payment) - 4_000_000)
    whole = looked(payment)
    # The part of a cent that was asked for on top is no surplus.
    assert (whole.is_short, whole.is_over) == (False, False)
    assert whole.paid_nanos == whole.received_nanos == whole.asked_nanos > whole.amount_nanos
    assert units_of(payer) == asked_units(payment)


def test_more_is_credited_as_it_came(payer: Person, customer: Wallet) -> None:
    payment = begun(payer)
    customer.pay(link_of(payment), units=25_000_000)
    assert looked(payment).is_over
    assert units_of(payer) == 25_000_000


def test_what_comes_late_is_credited_all_the_same(payer: Person, customer: Wallet) -> None:
    payment = set_back(begun(payer), timedelta(days=3))
    assert looked(payment).state == states.EXPIRED
    customer.pay(link_of(payment))
    assert looked(payment).state == states.PAID
    assert units_of(payer) == asked_units(payment)


@pytest.mark.parametrize("version", [None, 0], ids=["legacy", "version 0"])
def test_both_kinds_of_transactions_are_read(
    payer: Person, customer: Wallet, version: int | None
) -> None:
    payment = begun(payer)
    customer.pay(link_of(payment), version=version, is_checked=version is None)
    assert looked(payment).state == states.PAID


def test_too_little_to_be_worth_a_row_is_not_credited(payer: Person, customer: Wallet) -> None:
    payment = begun(payer)
    customer.pay(link_of(payment), units=9_999)
    after = looked(payment)
    assert (after.state, after.details["small"]["units"]) == (states.PENDING, 9_999)
    customer.pay(link_of(payment), units=10_000)
    assert looked(payment).state == states.PAID


# What is no payment.


def test_dust_first_does_not_block_the_payment(payer: Person, shop: Shop, customer: Wallet) -> None:
    """Rule S3: anyone who sees the QR code can put transactions before the real one."""
    payment = begun(payer)
    shop.node.page_max = 10
    stranger = shop.customer()
    for _ in range(watching.EXAMINED_PER_LOOK_MAX + 5):
        stranger.send_sol(link_of(payment), lamports=1)
    customer.pay(link_of(payment))
    stranger.send_sol(link_of(payment), lamports=1)
    assert looked(payment).received_nanos == 0
    assert looked(payment).state == states.PAID
    before = shop.node.count("getTransaction")
    looked(payment)
    assert shop.node.count("getTransaction") == before, "what was examined is not asked for again"


@pytest.mark.parametrize("is_2022", [False, True], ids=["another mint", "the newer program"])
def test_another_token_is_no_payment(
    payer: Person, shop: Shop, customer: Wallet, is_2022: bool
) -> None:
    payment = begun(payer)
    token = shop.chain.make_token(is_2022=is_2022)
    shop.chain.give(token, customer.keys.pubkey(), 10**9)
    shop.chain.give(token, shop.keys.pubkey())
    customer.pay(link_of(payment), token=token)
    after = looked(payment)
    assert (after.state, kinds(after), units_of(payer)) == (states.PENDING, [], 0)


def test_another_recipient_is_no_payment(payer: Person, shop: Shop, customer: Wallet) -> None:
    payment, somebody = begun(payer), Keypair().pubkey()
    shop.chain.give(shop.usdc, somebody)
    customer.pay(link_of(payment), recipient=somebody)
    assert (looked(payment).state, units_of(payer)) == (states.PENDING, 0)


def test_native_sol_is_no_payment(payer: Person, customer: Wallet) -> None:
    payment = begun(payer)
    customer.send_sol(link_of(payment), lamports=10**9)
    assert (looked(payment).state, units_of(payer)) == (states.PENDING, 0)


def test_a_failed_transaction_is_no_payment(payer: Person, customer: Wallet) -> None:
    payment = begun(payer)
    assert customer.pay(link_of(payment), units=10**15).has_failed
    assert (looked(payment).state, units_of(payer)) == (states.PENDING, 0)


def test_one_transaction_for_two_payments_credits_nobody_by_itself(
    payer: Person, server: Flask, shop: Shop, customer: Wallet
) -> None:
    """Rules S5 and S7: whose it is an operator has to say."""
    other = make_person(server, "olga@example.com")
    mine, theirs = begun(payer), begun(other)
    both = [Wallet.references_of(link_of(payment))[0] for payment in (mine, theirs)]
    customer.pay(link_of(mine), references=both)
    for payment in (looked(mine), looked(theirs)):
        assert (payment.received_nanos, kinds(payment)) == (0, [entries.REVIEW])
        assert "operator" in payment.problem
    # Neither of them is blocked by it.
    customer.pay(link_of(theirs))
    assert looked(theirs).state == states.PAID
    assert (units_of(payer), units_of(other)) == (0, asked_units(theirs))


def test_one_transaction_with_a_transfer_for_each_credits_nobody_by_itself(
    payer: Person, shop: Shop, customer: Wallet
) -> None:
    first, second = begun(payer), begun(payer)
    acts = [
        customer.transfer(
            shop.usdc,
            units=5_000_000,
            to=shop.keys.pubkey(),
            references=Wallet.references_of(link_of(payment)),
        )
        for payment in (first, second)
    ]
    shop.chain.run(acts, [customer.keys])
    assert kinds(looked(first)) == kinds(looked(second)) == [entries.REVIEW]
    assert units_of(payer) == 0


def test_ten_at_once_credit_once(payer: Person, server: Flask, customer: Wallet) -> None:
    """Rule S7: the same evidence, brought by ten at the same moment."""
    payment = begun(payer)
    customer.pay(link_of(payment))
    together = threading.Barrier(10)

    def look(_: int) -> None:
        with server.app_context():
            found = payments.METHODS["solana"].check(payment)
            together.wait(timeout=30)
            payments.take(payment.id, found)

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(look, range(10)))
    assert units_of(payer) == asked_units(payment)


def test_a_reorganised_payment_is_never_credited(
    payer: Person, shop: Shop, customer: Wallet
) -> None:
    payment = begun(payer)
    shop.chain.finalizes = False
    customer.pay(link_of(payment))
    assert looked(payment).details["seen"]
    shop.chain.reorganise()
    after = looked(payment)
    assert (after.details["seen"], after.details["has_vanished"]) == ([], True)
    assert (after.state, units_of(payer)) == (states.PENDING, 0)
    # The wallet sends it again.
    shop.chain.finalizes = True
    customer.pay(link_of(payment))
    assert looked(payment).state == states.PAID
    assert units_of(payer) == asked_units(payment)


# Nodes.


@pytest.mark.parametrize("fault", ["down", "busy", "garbage", "moved", "error"])
def test_a_node_that_fails_neither_credits_nor_ends_anything(
    payer: Person, shop: Shop, customer: Wallet, fault: str
) -> None:
    payment = set_back(begun(payer), timedelta(days=2))
    customer.pay(link_of(payment))
    shop.node.fault = fault
    after = looked(payment, times=3)
    assert (after.state, after.details["is_trouble"]) == (states.PENDING, True)
    assert due_soon(after)
    shop.node.fault = ""
    after = looked(payment)
    assert (after.state, after.details["is_trouble"]) == (states.PAID, False)


def due_soon(payment: payments.Payment) -> bool:
    """Whether it will be looked at again."""
    columns = Payment.__table__
    with database.read() as connection:
        query = columns.select().where(columns.c.id == payment.id)
        return connection.execute(query).one().due_at is not None


def test_a_node_that_dies_in_the_middle_of_a_look_changes_nothing(
    payer: Person, shop: Shop, customer: Wallet
) -> None:
    payment = begun(payer)
    customer.pay(link_of(payment))
    shop.node.rewrites["getTransaction"] = lambda *_: "no"
    assert looked(payment).details["is_trouble"]
    del shop.node.rewrites["getTransaction"]
    assert looked(payment).state == states.PAID


def test_another_node_is_asked_when_the_first_is_down(
    server_of_two: Flask, shop_of_two: Shop
) -> None:
    payer = make_person(server_of_two, "pat@example.com")
    payment = begun(payer)
    shop_of_two.customer().pay(link_of(payment))
    shop_of_two.nodes[payment.checks % 2].fault = "down"
    assert looked(payment).state == states.PAID


def test_a_node_that_hides_a_payment_only_delays_it(
    server_of_two: Flask, shop_of_two: Shop
) -> None:
    payer = make_person(server_of_two, "pat@example.com")
    payment = begun(payer)
    shop_of_two.customer().pay(link_of(payment))
    liar = shop_of_two.nodes[payment.checks % 2]
    liar.rewrites["getSignaturesForAddress"] = lambda *_: []
    assert looked(payment).state == states.PENDING
    assert looked(payment).state == states.PAID


def forged(shop: Shop, units: int) -> Callable[..., Any]:
    """A transaction as a lying node makes it up: of another one, whose amount it changes."""

    def lie(_: list[Any], true: Any) -> Any:
        told = copy.deepcopy(true)
        if told is not None:
            for instruction in told["transaction"]["message"]["instructions"]:
                info = instruction.get("parsed", {}).get("info", {})
                if "tokenAmount" in info:
                    info["tokenAmount"]["amount"] = str(units)
            for entry in told["meta"]["postTokenBalances"]:
                if entry["owner"] == str(shop.keys.pubkey()):
                    entry["uiTokenAmount"]["amount"] = str(units)
        return told

    return lie


@pytest.mark.parametrize("liar", [0, 1], ids=["the first lies", "the second lies"])
def test_a_large_sum_needs_two_nodes_that_agree(
    server_of_two: Flask, shop_of_two: Shop, liar: int
) -> None:
    """Rule S9."""
    payer = make_person(server_of_two, "pat@example.com")
    payment = begun(payer, "150")
    shop_of_two.customer().pay(link_of(payment), units=1_000_000)
    lying = shop_of_two.nodes[liar]
    lying.rewrites["getTransaction"] = forged(shop_of_two, 150_000_000)
    after = looked(payment, times=4)
    # The honest node's word, a dollar, needs no second; the lie is never believed.
    assert after.received_nanos == parse_usd("1")
    assert units_of(payer) == 1_000_000


def test_a_large_sum_waits_while_the_second_node_is_down(
    server_of_two: Flask, shop_of_two: Shop
) -> None:
    payer = make_person(server_of_two, "pat@example.com")
    payment = begun(payer, "150")
    shop_of_two.customer().pay(link_of(payment))
    shop_of_two.nodes[1].fault = "down"
    after = looked(payment, times=3)
    assert (kinds(after), units_of(payer)) == ([entries.CHECKED], 0)
    assert due_soon(after)
    shop_of_two.nodes[1].fault = ""
    assert looked(payment).state == states.PAID
    assert units_of(payer) == asked_units(payment)


def test_a_large_sum_about_which_two_nodes_disagree_waits_and_is_reported(
    server_of_two: Flask, shop_of_two: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    payer = make_person(server_of_two, "pat@example.com")
    payment = begun(payer, "150")
    paid = shop_of_two.customer().pay(link_of(payment))
    liar = shop_of_two.nodes[1]
    liar.rewrites["getTransaction"] = lambda _, found: (
        found
        and {
            **found,
            "meta": {**found["meta"], "err": {"InstructionError": [0, {"Custom": 1}]}},
        }
    )
    liar.rewrites["getSignaturesForAddress"] = lambda *_: []
    after = looked(payment, times=4)
    assert (kinds(after), units_of(payer)) == ([entries.CHECKED], 0)
    reports = [record for record in caplog.records if "disagree" in record.message]
    assert len(reports) == 1
    assert paid.signature in reports[0].message
    liar.rewrites.clear()
    assert looked(payment, times=2).state == states.PAID
    assert units_of(payer) == asked_units(payment)


# Beginning.


def test_each_payment_asks_for_an_amount_and_a_reference_of_its_own(payer: Person) -> None:
    asked = [quotes.quote(begun_row(payer), TEN) for _ in range(40)]
    assert len({quote.amount_units for quote in asked}) == 40
    assert len({quote.reference for quote in asked}) == 40
    assert all(UNITS_OF_TEN < quote.amount_units < UNITS_OF_TEN + 10_000 for quote in asked)


def begun_row(person: Person) -> int:
    """A payment whose row is written, and no more."""
    method, offer = orders.chosen("solana", "usdc")
    return orders.write(wish(person, "10"), method, offer).id


def test_when_every_part_of_a_cent_is_taken_the_reference_alone_tells(payer: Person) -> None:
    row = begun_row(payer)
    taken = [
        {
            "payment_id": begun_row(payer),
            "reference": addresses.new_reference(),
            "amount_units": UNITS_OF_TEN + part,
            "exact_units": UNITS_OF_TEN + part,
            "exact_until": clock.utcnow() + timedelta(days=1),
            "created_at": clock.utcnow(),
        }
        for part in (1, 2)
    ]
    database.transact(
        lambda connection: connection.execute(SolanaOrder.__table__.insert(), taken).rowcount
    )
    asked = quotes.quote(row, TEN)
    assert asked.amount_units - UNITS_OF_TEN not in (1, 2)
    assert quotes.quote(row, TEN) == asked


def test_a_payment_begun_twice_at_once_is_one_order(payer: Person, server: Flask) -> None:
    row = begun_row(payer)

    def ask(_: int) -> quotes.Quote:
        with server.app_context():
            return quotes.quote(row, TEN)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1


@pytest.mark.parametrize("has_quote", [False, True], ids=["no reference", "a reference"])
def test_a_process_that_dies_while_it_begins_leaves_what_the_same_wish_goes_on_with(
    payer: Person, customer: Wallet, has_quote: bool
) -> None:
    """Between the row and the reference, and between the reference and the payment's own row."""
    same = replace(wish(payer, "10"), idempotency="the-same-form")
    method, offer = orders.chosen("solana", "usdc")
    payment = orders.write(same, method, offer)
    asked = quotes.quote(payment.id, TEN) if has_quote else None
    assert looked(payment).state == states.EXPIRED, "nobody has seen an address to pay to"
    again = payments.begin(same).payment
    assert again.id == payment.id
    assert asked is None or again.order_id == asked.reference
    customer.pay(link_of(again))
    assert looked(again).state == states.PAID


def test_without_a_node_that_is_believed_nothing_is_offered(
    make_app: Opened, shop: Shop, sqlite_url: str
) -> None:
    app = make_app(**shop.settings)
    person = make_person(app, "pat@example.com")
    with app.app_context():
        assert not [offer for _, offer in payments.offers() if offer.method == "usdc"]
        assert "no node has been asked" in " ".join(payments.missing())
        shop.node.fault = "down"
        assert not readiness.look().is_ready
        with pytest.raises(Refused):
            begun(person)
        shop.node.fault = ""
        assert readiness.look().is_ready
        assert [offer.method for _, offer in payments.offers() if offer.method == "usdc"]
        assert begun(person).order_id


def test_a_payment_outlives_nodes_that_are_not_believed_any_more(
    payer: Person, shop: Shop, customer: Wallet
) -> None:
    payment = begun(payer)
    customer.pay(link_of(payment))
    shop.node.rewrites["getGenesisHash"] = lambda *_: str(Keypair().pubkey())
    assert not readiness.look().is_ready
    after = looked(payment)
    assert (after.details["is_trouble"], units_of(payer)) == (True, 0)
    with pytest.raises(ProviderUnavailable):
        payments.METHODS["solana"].begin(payment, return_url="", email="")
    shop.node.rewrites.clear()
    readiness.look()
    assert looked(payment).state == states.PAID


def test_what_a_first_day_holds_back_is_credited_when_it_is_over(
    make_app: Opened, database_url: str, shop: Shop, customer: Wallet
) -> None:
    app = make_app(database_url, **shop.settings, SOLROUTER_FIRST_DAY_HOLD_ABOVE="5")
    person = make_person(app, "newt@example.com")
    with app.app_context():
        readiness.look()
        payment = begun(person)
        customer.pay(link_of(payment))
        held = looked(payment, times=3)
        assert (held.state, units_of(person)) == (states.HELD, 0)
        shown = progress.of(held, clock.utcnow(), label="SolRouter")
        assert (shown.stage, shown.is_held, shown.is_payable) == (progress.FINAL, True, False)
        over = update(Payment).values(held_until=clock.utcnow() - timedelta(seconds=1))
        database.transact(lambda connection: connection.execute(over).rowcount)
        assert looked(held).state == states.PAID
        assert units_of(person) == asked_units(payment)
        assert list(billing.audit()) == []


def test_an_account_does_not_end_while_money_for_it_is_on_its_way(
    payer: Person, shop: Shop, customer: Wallet
) -> None:
    payment = begun(payer)
    shop.chain.finalizes = False
    customer.pay(link_of(payment))
    looked(payment)
    with pytest.raises(Refused, match="under way"):
        departures.delete_user(payer.user_id, forfeit_nanos=0)
    shop.chain.finalize()
    brought = looked(payment).received_nanos
    departures.delete_user(payer.user_id, forfeit_nanos=brought)


# The time between looks (rule S12).


@pytest.mark.parametrize(
    ("age", "wait_s"),
    [
        (timedelta(), 2),
        (timedelta(minutes=10), 5),
        (timedelta(hours=2), 300),
        (timedelta(days=2), 3_600),
        (timedelta(days=29), 3_600),
        (timedelta(days=31), None),
    ],
    ids=str,
)
def test_looks_become_rare_and_end(payer: Person, age: timedelta, wait_s: int | None) -> None:
    payment = set_back(begun(payer), age)
    now = clock.utcnow()
    assert watching.due_in_s(payment, now, is_moving=False) == wait_s
    assert watching.due_in_s(payment, now, is_moving=True) == 2


# Claims (rule S10), and an operator's word.


def test_a_payer_whose_exchange_left_the_reference_out_names_the_transaction(
    payer: Person, shop: Shop, customer: Wallet
) -> None:
    payment = begun(payer)
    shop.chain.finalizes = False
    paid = customer.pay(link_of(payment), references=[])
    assert looked(payment).details["seen"] == []
    claimed = claims.claim(payment, f"https://explorer.solana.com/tx/{paid.signature}?cluster=x")
    assert kinds(claimed) == [entries.CLAIMED]
    assert looked(claimed).details["seen"][0]["signature"] == paid.signature
    shop.chain.finalize()
    after = looked(claimed)
    assert (after.state, kinds(after)) == (states.PAID, [entries.PAID])
    assert units_of(payer) == asked_units(payment)
    assert claims.claim(after, paid.signature).received_nanos == after.received_nanos


def test_a_strangers_transaction_cannot_be_claimed(
    payer: Person, server: Flask, customer: Wallet
) -> None:
    """Anyone can watch the chain; neither of these is the claimer's."""
    thief = make_person(server, "theo@example.com")
    theirs, mine = begun(payer), begun(thief)
    unnamed = customer.pay(link_of(theirs), references=[])
    named = customer.pay(link_of(theirs))
    for signature in (unnamed.signature, named.signature):
        mine = looked(claims.claim(mine, signature))
    assert kinds(mine) == [entries.REFUSED, entries.REFUSED]
    assert mine.problem == ""
    assert units_of(thief) == 0
    # The owner's credit does not suffer from it.
    assert looked(theirs).state == states.PAID
    looked(claims.claim(theirs, unnamed.signature))
    assert units_of(payer) == 2 * asked_units(theirs)


def test_a_transaction_from_before_the_payment_cannot_be_claimed(
    payer: Person, customer: Wallet
) -> None:
    payment = begun(payer)
    paid = customer.pay(link_of(payment), references=[])
    later = set_back(payment, timedelta(hours=-1))
    after = looked(claims.claim(later, paid.signature))
    (entry,) = entries.of(after.details).values()
    assert (entry.kind, entry.reason) == (entries.REFUSED, "it is older than the payment")
    assert units_of(payer) == 0


def test_a_claim_of_what_is_not_there_is_looked_for_and_then_refused(
    payer: Person,
) -> None:
    payment = begun(payer)
    nowhere = str(Keypair().sign_message(b"nothing"))
    claimed = looked(claims.claim(payment, nowhere))
    assert kinds(claimed) == [entries.CLAIMED]
    (entry,) = entries.of(claimed.details).values()
    long_ago = (clock.utcnow() - timedelta(hours=2)).isoformat()
    aged = entries.Entry(nowhere, entries.CLAIMED, is_claim=True, since=long_ago)
    payments.take(payment.id, Finding(details=aged.as_details()))
    assert kinds(looked(payment)) == [entries.REFUSED]
    assert entry.signature == nowhere


@pytest.mark.parametrize("text", ["", "hello", "1" * 32, "z" * 500, "https://solscan.io/"])
def test_what_is_no_signature_is_refused(payer: Person, text: str) -> None:
    payment = begun(payer)
    with pytest.raises(Refused, match="signature"):
        claims.claim(payment, text)


def test_claims_are_counted(payer: Person) -> None:
    payment = begun(payer)
    for number in range(claims.CLAIMS_PER_PAYMENT_MAX):
        payment = claims.claim(payment, str(Keypair().sign_message(bytes([number]))))
    with pytest.raises(Refused, match="many"):
        claims.claim(payment, str(Keypair().sign_message(b"one more")))
    other = begun(payer)
    with pytest.raises(RateLimited):
        claims.claim(other, str(Keypair().sign_message(b"another")))


def test_an_operator_says_whose_a_transaction_is_once(
    payer: Person, server: Flask, customer: Wallet
) -> None:
    other = make_person(server, "olga@example.com")
    mine, theirs = begun(payer), begun(other)
    both = [Wallet.references_of(link_of(payment))[0] for payment in (mine, theirs)]
    paid = customer.pay(link_of(mine), references=both, units=7_000_000)
    assert kinds(looked(mine)) == kinds(looked(theirs)) == [entries.REVIEW]
    assert claims.accept(mine, paid.signature, actor="operator:cli") == parse_usd("7")
    with pytest.raises(Refused, match="credited already"):
        claims.accept(theirs, paid.signature, actor="operator:cli")
    with pytest.raises(Refused, match="credited already"):
        claims.accept(mine, paid.signature, actor="operator:cli")
    assert looked(mine).state == states.PAID
    assert (units_of(payer), units_of(other)) == (7_000_000, 0)


def test_an_operators_word_proves_no_money(payer: Person, shop: Shop, customer: Wallet) -> None:
    payment = begun(payer)
    dust = customer.send_sol(link_of(payment))
    with pytest.raises(Refused, match="brought nothing"):
        claims.accept(payment, dust.signature, actor="operator:cli")
    shop.chain.finalizes = False
    unsure = customer.pay(link_of(payment))
    with pytest.raises(ProviderUnavailable):
        claims.accept(payment, unsure.signature, actor="operator:cli")
    assert units_of(payer) == 0
