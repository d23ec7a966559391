"""The settings page as a whole: what each section shows, and the page or one section of it.

A new section is a file beside this one, a fragment in templates/account/settings/ and its name in
ORDER. What it shows it tells by `add`, or `sections` does.
"""

from collections.abc import Callable, Mapping
from typing import Any

from flask import Response, flash, redirect, request, url_for

from solrouter.blueprints import hx, oauth, sessions
from solrouter.blueprints.account.room import account
from solrouter.services import accounts, identities

Facts = Callable[[], dict[str, Any]]

# In this order on the page. A section's fragment is `account/settings/_<name>.html`.
ORDER = (
    "email",
    "password_settings",
    "second_factor",
    "sign_in_methods",
    "open_sessions",
    "buyer",
    "notifications",
    "content",
    "privacy",
)
_sections: dict[str, Facts] = {}


def add(name: str, facts: Facts) -> None:
    """What the section knows; its fragment finds it under its name."""
    assert name in ORDER, f"say in ORDER where {name} stands"
    _sections[name] = facts


@account.get("/settings")
def show_settings() -> Response:
    return show(ORDER[0])


def show(
    section: str,
    *,
    errors: Mapping[str | None, str] | None = None,
    form: Mapping[str, str] | None = None,
    **news: Any,
) -> Response:
    """The page; for HTMX the one section. `news` is what a section has just done."""
    name = section.removeprefix("_").removesuffix(".html")
    facts = sections()
    if name in _sections:
        facts[name] |= {"errors": errors or {}, **news}
    else:
        facts |= news
    return hx.page_or_fragment(
        "account/settings.html",
        f"account/settings/_{name}.html",
        status=422 if errors else 200,
        errors={f"_{name}.html": errors or {}},
        form={f"_{name}.html": form or {}},
        order=ORDER,
        **facts,
    )


def done(name: str, said: str, **news: Any) -> Response:
    """After an act: the section again with what was done, or for a browser the page."""
    if hx.is_htmx():
        return show(name, said=said, **news)
    flash(said, "success")
    response = redirect(url_for("account.show_settings"), 303)
    assert isinstance(response, Response)
    return response


def sections() -> dict[str, Any]:
    """What the sections show."""
    person = sessions.signed_in()
    return {
        # What came with the session is true until something is done.
        "user": person if request.method == "GET" else accounts.get_user(person.user_id),
        "linked": {row.provider: row for row in identities.list_of(person.user_id)},
        "providers": oauth.enabled(),
        **{name: facts() for name, facts in _sections.items()},
    }
