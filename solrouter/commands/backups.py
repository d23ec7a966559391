"""Commands of backups, for SQLite. Both refuse to write over anything."""

import sys
from pathlib import Path

import click
from flask.cli import with_appcontext

from solrouter.commands.basics import say, told
from solrouter.services import backups as service
from solrouter.services import billing
from solrouter.services.schema import Fit

A_FILE = click.Path(path_type=Path)


@click.command("backup")
@click.argument("path", type=A_FILE)
@with_appcontext
@told
def backup(path: Path) -> None:
    """Writes the SQLite database to PATH, while the server runs; PATH must not exist."""
    size_bytes = service.take(path)
    say(f"Backed up {size_bytes:,} bytes, and found them sound.")
    say("Keep SECRET_KEY with it, and apart from it: without that no API key would be recognised.")
    click.echo(str(path))


@click.command("restore")
@click.argument("path", type=A_FILE)
@with_appcontext
@told
def restore(path: Path) -> None:
    """Puts a backup back as the SQLite database, which must not exist; audits its ledger.

    Exit code 1 when something about it needs you before a server can start.
    """
    restored = service.restore(path)
    say(f"Restored to {restored.path}.")
    needs = [restored.standing.advice] if restored.standing.advice else []
    if not restored.knows_secret:
        needs.append(
            "SECRET_KEY is not the one that this backup was used with: set the former one, or list "
            "it in SECRET_KEY_FALLBACKS."
        )
    if restored.standing.fit is Fit.CURRENT:
        needs.extend(billing.audit())
    if restored.holds:
        say(
            f"{restored.holds} requests were running when it was taken. The server releases them, "
            "uncharged, soon after its start."
        )
    for sentence in needs:
        click.echo(sentence)
    if needs:
        sys.exit(1)
    say("Every balance equals its ledger. Start the server.")
