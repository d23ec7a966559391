"""The pages that belong to nobody: landing, health, patterns. Says what the product is.

It also lends every page the balance and the accounts in the header, asked for only when a page
shows them, and the question which pages a member may open, so that no link leads to a refusal.
"""

from collections.abc import Callable, Iterable
from datetime import date, timedelta
from typing import Any

from flask import Blueprint, abort, current_app, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from solrouter import clock, process
from solrouter.blueprints import (
    addresses,
    filters,
    guards,
    header_balance,
    hx,
    redirects,
    samples,
    top_ups,
    uptime,
)
from solrouter.services import admission, announcements, catalogue, payments, plans
from solrouter.services.catalogue import Model
from solrouter.services.health import Traffic
from solrouter.services.health.traffic import DAYS_SHOWN
from solrouter.services.member_rows import Belonging
from solrouter.services.plans import Plan

FEATURED_MAX = 6
LONG_AGO = date(1970, 1, 1)
THEME_KEPT_S = 400 * 86400

pages = Blueprint("pages", __name__)


@pages.get("/")
def show_landing() -> str:
    models = catalogue.listing()
    return render_template(
        "pages/landing.html",
        samples=samples.first_request(
            samples.model_to_try(models), base_url=addresses.api_base_url()
        ),
        models=featured(models),
        model_count=sum(model.status == "live" for model in models),
        api_base_url=addresses.api_base_url(),
    )


@pages.get("/pricing")
def show_pricing() -> str:
    """What it costs: tokens, ways to pay, plans."""
    live = [model for model in catalogue.listing() if model.status == "live" and model.is_available]
    return render_template(
        "pages/pricing.html",
        models=live,
        offers=payments.offers(),
        limits=top_ups.limits(),
        plans=sorted(plans.list_of(), key=_by_size),
        default_plan=current_app.config["SOLROUTER_DEFAULT_PLAN"],
        refund_days=current_app.config["SOLROUTER_REFUND_DAYS"],
    )


@pages.post("/theme")
def set_theme() -> ResponseReturnValue:
    """Remembers light or dark in a cookie; anything else is the reader's system again."""
    back = redirects.own_path(request.form.get("back", ""))
    response = hx.go_to(back or url_for("pages.show_landing"))
    theme = request.form.get("theme", "")
    rules: dict[str, Any] = {"secure": request.is_secure, "httponly": True, "samesite": "Lax"}
    if theme in filters.THEMES:
        response.set_cookie(filters.THEME_COOKIE, theme, max_age=THEME_KEPT_S, **rules)
    else:
        response.delete_cookie(filters.THEME_COOKIE, **rules)
    return response


@pages.get("/healthz")
def show_health() -> ResponseReturnValue:
    return "ok", {"Content-Type": "text/plain; charset=utf-8"}


@pages.get("/readyz")
def show_readiness() -> ResponseReturnValue:
    if process.is_draining():
        text, status = "this process is about to end", 503
    elif not catalogue.ready():
        text, status = "the database does not answer", 503
    elif not admission.is_heard():
        text, status = "the database takes no writes", 503
    else:
        text, status = "ready", 200
    return text, status, {"Content-Type": "text/plain; charset=utf-8"}


@pages.get("/patterns")
def show_patterns() -> str:
    """Every component in every state, for whoever changes one."""
    if current_app.config["SOLROUTER_ENV"] == "production":
        abort(404)
    shown = samples.first_request("acme/tiny-1", base_url=addresses.api_base_url())
    moment = clock.utcnow()
    return render_template("patterns.html", samples=shown, moment=moment, days=_days(moment.date()))


def _days(today: date) -> list[uptime.Day]:
    """Ninety days of every kind, as a strip shows them."""
    failures = (0, 0, 0, 2, 0, 0, 9, 0)
    return [
        uptime.Day(
            today - timedelta(days=back),
            Traffic(100, failures[back % len(failures)]) if back < 60 else Traffic(),
        )
        for back in reversed(range(DAYS_SHOWN))
    ]


@pages.app_context_processor
def lend_header_balance() -> dict[str, Callable[..., Any]]:
    return {
        "header_balance_nanos": header_balance.shown_nanos,
        "header_accounts": header_accounts,
        "may_open": guards.may_open,
        "announcements": announcements.shown,
    }


def header_accounts() -> list[Belonging]:
    """The accounts between which the person can move; empty where there is but one."""
    # An error page asks for nobody, too.
    found = list(getattr(current_user, "accounts", ()))
    return found if len(found) > 1 and not current_user.is_viewing else []


def featured(models: Iterable[Model]) -> list[Model]:
    """A few models for the landing page: the newest of each author, those served here first."""
    newest: dict[str, Model] = {}
    live = [model for model in models if model.status == "live"]
    for model in sorted(live, key=_by_merit):
        newest.setdefault(model.author, model)
    return list(newest.values())[:FEATURED_MAX]


def _by_merit(model: Model) -> tuple[bool, int]:
    return not model.is_available, -(model.released_on or LONG_AGO).toordinal()


def _by_size(plan: Plan) -> tuple[float, str]:
    """Plans that allow less come first."""
    allowed = plan.requests_per_minute
    return (float("inf") if allowed is None else allowed, plan.slug)
