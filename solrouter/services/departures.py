"""The end of a user: anonymised, signed out everywhere, their keys dead; the books stay.

| what                                  | becomes                                                  |
|---------------------------------------|----------------------------------------------------------|
| the user                              | a row without address, name, password or ways in         |
| an account that is theirs alone       | emptied into the ledger's `forfeited`, frozen, nameless  |
| its keys                              | revoked, nameless                                        |
| its kept prompts and answers          | deleted                                                  |
| its webhooks and their messages       | deleted                                                  |
| its saved card and automatic top-ups  | forgotten; where refunds were to go, too                 |
| their keys in others' accounts        | disabled, for the owner to see                           |
| transfers, receipts, the audit trail  | stay                                                     |
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select, update

from solrouter import clock, database
from solrouter.errors import Refused
from solrouter.models import (
    Account,
    ApiKey,
    EmailToken,
    Identity,
    Membership,
    RecoveryCode,
    SecondFactor,
    Session,
    User,
)
from solrouter.models.columns import db_now
from solrouter.services import (
    admission,
    alerts,
    audit,
    buyers,
    contents,
    key_networks,
    key_rows,
    member_rows,
    members,
    payments,
    people,
    team_invitations,
    webhooks,
)

NAMELESS = "Deleted"
OWNERLESS = (
    "Other people belong to your account, and no other owner of it can sign in. Make one of them "
    "its owner first, or remove them."
)


@dataclass(frozen=True, slots=True)
class Closing:
    """An account that ends with its only member, and what is given up with it."""

    account_id: int
    public_id: str
    name: str
    posted_nanos: int
    held_nanos: int


def closings(user_id: int) -> list[Closing]:
    """The accounts that would end with this user."""
    with database.read() as connection:
        return _closings(connection, user_id)


def delete_user(user_id: int, *, forfeit_nanos: int) -> None:
    """Ends the user; `forfeit_nanos` is what they were told that they give up, and agreed to.

    Raises Refused: while requests are running, when the sum is another by now, when an account has
    members but would have no owner who can sign in.
    """
    actor = f"user:{user_id}"

    def verb(connection: Connection) -> None:
        _lock_accounts(connection, user_id)
        _refuse_orphans(connection, user_id)
        ending = _closings(connection, user_id)
        if sum(closing.posted_nanos for closing in ending) != forfeit_nanos:
            raise Refused("The balance has changed meanwhile. Look at it again.", param="forfeit")
        for closing in ending:
            _close(connection, closing, actor)
        _leave_others(connection, user_id, [closing.account_id for closing in ending], actor)
        _anonymise(connection, user_id)

    database.transact(verb)


def _closings(connection: Connection, user_id: int) -> list[Closing]:
    mine = select(Membership.account_id).where(Membership.user_id == user_id)
    alone = (
        select(Membership.account_id)
        .where(Membership.account_id.in_(mine))
        .group_by(Membership.account_id)
        .having(func.count() == 1)
    )
    query = select(
        Account.id,
        Account.public_id,
        Account.name,
        Account.paid_nanos + Account.granted_nanos,
        Account.held_nanos,
    )
    rows = connection.execute(query.where(Account.id.in_(alone)).order_by(Account.id))
    return [Closing(*row) for row in rows]


def _lock_accounts(connection: Connection, user_id: int) -> None:
    """So that of two owners who go at once one finds the other gone."""
    mine = select(Membership.account_id).where(Membership.user_id == user_id)
    for account_id in connection.execute(mine.order_by(Membership.account_id)).scalars().all():
        key_rows.lock_account(connection, account_id)


def _refuse_orphans(connection: Connection, user_id: int) -> None:
    """An account with other members needs another owner first, who can sign in."""
    owned = select(Membership.account_id).where(
        Membership.user_id == user_id, Membership.role == people.OWNER
    )
    shared = (
        select(Membership.account_id)
        .where(Membership.account_id.in_(owned), Membership.user_id != user_id)
        .distinct()
        .order_by(Membership.account_id)
    )
    for account_id in connection.execute(shared).scalars().all():
        if not member_rows.has_other_owner(connection, account_id, without=user_id):
            raise Refused(OWNERLESS)


def _close(connection: Connection, closing: Closing, actor: str) -> None:
    admission.forfeit(
        connection, closing.account_id, expected_nanos=closing.posted_nanos, actor=actor
    )
    of_account = update(ApiKey).where(ApiKey.account_id == closing.account_id)
    revoked = of_account.where(ApiKey.revoked_at.is_(None)).values(revoked_at=db_now())
    count = connection.execute(revoked).rowcount
    connection.execute(of_account.values(name=NAMELESS))
    team_invitations.remove_all(connection, closing.account_id)
    contents.close(connection, closing.account_id)
    payments.forget(connection, closing.account_id)
    alerts.forget(connection, closing.account_id)
    key_networks.forget(connection, closing.account_id)
    buyers.forget(connection, closing.account_id)
    webhooks.forget(connection, closing.account_id)
    named = update(Account).where(Account.id == closing.account_id)
    connection.execute(named.values(name=NAMELESS))
    connection.execute(
        audit.event(
            actor=actor,
            action="account.deleted",
            subject=f"account:{closing.account_id}",
            account_id=closing.account_id,
            details={"forfeited_nanos": closing.posted_nanos, "keys_revoked": count},
        )
    )


def _leave_others(connection: Connection, user_id: int, closed: Sequence[int], actor: str) -> None:
    others = select(Membership.account_id).where(
        Membership.user_id == user_id, Membership.account_id.not_in(closed)
    )
    for account_id in connection.execute(others).scalars().all():
        count = members.end(connection, account_id, user_id)
        connection.execute(
            audit.event(
                actor=actor,
                action="member.left",
                subject=f"user:{user_id}",
                account_id=account_id,
                details={"keys_disabled": count},
            )
        )


def _anonymise(connection: Connection, user_id: int) -> None:
    for table in (Session, Identity, EmailToken, RecoveryCode, SecondFactor):
        connection.execute(delete(table).where(table.user_id == user_id))
    of_user = update(User).where(User.id == user_id)
    now = clock.utcnow()
    connection.execute(
        of_user.values(
            email=User.public_id + "@deleted.invalid",
            email_verified_at=None,
            name="",
            password_hash=None,
            is_operator=False,
            disabled_at=now,
            deleted_at=now,
            own_account_id=None,
        )
    )
