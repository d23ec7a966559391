"""The operator's commands. Each can be run again, says what it did, and fails with a code and a
sentence.

Answers that a script wants stand alone on standard output; everything else goes to standard error.
"""

import secrets
import socket
import sys
from functools import wraps
from pathlib import Path
from typing import Any

import click
from flask import Flask, current_app
from flask.cli import AppGroup, with_appcontext
from flask_migrate import Migrate
from flask_migrate.cli import db as migration_commands

from solrouter import database
from solrouter.commands import backups as backup_commands
from solrouter.commands import catalogue as catalogue_commands
from solrouter.commands import clock as clock_commands
from solrouter.commands import doctor as doctor_commands
from solrouter.commands import history as history_commands
from solrouter.commands import incidents as incident_commands
from solrouter.commands import keys as key_commands
from solrouter.commands import payments as payment_commands
from solrouter.commands import people as people_commands
from solrouter.commands import root_secrets as root_secrets_commands
from solrouter.commands import solana as solana_commands
from solrouter.commands.basics import OPERATOR, USD, say, told, user_row
from solrouter.database import faults
from solrouter.errors import DatabaseUnavailable
from solrouter.extensions import db
from solrouter.money import display_usd
from solrouter.services import (
    accounts,
    billing,
    catalogue,
    keys,
    payments,
    plans,
    schema,
    second_factors,
)
from solrouter.services.schema import Fit

PASSWORD_BYTES = 12
DEMO_EMAIL = "demo@example.com"
DEMO = """SolRouter runs at {url}

  Sign in   {url}/login
  E-mail    {email}
  Password  {password}
  API key   {key}
            (shown this once; the account has some demo credit)

Your first request, ready to paste:

curl {url}/v1/chat/completions \\
  -H "Authorization: Bearer {key}" \\
  -H "Content-Type: application/json" \\
  -d '{{"model": "demo/echo", "messages": [{{"role": "user", \
"content": "What is the meaning of life?"}}]}}'"""
DEMO_AGAIN = """SolRouter runs at {url}

The demo account {email} exists; its password and key were printed at the first start.
`make reset` begins anew."""

MAY_NOT = (
    "The role of DATABASE_URL may not change the tables ({reason}). Nothing was changed. Let it "
    "own the database, or migrate as a role that does."
)

users = AppGroup("users", help="People and their accounts.")
credits_ = AppGroup("credits", help="Credit of accounts.")
ledger = AppGroup("ledger", help="The books.")
plans_ = AppGroup("plans", help="What accounts may use at once.")
GROUPS = (
    plans_,
    users,
    key_commands.api_keys,
    credits_,
    ledger,
    *catalogue_commands.GROUPS,
    *payment_commands.GROUPS,
    *history_commands.GROUPS,
    *incident_commands.GROUPS,
    *people_commands.GROUPS,
    *root_secrets_commands.GROUPS,
    *solana_commands.GROUPS,
)
users.add_command(people_commands.invite)
users.add_command(people_commands.confirm)

NO_LIMIT = -1


def init_app(app: Flask, *, migrations: Path) -> None:
    """Adds the commands, and teaches `flask db upgrade` to bring in the packaged catalogue."""
    Migrate(app, db, directory=str(migrations))
    for group in GROUPS:
        app.cli.add_command(group)
    for command in (
        backup_commands.backup,
        backup_commands.restore,
        clock_commands.clock,
        doctor_commands.doctor,
        make_demo,
    ):
        app.cli.add_command(command)
    _extend_upgrade()


@users.command("create")
@click.argument("email")
@click.option("--password", help="Without one, the person signs in through GitHub.")
@click.option("--credit", type=USD, default="0", help="Credit to grant, if the user is new.")
@click.option("--plan", help="The account's plan, such as `unlimited`.")
@click.option("--admin", is_flag=True, help="Makes the user an operator.")
@told
def create_user(
    email: str, password: str | None, credit: int, plan: str | None, admin: bool
) -> None:
    """Makes a user with an account; for one who is there, sets what is given."""
    if credit < 0:
        raise click.ClickException("A credit cannot be negative.")
    default_plan = current_app.config["SOLROUTER_DEFAULT_PLAN"]
    user, created = accounts.ensure_user(
        email, password, plan=plan, operator=admin, default_plan=default_plan
    )
    say(f"{'Made' if created else 'There already is'} the user {user.email}.")
    if created and credit:
        row = user_row(email)
        payments.grant(row.account_id, credit, actor=OPERATOR, note="Starting credit")
        say(f"Granted {display_usd(credit)}.")


@users.command("drop-second-factor")
@click.argument("email")
@told
def drop_second_factor(email: str) -> None:
    """Turns off the two-step sign-in of somebody who has lost phone and codes. Be sure who asks."""
    row = user_row(email)
    if not second_factors.turn_off(row.user_id, actor=OPERATOR):
        raise click.ClickException(f"{row.email} has no two-step sign-in.")
    say(f"{row.email} signs in with one step from now on.")


@credits_.command("grant")
@click.argument("email")
@click.argument("amount", type=USD)
@click.option("--note", required=True, help="Why; it stands in the books.")
@told
def grant_credit(email: str, amount: int, note: str) -> None:
    """Grants credit to the user's account."""
    row = user_row(email)
    payments.grant(row.account_id, amount, actor=OPERATOR, note=note)
    balance = billing.balance(row.account_id)
    say(f"Granted {display_usd(amount)}. The balance is {display_usd(balance.posted_nanos)}.")


class Limit(click.ParamType[int]):
    """A whole number, or `none` for no limit."""

    name = "N|none"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        text = str(value).lower()
        if text != "none" and not text.isdecimal():
            self.fail(f"{value!r} is neither a number nor none", param, ctx)
        return NO_LIMIT if text == "none" else int(text)


@plans_.command("list")
@told
def list_plans() -> None:
    """Lists the plans with their limits."""
    for plan in plans.list_of():
        limits = (f"{name}={getattr(plan, name)}" for name in (*plans.LIMITS, plans.MIN_PAID))
        click.echo("\t".join((plan.slug, plan.name, *limits)))


@plans_.command("set")
@click.argument("slug")
@click.option("--name", help="What people see.")
@click.option("--requests-per-minute", type=Limit())
@click.option("--tokens-per-minute", type=Limit())
@click.option("--concurrency", type=Limit())
@click.option("--free-requests-per-day", type=Limit())
@click.option("--free-concurrency", type=Limit())
@click.option(
    "--min-paid",
    plans.MIN_PAID,
    type=key_commands.DollarsOrNone(),
    help="US dollars paid in all that bring it, or none.",
)
@told
def set_plan(slug: str, name: str | None, **limits: int | None) -> None:
    """Makes a plan, or changes what is given of one; it holds from the next request on."""
    given = {
        key: None if value == NO_LIMIT else value
        for key, value in limits.items()
        if value is not None
    }
    is_new = slug not in [plan.slug for plan in plans.list_of()]
    plan = plans.define(slug, given, name=name)
    if is_new:
        say(f"Made the plan {plan.slug}. What was not given has no limit.")
    else:
        say(f"The plan {plan.slug} is set.")


@ledger.command("audit")
@told
def audit_ledger() -> None:
    """Exit code 0 when every balance equals its ledger, else 1 and one line a difference."""
    differences = 0
    for sentence in billing.audit():
        click.echo(sentence)
        differences += 1
    if differences:
        sys.exit(1)
    say("Every balance equals its ledger.")


@click.command("demo")
@click.option("--before-start", is_flag=True, help="Refuse if PORT is taken already.")
@with_appcontext
@told
def make_demo(before_start: bool) -> None:
    """Development only: makes the demo account and prints how to use it."""
    if current_app.config["SOLROUTER_ENV"] == "production":
        raise click.ClickException("The demo account is for development: production makes none.")
    if before_start:
        _require_free_port()
    url = f"http://localhost:{current_app.config['PORT']}"
    if accounts.find_user(DEMO_EMAIL) is not None:
        click.echo(DEMO_AGAIN.format(url=url, email=DEMO_EMAIL))
        return
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    accounts.ensure_user(DEMO_EMAIL, password, operator=True)
    row = user_row(DEMO_EMAIL)
    # Who tries this out is not asked at the door; the admin reminds them all the same.
    second_factors.ask_once(row.user_id)
    credit = current_app.config["SOLROUTER_DEMO_CREDIT_USD"]
    payments.grant(row.account_id, credit, actor=OPERATOR, note="Credit of the demo account")
    new = keys.create(row.account_id, user_id=row.user_id, name="First key")
    click.echo(DEMO.format(url=url, email=DEMO_EMAIL, password=password, key=new.text))


def _require_free_port() -> None:
    """Before anything is printed of a server that cannot start."""
    address = (current_app.config["SOLROUTER_BIND"], current_app.config["PORT"])
    try:
        socket.create_server(address).close()
    except OSError as error:
        port = current_app.config["PORT"]
        raise click.ClickException(
            f"Port {port} cannot be used ({error.strerror}). Try another: PORT=8001 make run"
        ) from error


def _extend_upgrade() -> None:
    upgrade = migration_commands.commands["upgrade"]
    if getattr(upgrade, "brings_catalogue", False):
        return
    migrate = upgrade.callback
    assert migrate is not None

    @wraps(migrate)
    def migrate_and_bring_in(*args: Any, **kwargs: Any) -> None:
        if _are_newer():
            return
        database.current().make_file()
        try:
            migrate(*args, **kwargs)
        except faults.FOREIGN as error:
            if faults.is_damaged(error):
                raise click.ClickException(schema.DAMAGED) from error
            if not faults.is_forbidden(error):
                raise
            raise click.ClickException(MAY_NOT.format(reason=faults.reason(error))) from error
        if kwargs.get("sql") or kwargs.get("revision") not in ("head", "heads"):
            return
        _bring_in_catalogue()

    upgrade.callback = migrate_and_bring_in
    upgrade.brings_catalogue = True


@told
def _bring_in_catalogue() -> None:
    added = catalogue.bring_in_packaged()
    say(f"The catalogue is up to date{f', {added} rows added' if added else ''}.")


@told
def _are_newer() -> bool:
    """Whether the tables are newer and fit, as after a roll-back: then they stay as they are.

    Raises ClickException where they do not fit.
    """
    try:
        standing = schema.standing()
    except DatabaseUnavailable as error:
        if faults.is_damaged(error):
            raise
        # The migration waits longer, and says why it could not be made.
        return False
    if standing.fit is Fit.TOO_NEW:
        raise click.ClickException(standing.advice)
    if standing.fit is Fit.EXPANDED:
        say(standing.advice)
    return standing.fit is Fit.EXPANDED
