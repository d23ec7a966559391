"""The mails that this server would have sent, to read and to follow. Only in development."""

from flask import Blueprint, abort, current_app, render_template

from solrouter.services import outbox

development = Blueprint("development", __name__)


@development.get("/dev/mails")
def show_mails() -> str:
    if current_app.config["SOLROUTER_ENV"] != "development":
        abort(404)
    mails = [(mail, (mail.shown or "").split("\n\n")) for mail in outbox.list_of()]
    return render_template("development/mails.html", mails=mails)
