"""A wish to pay becomes an order: the brakes are asked, the row is written, the provider is told.

The row is there before the provider knows of it, so that no money comes that belongs to nobody.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_CEILING
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from solrouter import clock, config, database, models
from solrouter.errors import NotFound, Refused
from solrouter.models import Account, Membership, Payment, User
from solrouter.models.columns import db_now
from solrouter.money import NANOS_PER_USD, display_usd, divide_up
from solrouter.services import admission, audit, links, throttles
from solrouter.services.payments import registry, rows, states
from solrouter.services.payments.methods import Method, Offer, Started

CENT_NANOS = NANOS_PER_USD // 100
FIRST_DAY = timedelta(days=1)
DAY_S = 86_400
HOUR_S = 3_600
CURRENCY = "usd"
ENDED_BADLY = (states.FAILED, states.EXPIRED)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person wants to pay, and how. The same `idempotency` twice is one payment."""

    account_id: int
    user_id: int
    provider: str
    method: str
    amount_nanos: int
    idempotency: str | None = None
    is_automatic: bool = False
    details: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """A payment that is begun; without `pay_url` its own page says how to pay."""

    payment: rows.Payment
    pay_url: str


def begin(wish: Wish) -> Order:
    """Begins a payment. Raises Refused, RateLimited and ProviderUnavailable.

    When the provider does not answer, the row stays and the same wish may be made again.
    """
    method, offer = chosen(wish.provider, wish.method)
    require_amount(wish.amount_nanos)
    with database.read() as connection:
        known = _known(connection, wish)
    if known is not None:
        return resume(known, method)
    throttles.take(
        f"account:{wish.account_id}",
        "payments",
        per_s=config.current()["SOLROUTER_TOP_UPS_PER_HOUR"] / HOUR_S,
        burst=config.current()["SOLROUTER_TOP_UPS_PER_HOUR"],
    )
    payment = write(wish, method, offer)
    return resume(payment, method)


def chosen(provider: str, name: str) -> tuple[Method, Offer]:
    """The way to pay of this name. Raises Refused."""
    for method, offer in registry.offers():
        if (method.provider, offer.method) == (provider, name):
            return method, offer
    raise Refused("Choose a way to pay that is offered here.", param="method")


def require_amount(amount_nanos: int) -> None:
    """Raises Refused for less, for more, and for parts of a cent."""
    settings = config.current()
    least, most = settings["SOLROUTER_TOP_UP_MIN"], settings["SOLROUTER_TOP_UP_MAX"]
    if not least <= amount_nanos <= most:
        raise Refused(
            f"A top-up is between {display_usd(least)} and {display_usd(most)}.", param="amount"
        )
    if amount_nanos % CENT_NANOS:
        raise Refused("An amount is in dollars and whole cents.", param="amount")


def fee_of(amount_nanos: int, offer: Offer) -> int:
    """What is paid on top, in whole cents, rounded up."""
    part = int((amount_nanos * offer.fee_percent / 100).to_integral_value(ROUND_CEILING))
    fee = max(part, offer.fee_nanos)
    return divide_up(fee, CENT_NANOS) * CENT_NANOS


def write(wish: Wish, method: Method, offer: Offer) -> rows.Payment:
    """Writes the row, if every brake agrees. Raises Refused."""
    return database.transact(lambda connection: write_in(connection, wish, method, offer))


def write_in(connection: Connection, wish: Wish, method: Method, offer: Offer) -> rows.Payment:
    """`write`, in the caller's transaction."""
    admission.lock(connection, wish.account_id)
    if (known := _known(connection, wish)) is not None:
        return known
    holder = _holder(connection, wish)
    _refuse_who_may_not(holder)
    _refuse_too_much(connection, wish)
    values = {
        "public_id": rows.new_public_id(),
        "account_id": wish.account_id,
        "user_id": wish.user_id,
        "provider": method.provider,
        "method": offer.method,
        "is_live": method.is_live(),
        "is_automatic": wish.is_automatic,
        "idempotency": wish.idempotency,
        "amount_nanos": wish.amount_nanos,
        "fee_nanos": fee_of(wish.amount_nanos, offer),
        "currency": CURRENCY,
        "state": states.CREATED,
        "details": dict(wish.details or {}),
        "held_until": _held_until(wish.amount_nanos, holder.created_at, clock.utcnow()),
        "created_at": db_now(),
        "updated_at": db_now(),
        # A process may die before the provider is told, or before it hears of it.
        "due_at": db_now(FORGOTTEN_S),
    }
    inserted = insert(Payment).values(values).returning(Payment.id)
    payment = rows.get(connection, connection.execute(inserted).scalar_one())
    connection.execute(_begun(payment))
    return payment


# An order whose beginning nobody has finished is looked at again after so long.
FORGOTTEN_S = 120


def started(payment_id: int, answer: Started) -> rows.Payment:
    """Notes what the provider calls the order, and where to pay."""

    def verb(connection: Connection) -> rows.Payment:
        # The provider may tell of the payment sooner than it has answered us, and whoever hears it
        # waits here: what they write is read below and not undone.
        admission.lock(connection, rows.get(connection, payment_id).account_id)
        payment = rows.get(connection, payment_id)
        changed: dict[str, Any] = {
            "order_id": answer.order_id,
            "charge_id": payment.charge_id or answer.charge_id,
            "expires_at": answer.expires_at,
            "updated_at": db_now(),
        }
        if not payment.has_money:
            pay_url = {"pay_url": answer.pay_url}
            changed["details"] = {**payment.details, **answer.details, **pay_url}
            changed["due_at"] = None if answer.due_in_s is None else db_now(answer.due_in_s)
        if payment.state == states.CREATED:
            changed["state"] = states.PENDING
        connection.execute(update(Payment).where(Payment.id == payment_id).values(changed))
        return rows.get(connection, payment_id)

    return database.transact(verb)


def resume(payment: rows.Payment, method: Method) -> Order:
    """Tells the provider, unless it knows already."""
    if payment.order_id is None:
        answer = method.begin(
            payment,
            return_url=links.to(links.PAYMENT, payment.public_id),
            email=email_of(payment.user_id),
        )
        payment = started(payment.id, answer)
    return Order(payment, str(payment.details.get("pay_url", "")))


def email_of(user_id: int | None) -> str:
    """The address of who pays."""
    with database.read() as connection:
        query = select(models.User.email).where(models.User.id == user_id)
        return str(connection.execute(query).scalar() or "")


def _known(connection: Connection, wish: Wish) -> rows.Payment | None:
    if wish.idempotency is None:
        return None
    payment = rows.of_form(connection, wish.account_id, wish.idempotency)
    if payment is None:
        return None
    same = (wish.provider, wish.method, wish.amount_nanos)
    if (payment.provider, payment.method, payment.amount_nanos) != same:
        raise Refused("This form was sent before with another amount. Open the page again.")
    return payment


def _holder(connection: Connection, wish: Wish) -> Any:
    query = (
        select(
            Account.frozen_at,
            Account.flagged_at,
            Account.created_at,
            User.email_verified_at,
            User.disabled_at,
            Membership.role,
        )
        .join(Membership, Membership.account_id == Account.id)
        .join(User, User.id == Membership.user_id)
        .where(Account.id == wish.account_id, User.id == wish.user_id)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("There is no such account.")
    return row


def _refuse_who_may_not(holder: Any) -> None:
    if holder.email_verified_at is None:
        raise Refused("Confirm your e-mail address first; then you can add credits.")
    if holder.disabled_at is not None or holder.frozen_at is not None:
        raise Refused("This account is frozen. Please write to the operator.")


def _refuse_too_much(connection: Connection, wish: Wish) -> None:
    settings = config.current()
    recent = select(func.coalesce(func.sum(Payment.amount_nanos), 0)).where(
        Payment.created_at > db_now(-DAY_S), Payment.state.not_in(ENDED_BADLY)
    )
    recent = recent.where(Payment.provider.not_in(rows.GIFTS))
    of_account = settings["SOLROUTER_TOP_UP_ACCOUNT_DAY_MAX"]
    if of_account:
        mine = recent.where(Payment.account_id == wish.account_id)
        if int(connection.execute(mine).scalar_one()) + wish.amount_nanos > of_account:
            raise Refused(
                f"An account can add {display_usd(of_account)} in 24 hours. Try less, or later.",
                param="amount",
            )
    of_server = settings["SOLROUTER_TOP_UP_SERVER_DAY_MAX"]
    if of_server and int(connection.execute(recent).scalar_one()) + wish.amount_nanos > of_server:
        raise Refused(
            "This server takes no such sum today any more. Try less, or come back tomorrow.",
            param="amount",
        )


def _held_until(amount_nanos: int, account_since: datetime, now: datetime) -> datetime | None:
    above = config.current()["SOLROUTER_FIRST_DAY_HOLD_ABOVE"]
    ends_at = account_since + FIRST_DAY
    return ends_at if above is not None and amount_nanos > above and now < ends_at else None


def _begun(payment: rows.Payment) -> Any:
    details: dict[str, Any] = {"amount_nanos": payment.amount_nanos, "method": payment.method}
    return audit.event(
        actor="system" if payment.is_automatic else f"user:{payment.user_id}",
        action="payment.begun",
        subject=f"payment:{payment.public_id}",
        account_id=payment.account_id,
        details=details,
    )
