"""The operator's first page: is everything that customers ask for set up, and who came lately."""

from flask import render_template

from solrouter.blueprints.admin.room import admin
from solrouter.services import accounts, activity, catalogue, outbox

NEWEST_MAX = 5


@admin.get("")
def show_overview() -> str:
    return render_template(
        "admin/overview.html",
        failed_mails=outbox.failed_count(),
        providers=catalogue.providers(),
        models=[model for model in catalogue.listing() if model.status == "live"],
        users=accounts.list_users(limit=NEWEST_MAX),
        requests=activity.recent_of_all(limit=NEWEST_MAX),
    )
