"""Commands for payments in USDC on Solana: whether they can be taken, and the cases that need a
person.
"""

import sys

import click
from flask.cli import AppGroup

from solrouter.commands.basics import OPERATOR, say, told
from solrouter.money import display_usd
from solrouter.services import payments
from solrouter.services.payments import solana as service

solana = AppGroup("solana", help="Payments in USDC on Solana.")
GROUPS = (solana,)


@solana.command("check")
@told
def check_nodes() -> None:
    """Asks every node about network, token and account. Exit code 1 where none is believed."""
    if not service.is_set_up():
        raise click.ClickException("SOLROUTER_SOLANA_WALLET is not set.")
    found = service.look()
    for problem in found.problems:
        say(problem)
    for endpoint in found.believed:
        click.echo(f"{endpoint}\tbelieved")
    if not found.is_ready:
        sys.exit(1)
    say("Payments in USDC can be taken.")


@solana.command("review")
@told
def list_reviews() -> None:
    """Lists transactions that came with a payment's reference and were not plainly for it."""
    waiting = service.reviews()
    for payment, entry in waiting:
        click.echo("\t".join((payment.public_id, entry.signature, entry.reason)))
    say(f"{len(waiting)} transactions need a look. Credit one with: flask solana accept")


@solana.command("accept")
@click.argument("payment")
@click.argument("signature")
@told
def accept_transaction(payment: str, signature: str) -> None:
    """Credits a payment with a transaction that you know to be its own, once.

    What it brought to the payment's account is read from the chain.
    """
    service.look()
    nanos = service.accept(payments.find(payment), signature, actor=OPERATOR)
    say(f"Credited {display_usd(nanos)}.")
