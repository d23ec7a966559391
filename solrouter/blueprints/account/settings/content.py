"""Whether the account's prompts and answers are kept, for how long, and the end of what is kept.

An owner decides. Everybody in the account sees it, since it is their words that are kept.
"""

from typing import Any

from flask import Response, flash, render_template, request, url_for
from flask.typing import ResponseReturnValue

from solrouter.blueprints import hx, sessions, typed
from solrouter.blueprints.account.room import account
from solrouter.blueprints.account.settings import page
from solrouter.errors import Refused
from solrouter.services import contents

SECTION = "content"


def facts() -> dict[str, Any]:
    terms = contents.terms_of(sessions.signed_in().account_id)
    return {"terms": terms, "errors": {}, "said": ""}


page.add(SECTION, facts)


@account.post("/settings/content")
def keep_content() -> Response:
    member = sessions.signed_in()
    try:
        days = _days(request.form.get("days", ""))
        contents.keep_for(member.account_id, days, actor=f"user:{member.user_id}")
    except Refused as refusal:
        return page.show(SECTION, errors={refusal.param: refusal.message})
    return page.done(SECTION, f"Kept for {days} {'day' if days == 1 else 'days'} from now on.")


@account.post("/settings/content/off")
def keep_no_content() -> Response:
    member = sessions.signed_in()
    contents.keep_for(member.account_id, None, actor=f"user:{member.user_id}")
    return page.done(SECTION, "Nothing more is kept from now on.")


@account.get("/settings/content/delete")
def show_delete_content() -> str:
    terms = contents.terms_of(sessions.signed_in().account_id)
    return render_template("account/settings/delete_content.html", terms=terms)


@account.post("/settings/content/delete")
def delete_content() -> ResponseReturnValue:
    member = sessions.signed_in()
    count = contents.clear(member.account_id, actor=f"user:{member.user_id}")
    requests = "1 request" if count == 1 else f"{count} requests"
    flash(f"Deleted: the prompts and answers of {requests}.", "success")
    return hx.go_to(url_for("account.show_settings"))


def _days(text: str) -> int:
    return typed.whole_or_none(text.strip()) or 0
