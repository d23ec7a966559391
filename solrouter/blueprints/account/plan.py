"""What the account's plan allows, what of it is used at this moment, and how to get the next."""

from flask import render_template
from flask_login import current_user

from solrouter.blueprints.account.room import account
from solrouter.services import plans, refusals

# What a refusal by the plan is called in the counts of a day.
REFUSALS = {
    "requests_per_minute": "Too many requests a minute",
    "tokens_per_minute": "Too many tokens a minute",
    "concurrency": "Too many requests at once",
    "free_requests_per_day": "Free requests of the day used up",
}


@account.get("/plan")
def show_plan() -> str:
    refused = refusals.today(current_user.account_id)
    return render_template(
        "account/plan.html",
        standing=plans.standing(current_user.account_id),
        refused=[(words, refused[code]) for code, words in REFUSALS.items() if code in refused],
    )
