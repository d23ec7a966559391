"""The first operator: made at the first start from the settings, or let in by a link in the log.

| SOLROUTER_OPERATOR_EMAIL | …_PASSWORD | the first start                                       |
|--------------------------|------------|-------------------------------------------------------|
| set                      | set        | makes the operator, who then signs in                 |
| set                      | unset      | makes the operator; a link in the log sets a password |
| unset                    |            | the log says how to make one                          |

Only while there is no operator: what the settings say later changes nobody's password. Of many
processes that start together one acts. An address that somebody has signed up with and not proven
is left alone: it may not be the operator's doing.
"""

import logging

from sqlalchemy import Connection, exists, select, update
from sqlalchemy.dialects import postgresql, sqlite

from solrouter import config, database, models
from solrouter.clock import utcnow
from solrouter.errors import Refused
from solrouter.services import audit, email_tokens, links, passwords, people

log = logging.getLogger(__name__)

# A start within so long after another one is the same: that of the other workers and machines.
SAME_START_S = 60
LINK_LIVES_S = 24 * 3600
TURN = "first operator"
HOW_TO = "flask users create you@example.com --password '…' --admin"
ACTOR = "operator:settings"


def welcome() -> None:
    """Makes the first operator where there is none, or says how; for the start of a server."""
    settings = config.current()
    with database.read() as connection:
        if not _is_wanted(connection):
            return
    email, password = settings["SOLROUTER_OPERATOR_EMAIL"], settings["SOLROUTER_OPERATOR_PASSWORD"]
    password_hash = passwords.make_hash(password) if email and password else None
    plan = settings["SOLROUTER_DEFAULT_PLAN"]
    try:
        told = database.transact(lambda connection: _begin(connection, email, password_hash, plan))
    except Refused as refusal:
        told = f"The operator of the settings could not be made: {refusal.message}"
    if told:
        log.warning("%s", told)


def _is_wanted(connection: Connection) -> bool:
    """Whether no operator can sign in."""
    able = exists().where(
        models.User.is_operator.is_(True),
        models.User.deleted_at.is_(None),
        models.User.disabled_at.is_(None),
        models.User.password_hash.is_not(None)
        | exists().where(models.Identity.user_id == models.User.id),
    )
    return not connection.execute(select(able)).scalar()


def _begin(connection: Connection, email: str, password_hash: str | None, plan: str) -> str:
    """What to say; nothing where another process has just said it."""
    if not _take_turn(connection) or not _is_wanted(connection):
        return ""
    if not email:
        return f"Nobody is an operator yet. Set SOLROUTER_OPERATOR_EMAIL, or run: {HOW_TO}"
    user = people.find(connection, models.User.email == email)
    if user is None:
        user = people.add(connection, _newcomer(email, password_hash, plan))
    elif not user.is_verified:
        return (
            f"Somebody has signed up as {email} and not proven that it is theirs, so they are not "
            f"made the operator. If it was you, run: flask users confirm {email}, and start again."
        )
    elif not user.is_operator:
        _promote(connection, user)
    return f"{email} is the operator. " + _way_in(connection, user.id, email)


def _newcomer(email: str, password_hash: str | None, plan: str) -> people.Newcomer:
    return people.Newcomer(
        email=email,
        name="",
        password_hash=password_hash,
        is_verified=True,
        is_operator=True,
        plan=plan,
    )


def _promote(connection: Connection, user: people.User) -> None:
    its = update(models.User).where(models.User.id == user.id)
    connection.execute(its.values(is_operator=True))
    connection.execute(
        audit.event(
            actor=ACTOR,
            action="user.operator",
            subject=user.public_id,
            account_id=people.owned_account(connection, user.id),
        )
    )


def _way_in(connection: Connection, user_id: int, email: str) -> str:
    user = people.find(connection, models.User.id == user_id)
    assert user is not None, "it was found or made in this transaction"
    if user.has_password:
        return "Sign in with the password that you have set."
    token, _ = email_tokens.make(
        connection, user_id, email_tokens.RESET_PASSWORD, email, lives_s=LINK_LIVES_S
    )
    hours = LINK_LIVES_S // 3600
    where = links.to(links.RESET_PASSWORD, token)
    if not where.startswith("http"):
        where = f"https://YOUR-SERVER{where}"
    return f"Set the password here, once, within {hours} hours: {where}"


def _take_turn(connection: Connection) -> bool:
    """Whether this process is the one that acts; the others wait for it and then do not."""
    now_s = int(utcnow().timestamp())
    upsert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = upsert(models.Version).values(name=TURN, number=now_s)
    taken = statement.on_conflict_do_update(
        index_elements=[models.Version.name],
        set_={"number": now_s},
        where=models.Version.number < now_s - SAME_START_S,
    )
    return connection.execute(taken.returning(models.Version.number)).first() is not None
