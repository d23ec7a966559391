"""What an account has, and every transfer that made it so. Adding credits comes with payments."""

import uuid

from flask import request
from flask.typing import ResponseReturnValue
from flask_login import current_user

from solrouter.blueprints import hx
from solrouter.blueprints.account.room import account
from solrouter.services import billing

PAGE_SIZE = 25


@account.get("/balance")
def show_balance() -> ResponseReturnValue:
    account_id = current_user.account_id
    entries = billing.statement(account_id, limit=PAGE_SIZE + 1, before=_cursor())
    return hx.page_or_fragment(
        "account/balance.html",
        "account/_transactions.html",
        balance=billing.balance(account_id),
        entries=entries[:PAGE_SIZE],
        older=entries[PAGE_SIZE - 1].id if len(entries) > PAGE_SIZE else None,
        is_first_page=_cursor() is None,
    )


def _cursor() -> str | None:
    """The `before` of an Older link; None where there is none or it is not an id of ours."""
    before = request.args.get("before", "")
    try:
        uuid.UUID(before)
    except ValueError:
        return None
    return before
