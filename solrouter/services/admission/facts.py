"""What an admission looks at: one row with the key, the plan, the balance, the budgets, and what is
running. Refuses by what stands there before anything is taken.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Executable,
    ScalarSelect,
    String,
    bindparam,
    case,
    func,
    literal_column,
    select,
)

from solrouter import database
from solrouter.database import prepared
from solrouter.errors import Forbidden, KeyInvalid, KeyRevoked
from solrouter.models import Account, ApiKey, Budget, Hold, Plan, User
from solrouter.models.columns import db_now
from solrouter.services import budgets, catalogue, keys, principals
from solrouter.services.admission.asks import Admitted, Ask, CatalogueChanged
from solrouter.services.principals import KeyChanged

# A row of `_facts`.
Facts = Any


def read(connection: Connection, ask: Ask) -> Facts:
    """The facts of an ask, whose account nobody else can change until this transaction ends.

    Raises KeyInvalid, KeyRevoked, KeyExpired, Forbidden, KeyChanged and CatalogueChanged.
    """
    lock_account(connection, ask.principal.account_id)
    return _checked(ask, _facts.first(connection, **_names(ask)))


def look(ask: Ask) -> Facts:
    """The facts as they are at this moment: enough to refuse by. Raises what `read` raises."""
    return _checked(ask, database.look_up(_facts, **_names(ask)))


def left_to(admitted: Admitted) -> Any | None:
    """What the balance and the budgets that it counts for leave to a request that runs; None when
    it does not any more.
    """
    names = budgets.subjects_of(admitted.ask.principal)
    return database.look_up(_left_to, hold_id=admitted.id, **names)


def _names(ask: Ask) -> dict[str, Any]:
    principal = ask.principal
    return {
        "key_id": principal.key_id,
        "user_id": principal.user_id,
        **budgets.subjects_of(principal),
    }


def _checked(ask: Ask, facts: Facts | None) -> Facts:
    if facts is None:
        raise KeyInvalid(keys.INVALID)
    keys.require_live(facts)
    if facts.user_disabled_at is not None:
        raise KeyRevoked("The user who made this API key has been disabled.")
    if facts.frozen_at is not None:
        raise Forbidden("This account is frozen. Please write to the operator.", code="frozen")
    proof = ask.principal.proof
    if proof is not None and proof != (facts.digest, facts.terms):
        raise KeyChanged
    if facts.version != ask.catalogue_version:
        raise CatalogueChanged
    return facts


def lock_account(connection: Connection, account_id: int) -> None:
    """Makes the steps of one account queue, each before its own statements look around.

    Every step takes this lock first, so that none waits for another in a circle. On SQLite there is
    nothing to do: all writes queue anyway.
    """
    if connection.dialect.name == "postgresql":
        _lock.first(connection, account_id=account_id)


@prepared
def _lock(_dialect: str) -> Executable:
    of_account = select(Account.id).where(Account.id == bindparam("account_id"))
    return of_account.with_for_update(key_share=True)


@prepared
def _facts(_dialect: str) -> Executable:
    running = select(func.count()).select_from(Hold)
    of_account = running.where(Hold.account_id == Account.id)
    of_key_too = of_account.where(Hold.key_id == ApiKey.id)
    of_free = of_account.where(Hold.amount_nanos == 0)
    is_keys = Hold.key_id == ApiKey.id
    is_members = Hold.user_id == bindparam("user_id")
    statement = (
        select(
            *keys.state_columns(),
            *keys.limit_columns(),
            Plan.name.label("plan_name"),
            ApiKey.digest,
            literal_column(principals.TERMS, String).label("terms"),
            Account.frozen_at,
            Account.paid_nanos,
            Account.granted_nanos,
            Account.held_nanos,
            User.email_verified_at,
            User.disabled_at.label("user_disabled_at"),
            *_budget("key", is_keys),
            *_budget("member", is_members),
            _where(Plan.concurrency.is_not(None), of_account).label("running"),
            _where(ApiKey.concurrency.is_not(None), of_key_too).label("running_of_key"),
            _where(Plan.free_concurrency.is_not(None), of_free).label("running_free"),
            catalogue.version_statement().scalar_subquery().label("version"),
            db_now().label("now"),
        )
        .join(Account, Account.id == ApiKey.account_id)
        .join(Plan, Plan.slug == Account.plan_slug)
        .join(User, User.id == ApiKey.user_id)
    )
    return statement.where(ApiKey.id == bindparam("key_id"))


@prepared
def _left_to(_dialect: str) -> Executable:
    is_its = budgets.period_start() <= Hold.created_at
    columns = select(
        Account.paid_nanos,
        Account.granted_nanos,
        Account.held_nanos,
        _left("key", is_its).label("key_left_nanos"),
        _left("member", is_its).label("member_left_nanos"),
    )
    joined = columns.join(Hold, Hold.account_id == Account.id)
    return joined.where(Hold.id == bindparam("hold_id"))


def _budget(whose: str, is_counted: ColumnElement[bool]) -> tuple[ColumnElement[Any], ...]:
    """What is left of a budget, None where there is none, and what running requests hold of it."""
    of_it = Budget.subject == bindparam(f"{whose}_subject")
    began = select(func.min(budgets.period_start())).where(of_it).scalar_subquery()
    held = select(func.coalesce(func.sum(Hold.amount_nanos), 0, type_=BigInteger))
    held = held.where(Hold.account_id == Account.id, is_counted, Hold.created_at >= began)
    is_there = select(Budget.subject).where(of_it).exists()
    return (
        _left(whose).label(f"{whose}_left_nanos"),
        _where(is_there, held).label(f"held_by_{whose}_nanos"),
    )


def _left(whose: str, *conditions: ColumnElement[bool]) -> ScalarSelect[int]:
    """What is left of a budget in its current period; None where there is none."""
    left = select(func.min(Budget.limit_nanos - budgets.spent_now()))
    of_it = Budget.subject == bindparam(f"{whose}_subject")
    return left.where(of_it, *conditions).scalar_subquery()


def _where(matters: ColumnElement[bool], sum_of_holds: Any) -> ColumnElement[int]:
    """Nothing is summed where it does not matter."""
    return case((matters, sum_of_holds.scalar_subquery()), else_=0)
