"""The first page of an account: what is left, what was spent, what a newcomer does next."""

from flask import render_template
from flask_login import current_user

from solrouter.blueprints import addresses, own_keys, samples
from solrouter.blueprints.account.room import account
from solrouter.services import activity, billing, catalogue

RECENT_MAX = 6


@account.get("")
def show_overview() -> str:
    account_id = current_user.account_id
    return render_template(
        "account/overview.html",
        balance=billing.balance(account_id),
        summary=activity.summary(account_id),
        live_keys=own_keys.in_use(),
        requests=activity.recent(account_id, limit=RECENT_MAX),
        samples=samples.first_request(
            samples.model_to_try(catalogue.listing()), base_url=addresses.api_base_url()
        ),
    )
