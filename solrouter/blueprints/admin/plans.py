"""Plans: what each allows, how many accounts are on it, and a form for one."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from flask import Response, current_app, flash, request, url_for
from flask.typing import ResponseReturnValue

from solrouter.blueprints import hx
from solrouter.blueprints.admin.room import actor, admin, dollars, whole_or_none
from solrouter.errors import NotFound, Refused
from solrouter.money import decimal_usd
from solrouter.services import plans

NAMES = {
    "requests_per_minute": "Requests a minute",
    "tokens_per_minute": "Tokens a minute",
    "concurrency": "Requests at once",
    "free_requests_per_day": "Free requests a day",
    "free_concurrency": "Free requests at once",
}


@admin.get("/plans")
def show_plans() -> ResponseReturnValue:
    return _page(form={})


@admin.get("/plans/<slug>")
def show_plan(slug: str) -> ResponseReturnValue:
    plan = next((each for each in plans.list_of() if each.slug == slug), None)
    if plan is None:
        raise NotFound("There is no such plan.")
    typed = {name: "" if value is None else str(value) for name, value in asdict(plan).items()}
    paid = plan.min_paid_nanos
    typed["min_paid"] = "" if paid is None else decimal_usd(paid)
    return _page(form=typed, chosen=slug)


@admin.post("/plans")
def define_plan() -> ResponseReturnValue:
    form = request.form
    try:
        changes: dict[str, Any] = {name: whole_or_none(form, name) for name in NAMES}
        paid = form.get("min_paid", "").strip()
        changes["min_paid_nanos"] = dollars(paid, param="min_paid") if paid else None
        plan = plans.define(
            form.get("slug", "").strip(),
            changes,
            name=form.get("name", "").strip() or None,
            actor=actor(),
        )
    except Refused as refused:
        return _page(form=form, errors={refused.param: refused.message})
    flash(f"“{plan.name}” holds from the next request on.", "success")
    return hx.go_to(url_for("admin.show_plans"))


def _page(
    *,
    form: Mapping[str, str],
    chosen: str = "",
    errors: Mapping[str | None, str] | None = None,
) -> Response:
    return hx.page_or_fragment(
        "admin/plans.html",
        "admin/_plans.html",
        status=422 if errors else 200,
        plans=plans.list_of(),
        counts=plans.accounts_by_plan(),
        default_plan=current_app.config["SOLROUTER_DEFAULT_PLAN"],
        names=NAMES,
        chosen=chosen,
        form=form,
        errors=errors or {},
    )
