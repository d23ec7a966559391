"""Redeem codes: made by an operator, shown once, worth a gift to each account that types one.

A code has 80 random bits; its row holds a digest. Wrong tries are counted, so that nobody guesses.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from solrouter import clock, database
from solrouter.errors import NotFound, Refused
from solrouter.models import RedeemCode
from solrouter.models.columns import db_now
from solrouter.services import audit, people, throttles
from solrouter.services.payments import gifts, rows

# Without letters and digits that look alike.
ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
CHARACTERS, GROUP = 16, 4
PREFIX = "SR"
USES_MAX = 1_000_000
# A hundred years.
DAYS_MAX = 36_525
LISTED_MAX = 200
TRIES_AT_ONCE_MAX = 10
TRIES_PER_S = 1 / 60
HINT_CHARACTERS = 4
UNKNOWN = "That code is not known here, was used up, or has expired."


@dataclass(frozen=True, slots=True)
class Code:
    """A code as operators see it: never its text."""

    public_id: str
    hint: str
    amount_nanos: int
    uses: int
    uses_max: int
    note: str
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    ended_at: datetime | None


COLUMNS = tuple(getattr(RedeemCode, name) for name in Code.__dataclass_fields__)


def make(
    amount_nanos: int, *, uses_max: int = 1, days: int | None = None, note: str = "", actor: str
) -> str:
    """A new code's text, which is shown this once. Raises Refused."""
    if amount_nanos <= 0:
        raise Refused("A code must be worth more than zero.", param="amount")
    gifts.require_sane(amount_nanos)
    if not 1 <= uses_max <= USES_MAX:
        raise Refused(f"A code can be used between 1 and {USES_MAX:,} times.", param="uses")
    if days is not None and not 1 <= days <= DAYS_MAX:
        raise Refused(f"A code is good for 1 to {DAYS_MAX:,} days.", param="days")
    text = _new_text()
    public_id = f"code_{secrets.token_hex(people.PUBLIC_ID_BYTES)}"
    new = insert(RedeemCode).values(
        public_id=public_id,
        digest=_digest(text),
        hint=text[-HINT_CHARACTERS:],
        amount_nanos=amount_nanos,
        uses_max=uses_max,
        note=note.strip(),
        created_by=actor,
        created_at=db_now(),
        expires_at=None if days is None else clock.utcnow() + timedelta(days=days),
    )
    details = {"amount_nanos": amount_nanos, "uses": uses_max}
    made = audit.event(actor=actor, action="code.made", subject=public_id, details=details)

    def verb(connection: Connection) -> None:
        connection.execute(new)
        connection.execute(made)

    database.transact(verb)
    return text


def list_of() -> list[Code]:
    """The newest codes."""
    query = select(*COLUMNS).order_by(RedeemCode.id.desc()).limit(LISTED_MAX)
    with database.read() as connection:
        return [Code(*row) for row in connection.execute(query)]


def end(public_id: str, *, actor: str) -> None:
    """Ends a code; what it has given stays. Raises NotFound."""
    ended = update(RedeemCode).where(
        RedeemCode.public_id == public_id, RedeemCode.ended_at.is_(None)
    )

    def verb(connection: Connection) -> None:
        if not connection.execute(ended.values(ended_at=db_now())).rowcount:
            raise NotFound("There is no such code.")
        connection.execute(audit.event(actor=actor, action="code.ended", subject=public_id))

    database.transact(verb)


def redeem(account_id: int, user_id: int, text: str) -> rows.Payment:
    """Gives the account what the code is worth, once. Raises Refused and RateLimited."""
    throttles.take(f"account:{account_id}", "redeem", per_s=TRIES_PER_S, burst=TRIES_AT_ONCE_MAX)

    def verb(connection: Connection) -> rows.Payment:
        used = update(RedeemCode).where(RedeemCode.digest == _digest(text), *_is_good())
        used = used.values(uses=RedeemCode.uses + 1)
        columns = (RedeemCode.public_id, RedeemCode.amount_nanos, RedeemCode.hint)
        row = connection.execute(used.returning(*columns)).one_or_none()
        if row is None:
            raise Refused(UNKNOWN, param="code")
        return gifts.give(
            connection,
            account_id,
            row.amount_nanos,
            actor=f"user:{user_id}",
            note=f"Code …{row.hint}",
            provider=gifts.CODE,
            order_id=f"{row.public_id}:{account_id}",
            user_id=user_id,
        )

    try:
        return database.transact(verb)
    except IntegrityError as error:
        raise Refused("This account has used that code already.", param="code") from error


def _is_good() -> tuple[ColumnElement[bool], ...]:
    return (
        RedeemCode.ended_at.is_(None),
        RedeemCode.uses < RedeemCode.uses_max,
        or_(RedeemCode.expires_at.is_(None), RedeemCode.expires_at > db_now()),
    )


def _new_text() -> str:
    letters = "".join(secrets.choice(ALPHABET) for _ in range(CHARACTERS))
    groups = [letters[start : start + GROUP] for start in range(0, CHARACTERS, GROUP)]
    return "-".join((PREFIX, *groups))


def _digest(text: str) -> bytes:
    """Of what was typed, in any case and with or without dashes."""
    typed = "".join(character for character in text.upper() if character.isalnum())
    return hashlib.sha256(f"redeem:{typed.removeprefix(PREFIX)}".encode()).digest()
