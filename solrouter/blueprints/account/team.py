"""The account's team: its members, who is invited, and the keys that people left behind.

Everybody in it may look and leave; owners manage it. The link of an invitation that is not mailed
is printed by the POST that made it, and nowhere else.
"""

from collections.abc import Mapping

from flask import Response, flash, render_template, request, url_for
from flask.typing import ResponseReturnValue

from solrouter.blueprints import hx
from solrouter.blueprints.account import key_forms
from solrouter.blueprints.account.room import account
from solrouter.blueprints.sessions import signed_in
from solrouter.errors import Refused
from solrouter.money import decimal_usd
from solrouter.services import members
from solrouter.services.member_rows import Member
from solrouter.services.members import Sent

ROLES = (
    (members.DEVELOPER, "Developer"),
    (members.BILLING, "Billing"),
    (members.OWNER, "Owner"),
)


@account.get("/team")
def show_team() -> ResponseReturnValue:
    return _page()


@account.post("/team/invitations")
def invite_member() -> ResponseReturnValue:
    user, form = signed_in(), request.form
    try:
        sent = members.invite(
            user.account_id, form.get("email", ""), form.get("role", ""), by=user.user_id
        )
    except Refused as refused:
        return _page(errors={refused.param: refused.message}, form=form)
    return _page(sent=sent)


@account.post("/team/invitations/<public_id>/resend")
def resend_team_invitation(public_id: str) -> ResponseReturnValue:
    user = signed_in()
    return _page(sent=members.resend(user.account_id, public_id, by=user.user_id))


@account.post("/team/invitations/<public_id>/revoke")
def revoke_team_invitation(public_id: str) -> ResponseReturnValue:
    user = signed_in()
    email = members.revoke(user.account_id, public_id, by=user.user_id)
    return _again(f"The invitation of {email} is taken back.")


@account.post("/team/<public_id>/role")
def change_member_role(public_id: str) -> ResponseReturnValue:
    user, role = signed_in(), request.form.get("role", "")
    try:
        moved = members.change_role(user.account_id, public_id, role, by=user.user_id)
    except Refused as refused:
        return _page(errors={None: refused.message})
    done = f"{moved.member.email} is “{moved.member.role}” from now on."
    if moved.keys_stopped:
        done += f" Keys of theirs that are stopped: {moved.keys_stopped}."
    if public_id == user.user_public_id and moved.member.role != members.OWNER:
        # What this page offers is for owners alone.
        flash(done, "success")
        return hx.go_to(url_for("account.show_team"))
    return _again(done)


@account.get("/team/<public_id>/budget")
def show_member_budget(public_id: str) -> ResponseReturnValue:
    member = members.find(signed_in().account_id, public_id)
    limit = "" if member.limit_nanos is None else decimal_usd(member.limit_nanos)
    return _budget_page(member, form={"limit": limit, "resets": member.resets})


@account.post("/team/<public_id>/budget")
def set_member_budget(public_id: str) -> ResponseReturnValue:
    user, form = signed_in(), request.form
    member = members.find(user.account_id, public_id)
    typed = form.get("limit", "").strip()
    try:
        limit_nanos = key_forms.usd_of(typed) if typed else None
        members.set_budget(
            user.account_id,
            public_id,
            limit_nanos=limit_nanos,
            resets=form.get("resets", ""),
            by=user.user_id,
        )
    except Refused as refused:
        return _budget_page(member, form=form, errors={refused.param or "limit": refused.message})
    has = "has no budget of their own" if limit_nanos is None else "has a new budget"
    flash(f"{member.email} {has}, from their next request on.", "success")
    return hx.go_to(url_for("account.show_team"))


@account.get("/team/<public_id>/remove")
def show_remove_member(public_id: str) -> ResponseReturnValue:
    return _remove_page(public_id)


@account.post("/team/<public_id>/remove")
def remove_member(public_id: str) -> ResponseReturnValue:
    user = signed_in()
    try:
        gone = members.remove(user.account_id, public_id, by=user.user_id)
    except Refused as refused:
        return _remove_page(public_id, refused)
    flash(f"{gone.email} is removed, and their keys are stopped.", "success")
    leaves = public_id == user.user_public_id
    return hx.go_to(url_for("account.show_overview" if leaves else "account.show_team"))


@account.get("/team/leave")
def show_leave_team() -> ResponseReturnValue:
    return _leave_page()


@account.post("/team/leave")
def leave_team() -> ResponseReturnValue:
    user = signed_in()
    try:
        members.leave(user.account_id, user.user_id)
    except Refused as refused:
        return _leave_page(refused)
    flash(f"You have left “{user.account_name}”. This is your own account.", "success")
    return hx.go_to(url_for("account.show_overview"))


@account.get("/team/join/<token>")
def show_join_team(token: str) -> ResponseReturnValue:
    return _join_page(token)


@account.post("/team/join/<token>")
def join_team(token: str) -> ResponseReturnValue:
    user = signed_in()
    try:
        joined = members.accept(user.user_id, token)
    except Refused as refused:
        return _join_page(token, refused)
    members.act_for(user.session_id, user.user_id, joined.account_public_id)
    flash(f"You belong to “{joined.account_name}” now, and this is it.", "success")
    return hx.go_to(url_for("account.show_overview"))


@account.post("/switch")
def switch_account() -> ResponseReturnValue:
    user = signed_in()
    members.act_for(user.session_id, user.user_id, request.form.get("account", ""))
    return hx.go_to(url_for("account.show_overview"))


def _again(done: str) -> Response:
    if hx.is_htmx():
        return _page(done=done)
    flash(done, "success")
    return hx.go_to(url_for("account.show_team"))


def _page(
    *,
    errors: Mapping[str | None, str] | None = None,
    form: Mapping[str, str] | None = None,
    sent: Sent | None = None,
    done: str = "",
) -> Response:
    return hx.page_or_fragment(
        "account/team.html",
        "account/_team.html",
        status=422 if errors else 200,
        team=members.team_of(signed_in().account_id),
        roles=ROLES,
        role_names=dict(ROLES),
        errors=errors or {},
        form=form or {},
        sent=sent,
        done=done,
    )


def _budget_page(
    member: Member, *, form: Mapping[str, str], errors: Mapping[str | None, str] | None = None
) -> ResponseReturnValue:
    page = render_template(
        "account/member_budget.html",
        member=member,
        form=form,
        errors=errors or {},
        resets=key_forms.RESETS,
    )
    return page, 422 if errors else 200


def _remove_page(public_id: str, refusal: Refused | None = None) -> ResponseReturnValue:
    member = members.find(signed_in().account_id, public_id)
    page = render_template("account/remove_member.html", member=member, refusal=refusal)
    return page, 422 if refusal else 200


def _leave_page(refusal: Refused | None = None) -> ResponseReturnValue:
    page = render_template("account/leave_team.html", refusal=refusal)
    return page, 422 if refusal else 200


def _join_page(token: str, refusal: Refused | None = None) -> ResponseReturnValue:
    invitation = None
    if refusal is None:
        try:
            invitation = members.invited(signed_in().user_id, token)
        except Refused as refused:
            refusal = refused
    page = render_template(
        "account/join_team.html",
        invitation=invitation,
        refusal=refusal,
        token=token,
        role_names=dict(ROLES),
    )
    return page, 422 if refusal else 200
