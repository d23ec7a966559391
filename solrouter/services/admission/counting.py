"""Counting a request that holds nothing, such as an estimate, against the limits on requests."""

from sqlalchemy import Connection, select

from solrouter.models import Account, ApiKey, Plan
from solrouter.services import limits
from solrouter.services.admission import facts
from solrouter.services.limits import RateLimit, RateState
from solrouter.services.principals import Principal


def count_request(connection: Connection, principal: Principal) -> tuple[RateState, ...]:
    """Takes one request from the account's and the key's limits. Raises RateLimited."""
    facts.lock_account(connection, principal.account_id)
    most = connection.execute(
        select(Plan.requests_per_minute, ApiKey.requests_per_minute)
        .select_from(Account)
        .join(Plan, Plan.slug == Account.plan_slug)
        .join(ApiKey, ApiKey.id == principal.key_id)
        .where(Account.id == principal.account_id)
    ).one()
    subjects = (f"account:{principal.account_id}", f"key:{principal.key_id}")
    return tuple(
        limits.take(connection, RateLimit(subject, limits.REQUESTS, units_max), 1)
        for subject, units_max in zip(subjects, most, strict=True)
        if units_max is not None
    )
