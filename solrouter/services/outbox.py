"""Orders to send a mail: written in the transaction of the act itself, carried out afterwards.

An order says who and why and holds no secret: the letter and its token are made when it is sent.
So asking for a mail takes the same time whether or not there is anybody to send it to, and no mail
is lost with the process that ordered it. `delivery` sends them.

| an order is        | when                                                                    |
|--------------------|-------------------------------------------------------------------------|
| tried again        | the server did not take it: after 1, 2, 4 … minutes, at most an hour    |
| given up           | the server refused it for ever, or after TRIES_MAX tries (half a day)   |
| forgotten          | KEPT_DAYS after its end                                                 |
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, or_, select, update

from solrouter import config, database
from solrouter.models import OutgoingMail
from solrouter.models.columns import db_now
from solrouter.services import due_rows

TRIES_MAX = 16
FIRST_DELAY_S = 60
DELAY_S_MAX = 3600
# So long one process may take to send one; then another may try.
CLAIM_S = 120
KEPT_DAYS = 30
PROBLEM_CHARACTERS_MAX = 200
LISTED_MAX = 100

_bell = due_rows.Bell()


@dataclass(frozen=True, slots=True)
class Order:
    """A mail that is to be sent."""

    id: int
    kind: str
    recipient: str
    user_id: int | None
    facts: Mapping[str, Any]
    created_at: datetime
    tries: int


@dataclass(frozen=True, slots=True)
class Mail:
    """An order as people see it in a list."""

    id: int
    kind: str
    recipient: str
    created_at: datetime
    tries: int
    sent_at: datetime | None
    failed_at: datetime | None
    problem: str
    shown: str | None


def is_on() -> bool:
    """Whether mails reach anybody: by SMTP, or in development on a page."""
    settings = config.current()
    return bool(settings["SMTP_URL"]) or settings["SOLROUTER_ENV"] == "development"


def put(
    connection: Connection,
    kind: str,
    recipient: str,
    *,
    user_id: int | None = None,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Orders a mail in the caller's transaction; `ring` after its commit."""
    connection.execute(
        insert(OutgoingMail).values(
            kind=kind,
            recipient=recipient,
            user_id=user_id,
            facts=dict(facts or {}),
            created_at=db_now(),
            due_at=db_now(),
        )
    )


def ring() -> None:
    """Says that there is something to send; for after the commit."""
    _bell.ring()


def wait_for_ring(timeout_s: float) -> None:
    """Returns when somebody rang, or after a while."""
    _bell.wait(timeout_s)


def claim(*, ahead_s: int = 0) -> list[Order]:
    """Takes some orders that are due, or will be in `ahead_s`; for a while nobody else does."""
    columns = (
        OutgoingMail.id,
        OutgoingMail.kind,
        OutgoingMail.recipient,
        OutgoingMail.user_id,
        OutgoingMail.facts,
        OutgoingMail.created_at,
        OutgoingMail.tries,
    )
    rows = due_rows.claim(OutgoingMail, columns, claim_s=CLAIM_S, ahead_s=ahead_s)
    return [Order(*row) for row in rows]


def is_any_due(*, ahead_s: int = 0) -> bool:
    """Whether there is anything to claim."""
    return due_rows.is_any_due(OutgoingMail, ahead_s=ahead_s)


def sent(order: Order, *, shown: str | None = None) -> None:
    """The order is carried out."""
    _finish(order, sent_at=db_now(), shown=shown, problem="")


def refused(order: Order, problem: str) -> None:
    """The order can never be carried out."""
    _finish(order, failed_at=db_now(), problem=problem[:PROBLEM_CHARACTERS_MAX])


def failed(order: Order, problem: str) -> bool:
    """The order was not carried out this time; says whether it will be tried again."""
    if order.tries >= TRIES_MAX:
        refused(order, problem)
        return False
    delay_s = min(FIRST_DELAY_S * 2 ** (order.tries - 1), DELAY_S_MAX)
    statement = (
        update(OutgoingMail)
        .where(OutgoingMail.id == order.id)
        .values(due_at=db_now(delay_s), problem=problem[:PROBLEM_CHARACTERS_MAX])
    )
    database.transact(lambda connection: connection.execute(statement).rowcount)
    return True


def give_back(orders: Iterable[Order]) -> None:
    """These were claimed and not tried: in a minute they are anybody's again, and no try counts."""
    ids = [order.id for order in orders]
    if not ids:
        return
    untried = update(OutgoingMail).where(OutgoingMail.id.in_(ids), OutgoingMail.due_at.is_not(None))
    untried = untried.values(due_at=db_now(FIRST_DELAY_S), tries=OutgoingMail.tries - 1)
    database.transact(lambda connection: connection.execute(untried).rowcount)


def drop(order: Order) -> None:
    """There is nobody to send it to, or no need any more; nothing is left of it."""
    statement = delete(OutgoingMail).where(OutgoingMail.id == order.id)
    database.transact(lambda connection: connection.execute(statement).rowcount)


def drop_all() -> int:
    """Where no mail is sent nothing waits for the day when it is; says how many there were."""
    statement = delete(OutgoingMail).where(OutgoingMail.due_at.is_not(None))
    return database.transact(lambda connection: connection.execute(statement).rowcount)


def retry_failed() -> int:
    """Tries again what was given up; says how many."""
    statement = (
        update(OutgoingMail)
        .where(OutgoingMail.failed_at.is_not(None))
        .values(failed_at=None, due_at=db_now(), tries=0)
    )
    return database.transact(lambda connection: connection.execute(statement).rowcount)


def failed_count() -> int:
    """How many mails were given up lately."""
    statement = select(func.count()).where(OutgoingMail.failed_at.is_not(None))
    with database.read() as connection:
        return connection.execute(statement).scalar_one()


def list_of(*, only_failed: bool = False) -> list[Mail]:
    """The newest mails."""
    statement = select(*_SHOWN).order_by(OutgoingMail.id.desc()).limit(LISTED_MAX)
    if only_failed:
        statement = statement.where(OutgoingMail.failed_at.is_not(None))
    with database.read() as connection:
        return [Mail(*row) for row in connection.execute(statement)]


def forget_old() -> int:
    """Deletes what ended long ago; says how many."""
    long_ago = db_now(-KEPT_DAYS * 86400)
    statement = delete(OutgoingMail).where(
        or_(OutgoingMail.sent_at < long_ago, OutgoingMail.failed_at < long_ago)
    )
    return database.transact(lambda connection: connection.execute(statement).rowcount)


_SHOWN = (
    OutgoingMail.id,
    OutgoingMail.kind,
    OutgoingMail.recipient,
    OutgoingMail.created_at,
    OutgoingMail.tries,
    OutgoingMail.sent_at,
    OutgoingMail.failed_at,
    OutgoingMail.problem,
    OutgoingMail.shown,
)


def _finish(order: Order, **values: Any) -> None:
    statement = update(OutgoingMail).where(OutgoingMail.id == order.id)
    statement = statement.values(due_at=None, **values)
    database.transact(lambda connection: connection.execute(statement).rowcount)
