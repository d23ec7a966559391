"""Automatic top-ups carried out: the saved card is charged when a balance is below its threshold.

At most one is under way for an account: a unique index of the payments says so, whoever looks. Its
row comes first and names the charge at the provider, so that none is made twice.
"""

import logging
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, func, or_, select
from sqlalchemy.exc import IntegrityError

from solrouter import clock, database
from solrouter.errors import NotFound, Refused, SolRouterError
from solrouter.models import Account, AutoTopUp, Membership, Payment, User
from solrouter.models.columns import db_now
from solrouter.money import display_usd
from solrouter.services import admission, links, outbox, people
from solrouter.services.payments import (
    checking,
    customers,
    orders,
    registry,
    rows,
    standing,
    states,
)
from solrouter.services.payments.standing import StandingOrder
from solrouter.services.payments.stripe.method import CARD, PROVIDER, StripeMethod

log = logging.getLogger(__name__)

AT_ONCE_MAX = 20
RETRY_S = 600
# Who may spend the account's money on more of it.
KEEPERS = (people.OWNER, "billing")
NO_CARD = "There is no saved card. Add credits once with “Save this card” ticked."


@dataclass(frozen=True, slots=True)
class Terms:
    """What a person orders."""

    account_id: int
    user_id: int
    threshold_nanos: int
    amount_nanos: int
    monthly_cap_nanos: int


def turn_on(terms: Terms) -> None:
    """Orders automatic top-ups. Raises Refused."""
    orders.require_amount(terms.amount_nanos)
    if terms.threshold_nanos < 0:
        raise Refused("The balance to top up below cannot be negative.", param="threshold")
    if terms.monthly_cap_nanos < terms.amount_nanos:
        raise Refused("The most in a month must be enough for one top-up.", param="cap")
    if card_of(terms.account_id) is None:
        raise Refused(NO_CARD)
    order = StandingOrder(
        account_id=terms.account_id,
        user_id=terms.user_id,
        is_on=True,
        threshold_nanos=terms.threshold_nanos,
        amount_nanos=terms.amount_nanos,
        monthly_cap_nanos=terms.monthly_cap_nanos,
        failures=0,
        problem="",
        consented_at=clock.utcnow(),
    )
    database.transact(lambda connection: standing.put(connection, order))


def turn_off(account_id: int, *, actor: str) -> None:
    """Ends automatic top-ups; one that is under way goes on."""
    database.transact(lambda connection: standing.turn_off(connection, account_id, actor=actor))


def card_of(account_id: int) -> customers.Customer | None:
    """The card that the provider keeps for the account, if any."""
    method = registry.of(PROVIDER)
    if method is None or not method.offers():
        return None
    found = customers.find(account_id, PROVIDER, is_live=method.is_live())
    return found if found is not None and found.saved_id else None


def portal_url(account_id: int) -> str:
    """Where the account's card is seen and changed; empty when the provider knows none."""
    method = registry.of(PROVIDER)
    if not isinstance(method, StripeMethod) or not method.offers():
        return ""
    customer = customers.find(account_id, PROVIDER, is_live=method.is_live())
    if customer is None:
        return ""
    return method.portal_url(customer.customer_id, return_url=links.to(links.BALANCE))


def run_due() -> int:
    """Tops up the accounts that are below their threshold; says how many were begun."""
    method = registry.of(PROVIDER)
    if method is None or not method.offers():
        return 0
    with database.read() as connection:
        query = select(*standing.COLUMNS).join(Account, Account.id == AutoTopUp.account_id)
        found = connection.execute(query.where(*_is_due()).limit(AT_ONCE_MAX)).all()
    return sum(top_up(StandingOrder(*row)) for row in found)


def top_up(order: StandingOrder) -> bool:
    """Charges the card of one account, unless another process does; says whether it was begun."""
    try:
        payment = _written(order)
    except NotFound:
        database.transact(lambda connection: standing.nobody_consents(connection, order))
        outbox.ring()
        return False
    except SolRouterError as error:
        _put_off(order, error.message)
        return False
    if payment is None:
        return False
    method, _ = orders.chosen(PROVIDER, CARD)
    try:
        begun = orders.resume(payment, method).payment
        checking.check(begun)
    except Refused as refusal:
        # Nothing was charged, and the provider says why.
        checking.fail(payment, refusal.message)
    except SolRouterError as error:
        log.warning("the automatic top-up %s has to wait: %s", payment.public_id, error.message)
    return True


def _is_due() -> tuple[ColumnElement[bool], ...]:
    is_under_way = select(Payment.id).where(
        Payment.account_id == AutoTopUp.account_id,
        Payment.is_automatic,
        Payment.state.in_(states.OPEN),
    )
    return (
        AutoTopUp.is_on.is_(True),
        or_(AutoTopUp.next_try_at.is_(None), AutoTopUp.next_try_at <= db_now()),
        Account.paid_nanos + Account.granted_nanos < AutoTopUp.threshold_nanos,
        Account.frozen_at.is_(None),
        ~is_under_way.exists(),
    )


def _written(order: StandingOrder) -> rows.Payment | None:
    """The row of the payment; None when the balance was topped up meanwhile.

    Raises Refused, and NotFound when who consented keeps the account's money no longer.
    """
    method, offer = orders.chosen(PROVIDER, CARD)
    wish = orders.Wish(
        order.account_id,
        order.user_id,
        PROVIDER,
        CARD,
        order.amount_nanos,
        is_automatic=True,
    )

    def verb(connection: Connection) -> rows.Payment | None:
        admission.lock(connection, order.account_id)
        query = select(*standing.COLUMNS).join(Account, Account.id == AutoTopUp.account_id)
        query = query.where(AutoTopUp.account_id == order.account_id, *_is_due())
        if connection.execute(query).first() is None:
            return None
        _require_keeper(connection, order)
        _refuse_above_cap(connection, order)
        return orders.write_in(connection, wish, method, offer)

    try:
        return database.transact(verb)
    except IntegrityError:
        return None


def _require_keeper(connection: Connection, order: StandingOrder) -> None:
    """Raises NotFound unless who let the card be charged may still do so."""
    keeper = (
        select(User.id)
        .join(Membership, Membership.user_id == User.id)
        .where(User.id == order.user_id, User.disabled_at.is_(None))
        .where(Membership.account_id == order.account_id, Membership.role.in_(KEEPERS))
    )
    if connection.execute(keeper).first() is None:
        raise NotFound("Nobody lets the card be charged.")


def _refuse_above_cap(connection: Connection, order: StandingOrder) -> None:
    month = clock.utcnow().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    spent = select(func.coalesce(func.sum(Payment.amount_nanos), 0)).where(
        Payment.account_id == order.account_id,
        Payment.is_automatic,
        Payment.created_at >= month,
        Payment.state.not_in(orders.ENDED_BADLY),
    )
    so_far = int(connection.execute(spent).scalar_one())
    if so_far + order.amount_nanos > order.monthly_cap_nanos:
        cap = display_usd(order.monthly_cap_nanos)
        raise Refused(f"The most in a month, {cap}, is reached.")


def _put_off(order: StandingOrder, problem: str) -> None:
    def verb(connection: Connection) -> None:
        standing.put_off(connection, order.account_id, by_s=RETRY_S, problem=problem)

    database.transact(verb)
