"""The first page of an account: what is left, what was spent, what a newcomer does next."""

from flask import render_template
from flask_login import current_user

from solrouter.blueprints import addresses, own_keys, own_requests, samples
from solrouter.blueprints.account.room import account
from solrouter.services import billing, catalogue

RECENT_MAX = 6


@account.get("")
def show_overview() -> str:
    return render_template(
        "account/overview.html",
        balance=billing.balance(current_user.account_id),
        summary=own_requests.summary(),
        is_of_one=own_requests.maker_id() is not None,
        live_keys=own_keys.in_use(),
        requests=own_requests.recent(limit=RECENT_MAX),
        samples=samples.first_request(
            samples.model_to_try(catalogue.listing()), base_url=addresses.api_base_url()
        ),
    )
