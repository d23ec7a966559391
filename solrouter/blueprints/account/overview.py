"""The first page of an account: what is left, what was spent, what a newcomer does next."""

from datetime import timedelta

from flask import render_template

from solrouter import clock
from solrouter.blueprints import (
    addresses,
    charts,
    guards,
    header_balance,
    own_keys,
    own_requests,
    samples,
)
from solrouter.blueprints.account.room import account
from solrouter.blueprints.samples import Sample
from solrouter.services import catalogue, usage_days
from solrouter.services.usage_days import Slice, Used

RECENT_MAX = 6
DAYS_SHOWN = 30
# How many days, today included, say how fast money is spent.
BURN_DAYS = 7
# Beyond this nobody plans, and the figure means nothing.
DAYS_LEFT_MAX = 365


@account.get("")
def show_overview() -> str:
    today = clock.utcnow().date()
    first = min(today - timedelta(days=DAYS_SHOWN - 1), today.replace(day=1))
    slices = own_requests.used(first)
    balance = header_balance.read()
    live_keys, requests = own_keys.in_use(), own_requests.recent(limit=RECENT_MAX)
    is_new = not (live_keys and balance.posted_nanos > 0 and requests)
    burn_nanos = _burn_nanos(slices)
    shown_from = today - timedelta(days=DAYS_SHOWN - 1)
    one = [Slice(each.day, "", "Cost", each.used) for each in slices]
    return render_template(
        "account/overview.html",
        balance=balance,
        today=_used(slices, 0),
        month=usage_days.total(each for each in slices if each.day >= today.replace(day=1)),
        burn_nanos=burn_nanos,
        days_left=_days_left(balance.available_nanos, burn_nanos),
        chart=charts.stacked(one, shown_from, today, charts.MEASURES["cost"]),
        is_of_one=own_requests.maker_id() is not None,
        live_keys=live_keys,
        requests=requests,
        # Whoever keeps no keys has no first request to make.
        is_new=is_new and guards.may_open("account.show_keys"),
        samples=_first_request() if is_new else [],
    )


def _first_request() -> list[Sample]:
    model = samples.model_to_try(catalogue.listing())
    return samples.first_request(model, base_url=addresses.api_base_url())


def _used(slices: list[Slice], days_ago: int) -> Used:
    """What was used since so many days ago, that day included."""
    since = clock.utcnow().date() - timedelta(days=days_ago)
    return usage_days.total(each for each in slices if each.day >= since)


def _burn_nanos(slices: list[Slice]) -> int:
    """What a day costs, by the last days; fewer where the first request is younger."""
    since = clock.utcnow().date() - timedelta(days=BURN_DAYS - 1)
    recent = [each for each in slices if each.day >= since]
    if not recent:
        return 0
    days = BURN_DAYS
    if len(recent) == len(slices):
        days = (clock.utcnow().date() - min(each.day for each in recent)).days + 1
    return usage_days.total(recent).charge_nanos // days


def _days_left(available_nanos: int, burn_nanos: int) -> int | None:
    """How long the balance lasts at this pace; None where that says nothing."""
    if burn_nanos <= 0 or available_nanos <= 0:
        return None
    days = available_nanos // burn_nanos
    return days if days <= DAYS_LEFT_MAX else None
