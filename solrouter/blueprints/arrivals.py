"""Where somebody goes who has just proven who they are: to the second step if there is one, to what
operators are asked once, else to where they wanted to go.
"""

from flask import Response, url_for

from solrouter.blueprints import hx, sessions, welcome
from solrouter.services import accounts, second_factors


def arrive(user_id: int, target: str, mark: str | None) -> Response:
    """Signs the user in, or half in, and leads them on; `mark` as for `sessions.sign_in`."""
    if not sessions.sign_in(user_id, mark):
        return hx.go_to(url_for("auth.show_second_step", next=target))
    return lead_on(user_id, target)


def lead_on(user_id: int, target: str) -> Response:
    """To the target; operators without a second factor are asked first to set one up, once."""
    welcome.greet(user_id)
    is_unsafe = (
        accounts.get_user(user_id).is_operator and not second_factors.state_of(user_id).is_on
    )
    if is_unsafe and second_factors.ask_once(user_id):
        return hx.go_to(url_for("account.show_second_factor", next=target))
    return hx.go_to(target)
