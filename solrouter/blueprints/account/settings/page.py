"""The settings page as a whole: what each section shows, and the page or one section of it.

A new section is a file beside this one, a fragment in templates/account/settings/ that
settings.html includes, and an entry in `sections`.
"""

from collections.abc import Mapping
from typing import Any

from flask import Response

from solrouter.blueprints import hx, oauth, sessions
from solrouter.blueprints.account.room import account
from solrouter.services import accounts, identities


@account.get("/settings")
def show_settings() -> Response:
    return show("_email.html")


def show(
    section: str,
    *,
    errors: Mapping[str | None, str] | None = None,
    form: Mapping[str, str] | None = None,
    **news: Any,
) -> Response:
    """The page; for HTMX the one section. `news` is what a section has just done."""
    return hx.page_or_fragment(
        "account/settings.html",
        f"account/settings/{section}",
        status=422 if errors else 200,
        errors={section: errors or {}},
        form={section: form or {}},
        **sections(),
        **news,
    )


def sections() -> dict[str, Any]:
    """What the sections show."""
    person = sessions.signed_in()
    return {
        "user": accounts.get_user(person.user_id),
        "linked": {row.provider: row for row in identities.list_of(person.user_id)},
        "providers": oauth.enabled(),
    }
