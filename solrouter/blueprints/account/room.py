"""The account's blueprint and what its pages share: the tabs that the member's role may open."""

from flask import Blueprint, url_for

from solrouter.blueprints import guards

account = Blueprint("account", __name__, url_prefix="/account")

KEY_PAGES = (
    "account.create_key",
    "account.show_key",
    "account.edit_key",
    "account.rotate_key",
    "account.disable_key",
    "account.enable_key",
    "account.show_end_former",
    "account.show_revoke_key",
)
BALANCE_PAGES = (
    "account.show_solana_payment",
    "account.claim_solana_transaction",
    "account.begin_payment",
    "account.show_payment",
    "account.answer_test_payment",
    "account.show_payment_receipt",
    "account.show_refund",
    "account.refund_payment",
    "account.redeem_code",
    "account.show_auto_top_up",
    "account.set_auto_top_up",
    "account.show_statements",
)
SETTINGS_PAGES = (
    "account.show_audit",
    "account.show_second_factor",
    "account.confirm_second_factor",
    "account.renew_recovery_codes",
    "account.turn_off_second_factor",
    "account.change_password",
    "account.show_delete_account",
    "account.delete_account",
    "account.set_low_balance",
    "account.set_buyer",
    "account.set_spend_alert",
    "account.show_webhooks",
    "account.add_webhook",
    "account.show_webhook",
    "account.renew_webhook_secret",
    "account.show_remove_webhook",
    "account.keep_content",
    "account.keep_no_content",
    "account.show_delete_content",
    "account.delete_content",
    "account.ask_email_change",
    "account.show_confirm_email",
    "account.confirm_email",
    "account.show_change_email",
    "account.change_email",
    "account.show_unlink",
    "account.unlink",
)
TEAM_PAGES = (
    "account.invite_member",
    "account.resend_team_invitation",
    "account.change_member_role",
    "account.show_member_budget",
    "account.set_member_budget",
    "account.show_remove_member",
    "account.remove_member",
    "account.show_leave_team",
    "account.leave_team",
    "account.show_join_team",
    "account.join_team",
)
# Each tab with the pages beneath it.
TABS = (
    ("Overview", "account.show_overview", ()),
    ("API Keys", "account.show_keys", KEY_PAGES),
    ("Balance", "account.show_balance", BALANCE_PAGES),
    ("Activity", "account.show_activity", ("account.show_receipt",)),
    ("Plan", "account.show_plan", ()),
    ("Team", "account.show_team", TEAM_PAGES),
    ("Settings", "account.show_settings", SETTINGS_PAGES),
)


@account.context_processor
def lend_tabs() -> dict[str, list[tuple[str, str, tuple[str, ...]]]]:
    tabs = [
        (text, url_for(name), (name, *beneath))
        for text, name, beneath in TABS
        if guards.may_open(name)
    ]
    return {"account_tabs": tabs}
