"""Where a person is signed in, and the end of one session or of all others."""

from typing import Any

from flask import Response

from solrouter.blueprints import devices, sessions
from solrouter.blueprints.account.room import account
from solrouter.blueprints.account.settings import page
from solrouter.services import sessions as session_rows

SECTION = "open_sessions"


def facts() -> dict[str, Any]:
    user = sessions.signed_in()
    found = session_rows.sessions_of(user.user_id, present=user.session_id)
    return {"rows": [(row, devices.name_of(row.user_agent)) for row in found], "said": ""}


page.add(SECTION, facts)


@account.post("/settings/sessions/<public_id>/end")
def end_session(public_id: str) -> Response:
    session_rows.close_one(sessions.signed_in().user_id, public_id)
    return page.done(SECTION, "That session is ended.")


@account.post("/settings/sessions/end-others")
def end_other_sessions() -> Response:
    user = sessions.signed_in()
    session_rows.close_other_sessions(user.user_id, keep=user.session_id)
    return page.done(SECTION, "You are signed out everywhere else.")
