"""The audit trail as people read it: their own account's, and all of it for operators.

Row numbers do not leave: actors and subjects are told by address, name or public id.
"""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, or_, select

from solrouter import database
from solrouter.errors import NotFound
from solrouter.models import Account, ApiKey, AuditEvent, Membership, User
from solrouter.services import people

SYSTEM = "This server"
COMMAND = "Operator, by command"
OPERATOR = "Operator"
GONE = "Somebody who left"
ACTORS = {"system": SYSTEM, "operator:cli": COMMAND}
Names = Mapping[str, str]
# What acts are about, and how their names begin.
ABOUT: Mapping[str, tuple[str, ...]] = {
    "money": ("credit", "payment", "code", "auto_top_up"),
    "accounts": ("account", "member", "invitation"),
    "people": ("session", "user", "password", "second_factor", "sign_in"),
    "keys": ("key",),
    "catalogue": ("catalogue", "model", "offer", "price", "provider", "plan"),
    "notices": ("incident", "announcement"),
}


@dataclass(frozen=True, slots=True)
class Event:
    """One act. `details` holds what was given, or [before, after] of what was changed."""

    id: str
    created_at: datetime
    actor: str
    action: str
    subject: str
    network: str
    account_public_id: str
    details: Mapping[str, Any]


def of_account(account_id: int, *, limit: int, before: str | None = None) -> list[Event]:
    """The account's acts, newest first, from before the event `before`. Raises NotFound.

    Operators who are no members are told as such and not by name, nor from where they came.
    """
    query = _query().where(AuditEvent.account_id == account_id)
    rows = _page(query, limit=limit, before=before)

    def read(connection: Connection) -> list[Event]:
        found = connection.execute(rows).all()
        names = _names(connection, found, account_id=account_id)
        return [_event(row, names, hides_strangers=True) for row in found]

    return database.read_apart(read)


def of_all(
    *, limit: int, before: str | None = None, account: str = "", about: str = ""
) -> list[Event]:
    """Everybody's acts, newest first, for operators. Raises NotFound.

    Those of the account of this public id, and about this one of ABOUT, where they are given.
    """
    if not people.is_storable(account):
        return []
    query = _query()
    if account:
        named = select(Account.id).where(Account.public_id == account)
        query = query.where(AuditEvent.account_id == named.scalar_subquery())
    if about in ABOUT:
        query = query.where(or_(*(AuditEvent.action.like(f"{word}.%") for word in ABOUT[about])))
    rows = _page(query, limit=limit, before=before)

    def read(connection: Connection) -> list[Event]:
        found = connection.execute(rows).all()
        names = _names(connection, found)
        return [_event(row, names, hides_strangers=False) for row in found]

    return database.read_apart(read)


def names_of(actors: Iterable[str]) -> Names:
    """What operators call whoever acted, by `user:7`, `system` …"""
    numbers = _numbers(set(actors), "user")
    users = select(User.id, User.email).where(User.id.in_(numbers))

    def read(connection: Connection) -> Names:
        found = connection.execute(users).all() if numbers else ()
        return {**ACTORS, **{f"user:{row.id}": str(row.email) for row in found}}

    return database.read_apart(read)


def _query() -> Select[*tuple[Any, ...]]:
    return select(
        AuditEvent.id,
        AuditEvent.created_at,
        AuditEvent.actor,
        AuditEvent.action,
        AuditEvent.subject,
        AuditEvent.network,
        AuditEvent.account_id,
        AuditEvent.details,
    )


def _page(
    query: Select[*tuple[Any, ...]], *, limit: int, before: str | None
) -> Select[*tuple[Any, ...]]:
    if before is not None:
        try:
            query = query.where(AuditEvent.id < uuid.UUID(before))
        except ValueError:
            raise NotFound("There is no such page of the audit log.") from None
    return query.order_by(AuditEvent.id.desc()).limit(limit)


def _event(row: Any, names: Names, *, hides_strangers: bool) -> Event:
    actor = names.get(row.actor) or ACTORS.get(row.actor)
    is_stranger = actor in (None, GONE)
    return Event(
        id=str(row.id),
        created_at=row.created_at,
        actor=actor or (OPERATOR if row.actor.startswith("user:") else row.actor),
        action=row.action,
        subject=names.get(row.subject) or _unnamed(row.subject),
        network="" if is_stranger and hides_strangers else row.network,
        account_public_id=names.get(f"account:{row.account_id}", ""),
        details=row.details or {},
    )


def _unnamed(subject: str) -> str:
    return GONE if subject.startswith("user:") else subject


def _names(connection: Connection, rows: Sequence[Any], *, account_id: int | None = None) -> Names:
    """What people call the users, keys and accounts in these rows, by `user:7`, `key:7` …

    With an account, only users who belong to it have names; of the others it is told which were
    members and not operators.
    """
    words = {word for row in rows for word in (row.actor, row.subject)}
    words |= {f"account:{row.account_id}" for row in rows if row.account_id is not None}
    users = select(User.id, User.email)
    if account_id is not None:
        members = select(Membership.user_id).where(Membership.account_id == account_id)
        users = users.where(User.id.in_(members))
    of_keys = select(ApiKey.id, ApiKey.name, ApiKey.hint)
    of_accounts = select(Account.id, Account.public_id)
    found: dict[str, str] = {}
    if account_id is not None:
        plain = select(User.id).where(User.is_operator.is_(False))
        gone = connection.execute(plain.where(User.id.in_(_numbers(words, "user"))))
        found |= {f"user:{number}": GONE for number in gone.scalars()}
    kinds: tuple[tuple[str, Select[*tuple[Any, ...]], Any, Callable[[Any], str]], ...] = (
        ("user", users, User.id, lambda row: str(row.email)),
        ("key", of_keys, ApiKey.id, lambda row: f"{row.name} ({row.hint})"),
        ("account", of_accounts, Account.id, lambda row: str(row.public_id)),
    )
    for kind, query, column, name in kinds:
        numbers = _numbers(words, kind)
        if numbers:
            for row in connection.execute(query.where(column.in_(numbers))):
                found[f"{kind}:{row[0]}"] = name(row)
    return found


def _numbers(words: set[str], kind: str) -> list[int]:
    named = (word.partition(":") for word in words)
    return sorted(int(rest) for first, _, rest in named if first == kind and rest.isdecimal())
