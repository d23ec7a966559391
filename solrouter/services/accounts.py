"""Users and the accounts they belong to: made, found, changed. Knows no HTTP and moves no money."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Insert,
    Select,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from solrouter import clock, database, models
from solrouter.errors import NotFound, Refused
from solrouter.services import audit, invitations, outbox, passwords, people, throttles
from solrouter.services.people import DEFAULT_PLAN, User

USERS_PER_PAGE = 50
# What a change of a user's column is called in the audit trail.
ACTS = {
    "email_verified_at": "user.verified",
    "is_operator": "user.operator",
    "password_hash": "password.changed",
}


@dataclass(frozen=True, slots=True)
class Account:
    """What holds money, as its members see it. The balance itself is billing's to tell."""

    id: int
    public_id: str
    name: str
    plan_slug: str
    plan_name: str
    is_frozen: bool
    is_flagged: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class UserRow:
    """A user and the account they own, as operators see them in a list."""

    user_id: int
    public_id: str
    email: str
    name: str
    is_operator: bool
    is_verified: bool
    disabled: bool
    created_at: datetime
    account_id: int
    account_public_id: str
    plan_slug: str
    posted_nanos: int
    held_nanos: int
    is_frozen: bool


# Which users an operator's list may be narrowed to.
KINDS = {
    "unverified": "Not verified",
    "operators": "Operators",
    "shut-out": "Shut out",
    "suspended": "Account suspended or frozen",
}


def sign_up(
    email: str,
    password: str,
    *,
    verified: bool = False,
    operator: bool = False,
    plan: str | None = None,
    network: str = "",
    invitation: str = "",
) -> User:
    """Makes a user and their personal account. Raises Refused (`email`, `password`, `plan`).

    With the caller's address in `network` also RateLimited, when too many came from there. An
    `invitation` is used up, and its address, which it proves, is taken instead of `email`.
    """
    invited = invitations.invited(invitation) if invitation else None
    if invitation and invited is None:
        raise Refused(invitations.GONE)
    address = invited or people.as_email(email)
    passwords.refuse_weak(password, email=address)
    if network:
        throttles.take_all((throttles.sign_ups_from(network),))
    newcomer = people.Newcomer(
        email=address,
        name="",
        password_hash=passwords.make_hash(password),
        is_verified=verified or invited is not None,
        is_operator=operator,
        plan=plan or DEFAULT_PLAN,
    )

    def write(connection: Connection) -> User:
        if invited is not None:
            invitations.take(connection, invitation)
        user = people.add(connection, newcomer)
        if not user.is_verified:
            outbox.put(connection, "verify_email", user.email, user_id=user.id)
        return user

    user = _made(write)
    outbox.ring()
    return user


def ensure_user(
    email: str,
    password: str | None = None,
    *,
    operator: bool = False,
    plan: str | None = None,
    default_plan: str = DEFAULT_PLAN,
) -> tuple[User, bool]:
    """On the operator's word: the user exists, verified, as given; and whether they are new.

    What is not given stays as it is. A password is judged by its length alone. Raises Refused.
    """
    address = people.as_email(email)
    if password is not None:
        passwords.refuse_length(password)
    with database.read() as connection:
        known = people.find(connection, models.User.email == address)
    if known is not None:
        return _brought_in_line(known, password=password, operator=operator, plan=plan), False
    newcomer = people.Newcomer(
        email=address,
        name="",
        password_hash=None if password is None else passwords.make_hash(password),
        is_verified=True,
        is_operator=operator,
        plan=plan or default_plan,
    )
    return _made(lambda connection: people.add(connection, newcomer)), True


def get_user(user_id: int) -> User:
    """The user. Raises NotFound."""
    with database.read() as connection:
        user = people.find(connection, models.User.id == user_id)
    if user is None:
        raise NotFound("There is no such user.")
    return user


def confirm_email(user_id: int, *, actor: str) -> None:
    """Marks the user's address as verified: the operator vouches for it. Raises NotFound."""
    verified_at = func.coalesce(models.User.email_verified_at, clock.utcnow())

    def write(connection: Connection) -> None:
        values = {"email_verified_at": verified_at}
        _change_in(connection, user_id, values, ends_sessions=False)
        connection.execute(
            audit.event(
                actor=actor,
                action="user.email_confirmed",
                subject=f"user:{user_id}",
                account_id=people.owned_account(connection, user_id),
            )
        )

    database.transact(write)


def set_operator(user_id: int, flag: bool, *, actor: str = audit.COMMAND) -> None:
    """Makes the user an operator, or no longer one. Raises NotFound."""
    act = "user.operator" if flag else "user.no_operator"
    _change(user_id, {"is_operator": flag}, act=act, actor=actor)


def set_disabled(user_id: int, flag: bool, *, actor: str = audit.COMMAND) -> None:
    """Shuts the user out at once, sessions included, or lets them in again. Raises NotFound."""
    disabled_at = func.coalesce(models.User.disabled_at, clock.utcnow()) if flag else None
    act = "user.disabled" if flag else "user.enabled"
    _change(user_id, {"disabled_at": disabled_at}, act=act, actor=actor, ends_sessions=flag)


def account_of(account_id: int) -> Account:
    """The account. Raises NotFound."""
    account = _find_account(models.Account.id == account_id)
    if account is None:
        raise NotFound("There is no such account.")
    return account


def find_account(public_id: str) -> Account | None:
    """The account with this public id, or None."""
    if not people.is_storable(public_id):
        return None
    return _find_account(models.Account.public_id == public_id)


def set_plan(account_id: int, slug: str, *, actor: str = audit.COMMAND) -> None:
    """Puts the account on a plan, from the next request on. Raises Refused and NotFound."""

    def change(connection: Connection) -> None:
        people.refuse_unknown_plan(connection, slug)
        _set_plan(connection, account_id, slug, actor)

    database.transact(change)


def list_users(
    query: str = "", *, kind: str = "", limit: int = USERS_PER_PAGE, before: str | None = None
) -> list[UserRow]:
    """The newest users that `query` finds by address, name or id; those older than `before`.

    `kind` is one of KINDS, or empty for everybody.
    """
    if not people.is_storable(query + (before or "")):
        return []
    statement = _user_rows().order_by(models.User.id.desc()).limit(limit)
    if query.strip():
        statement = statement.where(_mentions(query.strip().lower()))
    if kind in KINDS:
        statement = statement.where(_is_a(kind))
    if before is not None:
        last_seen = select(models.User.id).where(models.User.public_id == before)
        statement = statement.where(models.User.id < last_seen.scalar_subquery())
    with database.read() as connection:
        return [UserRow(*row) for row in connection.execute(statement)]


def find_user(email: str) -> UserRow | None:
    """The user with this address and the account they own, or None."""
    address = email.strip().lower()
    if not people.is_email(address):
        return None
    statement = _user_rows().where(models.User.email == address)
    with database.read() as connection:
        row = connection.execute(statement).one_or_none()
    return None if row is None else UserRow(*row)


def user_row(public_id: str) -> UserRow:
    """The user with this public id and the account they own. Raises NotFound."""
    row = None
    if people.is_storable(public_id):
        with database.read() as connection:
            found = _user_rows().where(models.User.public_id == public_id)
            row = connection.execute(found).one_or_none()
    if row is None:
        raise NotFound("There is no such user.")
    return UserRow(*row)


def _made(write: Callable[[Connection], User]) -> User:
    try:
        return database.transact(write)
    except IntegrityError as error:
        raise people.email_taken() from error


def _brought_in_line(
    known: User, *, password: str | None, operator: bool, plan: str | None
) -> User:
    changes: dict[str, Any] = {}
    if not known.is_verified:
        changes["email_verified_at"] = clock.utcnow()
    if operator and not known.is_operator:
        changes["is_operator"] = True
    if password is not None and not passwords.verify(_stored_hash(known.id), password):
        changes["password_hash"] = passwords.make_hash(password)

    def change(connection: Connection) -> None:
        if plan is not None:
            people.refuse_unknown_plan(connection, plan)
            account_id = people.owned_account(connection, known.id)
            _set_plan(connection, account_id, plan, audit.COMMAND)
        if changes:
            ends_sessions = "password_hash" in changes
            _change_in(connection, known.id, changes, ends_sessions=ends_sessions)
        for column in changes:
            connection.execute(_event(known.id, ACTS[column], audit.COMMAND))

    database.transact(change)
    return get_user(known.id)


def _stored_hash(user_id: int) -> str | None:
    statement = select(models.User.password_hash).where(models.User.id == user_id)
    with database.read() as connection:
        return connection.execute(statement).scalar_one()


def _set_plan(connection: Connection, account_id: int, slug: str, actor: str) -> None:
    of_account = models.Account.id == account_id
    before = connection.execute(select(models.Account.plan_slug).where(of_account)).scalar()
    if before is None:
        raise NotFound("There is no such account.")
    if before == slug:
        # What payments had reached is given from now on: no refund takes it away.
        connection.execute(
            update(models.Account).where(of_account).values(plan_before_payments=None)
        )
        return
    given = {"plan_slug": slug, "plan_before_payments": None}
    connection.execute(update(models.Account).where(of_account).values(given))
    connection.execute(
        audit.event(
            actor=actor,
            action="account.plan",
            subject=f"account:{account_id}",
            account_id=account_id,
            details={"plan": [before, slug]},
        )
    )


def _change(
    user_id: int, values: dict[str, Any], *, act: str, actor: str, ends_sessions: bool = False
) -> None:
    def change(connection: Connection) -> None:
        _change_in(connection, user_id, values, ends_sessions=ends_sessions)
        connection.execute(_event(user_id, act, actor))

    database.transact(change)


def _event(user_id: int, act: str, actor: str) -> Insert:
    return audit.event(
        actor=actor,
        action=act,
        subject=f"user:{user_id}",
        account_id=people.own_account(user_id),
    )


def _change_in(
    connection: Connection, user_id: int, values: dict[str, Any], *, ends_sessions: bool
) -> None:
    statement = update(models.User).where(models.User.id == user_id).values(**values)
    if not connection.execute(statement).rowcount:
        raise NotFound("There is no such user.")
    # After the row of the user: a sign-in that opens a session meanwhile waits for it.
    if ends_sessions:
        connection.execute(delete(models.Session).where(models.Session.user_id == user_id))


def _find_account(condition: ColumnElement[bool]) -> Account | None:
    statement = (
        select(
            models.Account.id,
            models.Account.public_id,
            models.Account.name,
            models.Account.plan_slug,
            models.Plan.name,
            models.Account.frozen_at.is_not(None),
            models.Account.flagged_at.is_not(None),
            models.Account.created_at,
        )
        .join(models.Plan, models.Plan.slug == models.Account.plan_slug)
        .where(condition)
    )
    with database.read() as connection:
        row = connection.execute(statement).one_or_none()
    return None if row is None else Account(*row)


def _user_rows() -> Select[*tuple[Any, ...]]:
    return select(
        models.User.id,
        models.User.public_id,
        models.User.email,
        models.User.name,
        models.User.is_operator,
        models.User.email_verified_at.is_not(None),
        models.User.disabled_at.is_not(None),
        models.User.created_at,
        models.Account.id,
        models.Account.public_id,
        models.Account.plan_slug,
        models.Account.paid_nanos + models.Account.granted_nanos,
        models.Account.held_nanos,
        models.Account.frozen_at.is_not(None),
    ).join(models.Account, models.Account.id == people.own_account_id())


def _is_a(kind: str) -> ColumnElement[bool]:
    if kind == "operators":
        return models.User.is_operator.is_(True)
    if kind == "shut-out":
        return models.User.disabled_at.is_not(None)
    if kind == "suspended":
        return models.Account.frozen_at.is_not(None)
    return models.User.email_verified_at.is_(None)


def _mentions(text: str) -> ColumnElement[bool]:
    return or_(
        models.User.email.contains(text, autoescape=True),
        func.lower(models.User.name).contains(text, autoescape=True),
        models.User.public_id == text,
        models.Account.public_id == text,
    )
