"""The operator's first page: is everything that customers ask for set up, and who came lately."""

from datetime import timedelta

from flask import render_template

from solrouter import clock
from solrouter.blueprints import charts
from solrouter.blueprints.admin.room import admin
from solrouter.services import accounts, all_requests, catalogue, outbox, usage_days
from solrouter.services.all_requests import Filters
from solrouter.services.catalogue import Model

NEWEST_MAX = 5
DAYS_SHOWN = 30


@admin.get("")
def show_overview() -> str:
    today = clock.utcnow().date()
    first = today - timedelta(days=DAYS_SHOWN - 1)
    slices = usage_days.of_all(first, by_provider=True)
    snapshot = catalogue.fresh()
    live = [model for model in snapshot.models.values() if model.status == "live"]
    return render_template(
        "admin/overview.html",
        today=usage_days.total(each for each in slices if each.day == today),
        month=usage_days.total(slices),
        chart=charts.stacked(slices, first, today, charts.MEASURES["cost"]),
        failed_mails=outbox.failed_count(),
        # Nothing but sums: the lists have pages of their own.
        providers_all=len(snapshot.connections),
        providers_ready=len(_serving(live)),
        models_all=len(live),
        models_available=sum(model.is_available for model in live),
        users=accounts.list_users(limit=NEWEST_MAX),
        requests=all_requests.page(Filters(), limit=NEWEST_MAX).requests,
    )


def _serving(models: list[Model]) -> set[str]:
    """Providers of which something can be had."""
    return {offer.provider_slug for model in models for offer in model.offers if offer.is_available}
