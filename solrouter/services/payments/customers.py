"""Accounts as payment providers know them, and the cards that those keep for them."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from solrouter import database
from solrouter.models import PaymentCustomer
from solrouter.models.columns import db_now
from solrouter.services.payments.methods import SavedCard
from solrouter.services.payments.rows import Payment

LABEL_CHARACTERS_MAX = 80


@dataclass(frozen=True, slots=True)
class Customer:
    """An account at a provider; `saved_id` is empty while it keeps no card."""

    account_id: int
    customer_id: str
    saved_id: str
    label: str


def find(account_id: int, provider: str, *, is_live: bool) -> Customer | None:
    """The account at this provider, or None."""
    columns = (
        PaymentCustomer.account_id,
        PaymentCustomer.customer_id,
        PaymentCustomer.saved_id,
        PaymentCustomer.saved_label,
    )
    query = select(*columns).where(*_of(account_id, provider, is_live=is_live))
    with database.read() as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else Customer(row[0], row[1], row[2] or "", row[3])


def keep(connection: Connection, payment: Payment, card: SavedCard) -> None:
    """Notes the account's name at the provider, and the card if there is one."""
    upsert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = upsert(PaymentCustomer).values(
        account_id=payment.account_id,
        provider=payment.provider,
        is_live=payment.is_live,
        customer_id=card.customer_id,
        saved_id=card.saved_id or None,
        saved_label=card.label[:LABEL_CHARACTERS_MAX],
        created_at=db_now(),
    )
    changed = {"customer_id": card.customer_id}
    if card.saved_id:
        changed |= {"saved_id": card.saved_id, "saved_label": card.label[:LABEL_CHARACTERS_MAX]}
    keys = (PaymentCustomer.account_id, PaymentCustomer.provider, PaymentCustomer.is_live)
    connection.execute(statement.on_conflict_do_update(index_elements=list(keys), set_=changed))


def forget_card(account_id: int, provider: str, *, is_live: bool) -> None:
    """The card is used no more; the provider may still know it."""
    forgotten = update(PaymentCustomer).where(*_of(account_id, provider, is_live=is_live))
    database.transact(
        lambda connection: connection.execute(forgotten.values(saved_id=None, saved_label=""))
    )


def forget_saved(provider: str, saved_id: str) -> None:
    """The provider keeps this card no more."""
    forgotten = update(PaymentCustomer).where(
        PaymentCustomer.provider == provider, PaymentCustomer.saved_id == saved_id
    )
    database.transact(
        lambda connection: connection.execute(forgotten.values(saved_id=None, saved_label=""))
    )


def forget_all(connection: Connection, account_id: int) -> None:
    """For an account that ends."""
    connection.execute(delete(PaymentCustomer).where(PaymentCustomer.account_id == account_id))


def _of(account_id: int, provider: str, *, is_live: bool) -> tuple[ColumnElement[bool], ...]:
    return (
        PaymentCustomer.account_id == account_id,
        PaymentCustomer.provider == provider,
        PaymentCustomer.is_live.is_(is_live),
    )
