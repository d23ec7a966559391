"""The operator's first page: is everything that customers ask for set up, and who came lately."""

from datetime import timedelta

from flask import render_template

from solrouter import clock
from solrouter.blueprints import charts
from solrouter.blueprints.admin.room import admin
from solrouter.services import accounts, activity, catalogue, outbox, usage_days

NEWEST_MAX = 5
DAYS_SHOWN = 30


@admin.get("")
def show_overview() -> str:
    today = clock.utcnow().date()
    first = today - timedelta(days=DAYS_SHOWN - 1)
    slices = usage_days.of_all(first, by="provider")
    return render_template(
        "admin/overview.html",
        today=usage_days.total(each for each in slices if each.day == today),
        month=usage_days.total(slices),
        chart=charts.stacked(slices, first, today, charts.MEASURES["cost"]),
        failed_mails=outbox.failed_count(),
        providers=catalogue.providers(),
        models=[model for model in catalogue.listing() if model.status == "live"],
        users=accounts.list_users(limit=NEWEST_MAX),
        requests=activity.recent_of_all(limit=NEWEST_MAX),
    )
