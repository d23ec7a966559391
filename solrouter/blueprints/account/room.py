"""The account's blueprint and what its pages share: the tabs that the member's role may open."""

from flask import Blueprint, url_for

from solrouter.blueprints import guards

account = Blueprint("account", __name__, url_prefix="/account")

KEY_PAGES = (
    "account.create_key",
    "account.show_edit_key",
    "account.edit_key",
    "account.show_revoke_key",
)
# Each tab with the pages beneath it.
TABS = (
    ("Overview", "account.show_overview", ()),
    ("API Keys", "account.show_keys", KEY_PAGES),
    ("Balance", "account.show_balance", ()),
    ("Activity", "account.show_activity", ("account.show_receipt",)),
)


@account.context_processor
def lend_tabs() -> dict[str, list[tuple[str, str, tuple[str, ...]]]]:
    tabs = [
        (text, url_for(name), (name, *beneath))
        for text, name, beneath in TABS
        if guards.may_open(name)
    ]
    return {"account_tabs": tabs}
