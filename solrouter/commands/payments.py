"""Commands of payments: what a lost webhook would have said, and redeem codes."""

import click
from flask.cli import AppGroup

from solrouter.commands.basics import OPERATOR, USD, say, told
from solrouter.money import display_usd
from solrouter.services import payments as service
from solrouter.services.payments import codes

payments = AppGroup("payments", help="Payments and redeem codes.")
GROUPS = (payments,)


@payments.command("reconcile")
@click.option(
    "--hours",
    type=click.IntRange(1, 8_760),
    default=72,
    show_default=True,
    help="How far back to look.",
)
@told
def reconcile(hours: int) -> None:
    """Asks the payment providers what became of recent payments, and puts right what differs."""
    report = service.reconcile(hours=hours)
    for line in report.lines:
        click.echo(line)
    say(f"Compared {report.asked} payments; {len(report.lines)} were not in line.")


@payments.command("make-code")
@click.argument("amount", type=USD)
@click.option("--uses", default=1, show_default=True, help="By how many accounts.")
@click.option(
    "--days", type=click.IntRange(1, 36_500), help="Good for so many days; without it, for ever."
)
@click.option("--note", default="", help="For your list.")
@told
def make_code(amount: int, uses: int, days: int | None, note: str) -> None:
    """Makes a redeem code and prints it, this once."""
    text = codes.make(amount, uses_max=uses, days=days, note=note, actor=OPERATOR)
    say(f"Worth {display_usd(amount)} to each of {uses} accounts; it is shown this once:")
    click.echo(text)
