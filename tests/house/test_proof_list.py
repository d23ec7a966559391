"""What asks who is there, as a list beside the guards: every act is on it, or named as one that is
not.
"""

from flask import Flask

from solrouter.blueprints import confirm

ROOMS = ("account", "admin", "auth")
SAFE = {"GET", "HEAD", "OPTIONS"}
# Acts that need no recent proof, with why.
FREE = {
    "account.confirm_person": "it is the proof",
    "account.ask_verification": "a mail to the address that is there already",
    "account.change_email": "the link in the mail is the proof, and asking for it asked for more",
    "account.confirm_email": "the link in the mail is the proof",
    "account.confirm_with_provider": "it is the proof",
    "account.confirm_second_factor": "it is a proof, of a set-up that asked for one",
    "admin.stop_viewing": "going back must never be hindered",
    "admin.try_provider": "it asks the provider one short question, and shows no secret",
    "admin.open_incident": "words on the status page",
    "admin.tell_incident": "words on the status page",
    "admin.end_announcement": "ending an announcement must never be hindered",
    "admin.revoke_invitation": "ending an invitation must never be hindered",
    "account.begin_payment": "money only comes in, and whoever takes it asks who pays",
    "account.answer_test_payment": "no money moves",
    "account.redeem_code": "the code is the proof",
    "account.stop_auto_top_up": "ending charges must never be hindered",
    "admin.end_code": "ending a code must never be hindered",
    "account.revoke_key": "ending a key must never be hindered",
    "account.disable_key": "stopping a key must never be hindered",
    "account.end_former": "ending a secret must never be hindered",
    "account.freeze_keys": "stopping keys must never be hindered",
    "account.keep_no_content": "keeping less must never be hindered",
    "account.end_session": "ending a session must never be hindered",
    "account.end_other_sessions": "ending sessions must never be hindered",
    "account.revoke_team_invitation": "ending an invitation must never be hindered",
    "account.leave_team": "leaving must never be hindered",
    "account.join_team": "the link in the mail is the proof, and the address is confirmed",
    "account.switch_account": "it leads only to what is theirs, where each act asks by itself",
    "account.claim_solana_transaction": "it makes us look; whose money it is the chain proves",
    "account.set_buyer": "words on the account's own receipts",
    "account.set_low_balance": "a mail to the account's own people",
    "account.set_spend_alert": "a mail to the account's own people",
    "account.try_webhook": "it says nothing, and to where a proof has led already",
    "account.redeliver_message": "it says again what was said, to the same place",
    "account.turn_webhook_on": "it leads to where a proof has led already",
    "account.turn_webhook_off": "saying less must never be hindered",
    "account.remove_webhook": "saying less must never be hindered",
    "admin.try_webhook": "it says nothing, and to where a proof has led already",
    "admin.redeliver_message": "it says again what was said, to the same place",
    "admin.turn_webhook_on": "it leads to where a proof has led already",
    "admin.turn_webhook_off": "saying less must never be hindered",
    "admin.remove_webhook": "saying less must never be hindered",
    "admin.run_job": "it does now what is done anyway",
    "playground.ask": "it spends within the limits and budgets that each request has",
    "playground.create_completion": "it spends within the limits and budgets of each request",
    "auth.ask_reset": "nobody is there yet",
    "auth.create_account": "nobody is there yet",
    "auth.reset_password": "the link in the mail is the proof",
    "auth.take_address": "the sign-in elsewhere is the proof",
    "auth.sign_in": "it is the proof",
    "auth.take_second_step": "it is the proof",
    "auth.sign_out": "signing out must never be hindered",
}


def acts(app: Flask) -> set[str]:
    return {
        rule.endpoint
        for rule in app.url_map.iter_rules()
        if rule.endpoint.partition(".")[0] in ROOMS and (rule.methods or set()) - SAFE
    }


def test_every_act_is_on_one_list(app: Flask) -> None:
    listed = {*confirm.NEEDS_PROOF, *confirm.ASKS_ITSELF, *FREE}
    missing = acts(app) - listed
    assert not missing, f"add to NEEDS_PROOF in blueprints/confirm.py, or here: {sorted(missing)}"
    gone = listed - {rule.endpoint for rule in app.url_map.iter_rules()}
    assert not gone, f"no longer there: {sorted(gone)}"


def test_no_act_is_on_two_lists() -> None:
    lists = (set(confirm.NEEDS_PROOF), set(confirm.ASKS_ITSELF), set(FREE))
    assert sum(map(len, lists)) == len(set().union(*lists))
