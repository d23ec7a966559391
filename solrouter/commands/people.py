"""Commands of who may come in: invitations, addresses confirmed by hand; and the mails."""

import click
from flask import current_app
from flask.cli import AppGroup, with_appcontext

from solrouter.commands.basics import OPERATOR, say, told
from solrouter.services import accounts, admission, invitations, outbox

mails = AppGroup("mails", help="Mails that this server sends.")
GROUPS = (mails,)


@click.command("invite")
@click.argument("email")
@with_appcontext
@told
def invite(email: str) -> None:
    """Invites somebody to sign up; without a mail server prints the link to hand over."""
    sent = invitations.invite(email, actor=OPERATOR)
    if sent.link is None:
        say(f"A mail is on its way to {sent.email}.")
        return
    say(f"This server sends no mail. Hand this link to {sent.email}; it is shown this once:")
    click.echo(sent.link)


@click.command("confirm")
@click.argument("email")
@with_appcontext
@told
def confirm(email: str) -> None:
    """Confirms a user's address: the operator vouches for it."""
    row = accounts.find_user(email)
    if row is None:
        raise click.ClickException(f"There is no user {email}.")
    accounts.confirm_email(row.user_id, actor=OPERATOR)
    welcome = current_app.config["SOLROUTER_WELCOME_CREDIT"]
    if welcome:
        admission.welcome(row.user_id, welcome)
    say(f"{row.email} is confirmed.")


@mails.command("failed")
@told
def list_failed() -> None:
    """Lists the mails that were given up, and why."""
    for mail in outbox.list_of(only_failed=True):
        click.echo("\t".join((str(mail.id), mail.kind, mail.recipient, mail.problem)))


@mails.command("retry")
@told
def retry_failed() -> None:
    """Tries again what was given up."""
    say(f"{outbox.retry_failed()} mails will be tried again.")
