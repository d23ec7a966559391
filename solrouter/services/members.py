"""Who belongs to an account: invited, joined, given another role, gone. Only owners manage them.

| of who leaves or is removed | becomes                                                           |
|-----------------------------|-------------------------------------------------------------------|
| keys in the account         | disabled in the same transaction, and marked for its owners       |
| browsers that act for it    | act for their own account; for a new one, if this was their own   |
| what they invited           | taken back                                                        |
| their budget                | gone with their membership                                        |

Who gets another role loses in the same way the keys that it may not have: billing has none, and
only owners have management keys. Who owns the account no longer loses what they invited.

Every verb waits for the account's lock first and looks then, so that of two owners who leave at
once one stays.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, true, update

from solrouter import config, database
from solrouter.errors import Forbidden, NotFound, Refused
from solrouter.models import Account, Membership, Session, User
from solrouter.models.columns import db_now
from solrouter.services import (
    audit,
    budgets,
    key_rows,
    links,
    member_rows,
    notices,
    outbox,
    people,
    team_invitations,
    throttles,
)
from solrouter.services.budgets import OfMember
from solrouter.services.member_rows import LeftKey, Member
from solrouter.services.team_invitations import Pending

OWNER, BILLING, DEVELOPER = member_rows.OWNER, member_rows.BILLING, member_rows.DEVELOPER
ROLES = (OWNER, BILLING, DEVELOPER)
# Invitations that nobody has used count, too.
MEMBERS_MAX = 100
INVITATIONS_AT_ONCE_MAX = 30
INVITATIONS_PER_S = 1 / 60
GONE = "This invitation was used already, was taken back, or is too old. Ask for another one."
LAST_OWNER = "An account needs an owner. Make somebody else one first."


@dataclass(frozen=True, slots=True)
class Team:
    """An account's people, who is invited, and the keys that people left behind."""

    members: list[Member]
    pending: list[Pending]
    left_keys: list[LeftKey]


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of an invitation: it is mailed, or here is the link to hand over, this once."""

    email: str
    link: str | None


@dataclass(frozen=True, slots=True)
class Moved:
    """A member in their new role, and how many of their keys it has stopped."""

    member: Member
    keys_stopped: int


def team_of(account_id: int) -> Team:
    """The account's team, in the order in which people joined."""
    with database.read() as connection:
        return Team(
            member_rows.members(connection, account_id),
            team_invitations.of_account(connection, account_id),
            member_rows.left_keys(connection, account_id),
        )


def find(account_id: int, public_id: str) -> Member:
    """One member of the account. Raises NotFound."""
    for member in team_of(account_id).members:
        if member.public_id == public_id:
            return member
    raise NotFound(member_rows.NOBODY)


def invite(account_id: int, email: str, role: str, *, by: int) -> Sent:
    """Invites the owner of an address, anew if they were before.

    Raises Refused (`email`, `role`), Forbidden and RateLimited.
    """
    address, role = people.as_email(email), _as_role(role)

    def write(connection: Connection) -> str:
        _lock_as_owner(connection, account_id, by)
        _refuse_member(connection, account_id, address)
        public_id = team_invitations.put(connection, account_id, address, role, by)
        if _count(connection, account_id) > MEMBERS_MAX:
            raise Refused(f"An account has at most {MEMBERS_MAX} members.", param="email")
        details = {"email": address, "role": role}
        _note(connection, account_id, "member.invited", f"email:{address}", by=by, **details)
        _order_mail(connection, address, public_id)
        return public_id

    _throttle(account_id)
    return _sent(address, database.transact(write))


def resend(account_id: int, public_id: str, *, by: int) -> Sent:
    """Sends an invitation once more, for a week from now; the link before works no more.

    Raises NotFound, Forbidden and RateLimited.
    """

    def write(connection: Connection) -> tuple[str, str]:
        _lock_as_owner(connection, account_id, by)
        found = team_invitations.find(connection, account_id, public_id)
        if found is None:
            raise NotFound("There is no such invitation.")
        again = team_invitations.put(connection, account_id, found.email, found.role, by)
        details = {"email": found.email, "role": found.role}
        _note(connection, account_id, "member.invited", f"email:{found.email}", by=by, **details)
        _order_mail(connection, found.email, again)
        return found.email, again

    _throttle(account_id)
    return _sent(*database.transact(write))


def revoke(account_id: int, public_id: str, *, by: int) -> str:
    """Takes an invitation back, and returns its address. Raises NotFound and Forbidden."""

    def write(connection: Connection) -> str:
        _lock_as_owner(connection, account_id, by)
        found = team_invitations.find(connection, account_id, public_id)
        if found is None:
            raise NotFound("There is no such invitation.")
        team_invitations.remove(connection, account_id, public_id)
        subject = f"email:{found.email}"
        _note(connection, account_id, "member.invitation_revoked", subject, by=by)
        return found.email

    return database.transact(write)


def invited(user_id: int, token: str) -> Pending:
    """What the token invites this user to. Raises Refused when it is not for them, or no more."""
    with database.read() as connection:
        return _invited(connection, user_id, token)


def accept(user_id: int, token: str) -> Pending:
    """Makes the user a member, once, if the invitation is for their verified address.

    Raises Refused.
    """
    with database.read() as connection:
        seen = _invited(connection, user_id, token)

    def write(connection: Connection) -> Pending:
        key_rows.lock_account(connection, seen.account_id)
        found = _invited(connection, user_id, token)
        if not team_invitations.take(connection, token):
            raise Refused(GONE)
        row = {"user_id": user_id, "account_id": found.account_id, "role": found.role}
        connection.execute(insert(Membership).values(created_at=db_now(), **row))
        details = {"role": found.role, "invited_by": found.invited_by}
        subject = f"user:{user_id}"
        _note(connection, found.account_id, "member.joined", subject, by=user_id, **details)
        return found

    return database.transact(write)


def change_role(account_id: int, public_id: str, role: str, *, by: int) -> Moved:
    """Gives a member another role, from their next request on; the same again does nothing.

    Their keys that the new role may not have are stopped as if they had left.
    Raises Refused (`role`), NotFound and Forbidden.
    """

    def write(connection: Connection) -> int:
        _lock_as_owner(connection, account_id, by)
        user_id, before = member_rows.find(connection, account_id, public_id)
        if before == _as_role(role):
            return 0
        if before == OWNER:
            _refuse_ownerless(connection, account_id, without=user_id)
            team_invitations.remove_by(connection, account_id, user_id)
        of_member = member_rows.is_of(account_id, user_id)
        connection.execute(update(Membership).where(*of_member).values(role=role))
        which = member_rows.is_beyond(role)
        count = member_rows.stop_keys(connection, account_id, user_id, which)
        _give_own_account(connection, account_id, user_id)
        details = {"role": [before, role], "keys_disabled": count}
        _note(connection, account_id, "member.role", f"user:{user_id}", by=by, **details)
        if user_id != by:
            facts = {"by": _email(connection, by), "role": role}
            facts["loses_keys"] = "yes" if count else "no"
            notices.put(connection, "role_changed", user_id, **facts)
        return count

    count = database.transact(write)
    outbox.ring()
    return Moved(find(account_id, public_id), count)


def set_budget(
    account_id: int, public_id: str, *, limit_nanos: int | None, resets: str, by: int
) -> Member:
    """Gives a member a budget for all keys that they have made here, from the next request on.

    None takes it away. What is spent in the period counts, whatever the budget was before.
    Raises Refused (`limit`, `resets`), NotFound and Forbidden.
    """
    limit = key_rows.limited(limit_nanos, resets)
    with database.read() as connection:
        user_id, _ = member_rows.find(connection, account_id, public_id)
    whose = OfMember(account_id, user_id)
    past = None if limit is None else budgets.past(whose, limit.period)

    def write(connection: Connection) -> None:
        _lock_as_owner(connection, account_id, by)
        member_rows.find(connection, account_id, public_id)
        (before,) = member_rows.members(connection, account_id, user_id)
        if limit is None or past is None:
            budgets.remove(connection, whose)
        else:
            budgets.begin(connection, whose, limit, past)
        details = {"limit_nanos": [before.limit_nanos, limit_nanos], "resets": resets}
        _note(connection, account_id, "member.budget", f"user:{user_id}", by=by, **details)

    database.transact(write)
    return find(account_id, public_id)


def remove(account_id: int, public_id: str, *, by: int) -> Member:
    """Takes a member out of the account, at once, and returns who that was.

    Raises NotFound and Forbidden, and Refused for the last owner.
    """

    def write(connection: Connection) -> Member:
        _lock_as_owner(connection, account_id, by)
        user_id, _ = member_rows.find(connection, account_id, public_id)
        (gone,) = member_rows.members(connection, account_id, user_id)
        _part(connection, account_id, user_id, by=by)
        if user_id != by:
            notices.put(connection, "member_removed", user_id, by=_email(connection, by))
        return gone

    gone = database.transact(write)
    outbox.ring()
    return gone


def leave(account_id: int, user_id: int) -> None:
    """Ends one's own membership. Raises NotFound, and Refused for the last owner."""

    def write(connection: Connection) -> None:
        key_rows.lock_account(connection, account_id)
        if member_rows.role_of(connection, account_id, user_id) is None:
            raise NotFound(member_rows.NOBODY)
        _part(connection, account_id, user_id, by=user_id)

    database.transact(write)


def act_for(session_id: int, user_id: int, account_public_id: str) -> None:
    """From now on this browser acts for that account. Raises NotFound for who is no member."""
    mine = (
        select(Account.id)
        .join(Membership, Membership.account_id == Account.id)
        .where(Membership.user_id == user_id, Account.public_id == account_public_id)
    )

    def write(connection: Connection) -> None:
        account_id = None
        if people.is_storable(account_public_id):
            account_id = connection.execute(mine).scalar_one_or_none()
        if account_id is None:
            raise NotFound("There is no such account.")
        this = update(Session).where(Session.id == session_id, Session.user_id == user_id)
        connection.execute(this.values(account_id=account_id))
        _note(connection, account_id, "session.moved", f"user:{user_id}", by=user_id)

    database.transact(write)


def end(connection: Connection, account_id: int, user_id: int) -> int:
    """Ends a membership with the keys that hang on it, and says how many those are.

    For callers who have the account's lock and have looked whether it may end.
    """
    connection.execute(delete(Membership).where(*member_rows.is_of(account_id, user_id)))
    budgets.remove(connection, OfMember(account_id, user_id))
    team_invitations.remove_by(connection, account_id, user_id)
    return member_rows.stop_keys(connection, account_id, user_id, true())


def _part(connection: Connection, account_id: int, user_id: int, *, by: int) -> None:
    """Ends the membership of somebody who stays a user."""
    (gone,) = member_rows.members(connection, account_id, user_id)
    if gone.role == OWNER:
        _refuse_ownerless(connection, account_id, without=user_id)
    count = end(connection, account_id, user_id)
    own_account_id = _give_own_account(connection, account_id, user_id)
    moved = update(Session).where(Session.user_id == user_id, Session.account_id == account_id)
    connection.execute(moved.values(account_id=own_account_id))
    action = "member.left" if user_id == by else "member.removed"
    details = {"email": gone.email, "role": gone.role, "keys_disabled": count}
    _note(connection, account_id, action, f"user:{user_id}", by=by, **details)


def _give_own_account(connection: Connection, account_id: int, user_id: int) -> int:
    """The user's own account: a new one, if it was this and they own it no longer."""
    own = people.owned_account(connection, user_id)
    if own != account_id or member_rows.role_of(connection, account_id, user_id) == OWNER:
        return own
    user = people.find(connection, User.id == user_id)
    assert user is not None, "a member is a user"
    name = user.name or user.email.partition("@")[0]
    plan: str = config.current()["SOLROUTER_DEFAULT_PLAN"]
    return people.give_account(connection, user_id, name, plan)


def _email(connection: Connection, user_id: int) -> str:
    user = people.find(connection, User.id == user_id)
    assert user is not None, "whoever acts is a user"
    return user.email


def _as_role(text: str) -> str:
    if text not in ROLES:
        raise Refused(f"A role is one of: {', '.join(ROLES)}.", param="role")
    return text


def _lock_as_owner(connection: Connection, account_id: int, user_id: int) -> None:
    """Raises Forbidden for who owns the account no longer, whatever their page has shown."""
    key_rows.lock_account(connection, account_id)
    if member_rows.role_of(connection, account_id, user_id) != OWNER:
        raise Forbidden("Only owners manage the members of an account.", code="role_required")


def _refuse_ownerless(connection: Connection, account_id: int, *, without: int) -> None:
    if not member_rows.has_other_owner(connection, account_id, without=without):
        raise Refused(LAST_OWNER, param="role")


def _refuse_member(connection: Connection, account_id: int, email: str) -> None:
    query = (
        select(User.id)
        .join(Membership, Membership.user_id == User.id)
        .where(Membership.account_id == account_id, User.email == email)
    )
    if connection.execute(query).first() is not None:
        raise Refused(f"{email} belongs to this account already.", param="email")


def _invited(connection: Connection, user_id: int, token: str) -> Pending:
    user = people.find(connection, User.id == user_id)
    found = team_invitations.open_by(connection, token)
    if user is None or found is None:
        raise Refused(GONE)
    if user.email != found.email:
        raise Refused(
            "This invitation is for another address than yours. Sign in with the address that it "
            "was sent to."
        )
    if not user.is_verified:
        raise Refused("Confirm your e-mail address first, then open the invitation again.")
    if member_rows.role_of(connection, found.account_id, user_id) is not None:
        raise Refused("You belong to this account already.")
    return found


def _count(connection: Connection, account_id: int) -> int:
    members = select(func.count()).where(Membership.account_id == account_id)
    pending = team_invitations.count_of(connection, account_id)
    return connection.execute(members).scalar_one() + pending


def _order_mail(connection: Connection, email: str, public_id: str) -> None:
    if outbox.is_on():
        outbox.put(connection, "team_invitation", email, facts={"invitation": public_id})


def _throttle(account_id: int) -> None:
    """Nobody mails the world through us."""
    throttles.take(
        f"account:{account_id}",
        "team_invitation",
        per_s=INVITATIONS_PER_S,
        burst=INVITATIONS_AT_ONCE_MAX,
    )


def _sent(email: str, public_id: str) -> Sent:
    """With a mail on its way the link is in the mail alone."""
    if outbox.is_on():
        outbox.ring()
        return Sent(email, None)
    renewed = database.transact(lambda connection: team_invitations.renew(connection, public_id))
    return Sent(email, None if renewed is None else links.to(links.JOIN_TEAM, renewed.token))


def _note(
    connection: Connection, account_id: int, action: str, subject: str, *, by: int, **details: Any
) -> None:
    event = audit.event(
        actor=f"user:{by}", action=action, subject=subject, account_id=account_id, details=details
    )
    connection.execute(event)
