"""One account: its money, its plan, its people; stopped and let go on; looked at as its owner."""

import secrets
from collections.abc import Callable, Mapping

from flask import Response, flash, request, url_for
from flask.typing import ResponseReturnValue

from solrouter.blueprints import hx, sessions
from solrouter.blueprints.admin.room import actor, admin, dollars
from solrouter.errors import Refused
from solrouter.money import display_usd
from solrouter.services import (
    accounts,
    all_requests,
    billing,
    dossiers,
    payments,
    plans,
    suspensions,
    viewing,
)
from solrouter.services.all_requests import Filters
from solrouter.services.dossiers import Dossier

Form = Mapping[str, str]

ENTRIES_MAX = 20
REQUESTS_MAX = 20


@admin.get("/accounts/<public_id>")
def show_account(public_id: str) -> ResponseReturnValue:
    return _page(dossiers.find(public_id))


@admin.post("/accounts/<public_id>/credit")
def grant_credit(public_id: str) -> ResponseReturnValue:
    def grant(account_id: int, form: Form) -> str:
        amount = dollars(form.get("amount", ""), param="amount")
        payments.grant(
            account_id,
            amount,
            actor=actor(),
            note=form.get("note", ""),
            idempotency=form.get("form_id", "")[:64] or None,
        )
        return f"{display_usd(amount)} granted."

    return _carry_out(public_id, "grant", grant)


@admin.post("/accounts/<public_id>/take-credit")
def take_credit(public_id: str) -> ResponseReturnValue:
    def take(account_id: int, form: Form) -> str:
        amount = dollars(form.get("amount", ""), param="amount")
        payments.take_back(account_id, amount, actor=actor(), note=form.get("note", ""))
        return f"{display_usd(amount)} of gifts taken back."

    return _carry_out(public_id, "take", take)


@admin.post("/accounts/<public_id>/plan")
def set_plan(public_id: str) -> ResponseReturnValue:
    def give(account_id: int, form: Form) -> str:
        accounts.set_plan(account_id, form.get("plan", ""), actor=actor())
        return "The plan holds from the next request on."

    return _carry_out(public_id, "plan", give)


@admin.post("/accounts/<public_id>/suspend")
def suspend_account(public_id: str) -> ResponseReturnValue:
    def suspend(account_id: int, form: Form) -> str:
        suspensions.suspend(account_id, form.get("reason", ""), actor=actor())
        return "The account is suspended: its next request is refused."

    return _carry_out(public_id, "suspend", suspend)


@admin.post("/accounts/<public_id>/lift")
def lift_suspension(public_id: str) -> ResponseReturnValue:
    def lift(account_id: int, form: Form) -> str:
        suspensions.lift(account_id, form.get("reason", ""), actor=actor())
        return "The account may spend again."

    return _carry_out(public_id, "suspend", lift)


@admin.post("/accounts/<public_id>/view")
def start_viewing(public_id: str) -> ResponseReturnValue:
    account, form = dossiers.find(public_id), request.form
    session_id = sessions.signed_in().session_id
    try:
        viewing.begin(session_id, account.id, form.get("why", ""), actor=actor())
    except Refused as refused:
        return _page(account, act="view", errors={refused.param: refused.message}, form=form)
    return hx.go_to(url_for("account.show_overview"))


@admin.post("/stop-viewing")
def stop_viewing() -> ResponseReturnValue:
    account_id = viewing.end(sessions.signed_in().session_id, actor=actor())
    if account_id is None:
        return hx.go_to(url_for("admin.show_users"))
    flash("You are back in your own account.", "success")
    return hx.go_to(url_for("admin.show_account", public_id=dossiers.of(account_id).public_id))


def _carry_out(public_id: str, act: str, verb: Callable[[int, Form], str]) -> ResponseReturnValue:
    """Does with the account what the form asks for and says so; refused, the page says why."""
    account = dossiers.find(public_id)
    try:
        said = verb(account.id, request.form)
    except Refused as refused:
        errors = {refused.param: refused.message}
        return _page(account, act=act, errors=errors, form=request.form)
    flash(said, "success")
    return hx.go_to(url_for("admin.show_account", public_id=public_id))


def _page(
    account: Dossier,
    *,
    act: str = "",
    errors: Mapping[str | None, str] | None = None,
    form: Form | None = None,
) -> Response:
    """The page; `act` is the form that was sent and refused, which shows what was typed."""
    found = all_requests.page(Filters(account=account.public_id), limit=REQUESTS_MAX)
    return hx.page_or_fragment(
        "admin/account.html",
        "admin/_account.html",
        status=422 if errors else 200,
        account=account,
        balance=account.balance,
        people=dossiers.people_of(account.id),
        entries=billing.statement(account.id, limit=ENTRIES_MAX),
        requests=found.requests,
        plan_choices=[(plan.slug, plan.name) for plan in plans.list_of()],
        view_minutes=int(viewing.LASTS.total_seconds()) // 60,
        act=act,
        errors=errors or {},
        form=form or {},
        # A form that is sent twice grants once.
        form_id=secrets.token_hex(16),
    )
