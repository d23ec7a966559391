"""Commands of completions and transfers: their months on PostgreSQL, and what is too old."""

from datetime import datetime

import click
from flask.cli import AppGroup

from solrouter.commands.basics import say, told
from solrouter.services import partitions as service
from solrouter.services import retention
from solrouter.services.partitions import Partition

partitions = AppGroup("partitions", help="The months of completions and transfers.")
GROUPS = (partitions,)
NONE_ON_SQLITE = "On SQLite the tables have no months."
MIB = 1024 * 1024


@partitions.command("list")
@told
def list_all() -> None:
    """The parts of both tables with their sizes; exit code 1 when none are ready ahead of time."""
    found = service.overview()
    for part in found:
        click.echo(_line(part))
    if not found:
        say(NONE_ON_SQLITE)
    if (problem := service.problem()) is not None:
        raise click.ClickException(f"{problem}. Run: flask partitions make")


@partitions.command("make")
@told
def make() -> None:
    """Makes the coming months now; the server does so by itself."""
    say(f"Made {service.keep_up()} parts.")


@partitions.command("forget")
@told
def forget() -> None:
    """Forgets receipts older than SOLROUTER_RECEIPTS_MONTHS now; the server does so by itself."""
    say(f"Forgot the receipts of {retention.forget()} months.")


def _line(part: Partition) -> str:
    span = f"{_day(part.begins_at)}  {_day(part.ends_at)}"
    return f"{part.name:<32}  {span}  {part.rows:>12} rows  {part.size_bytes // MIB:>8} MiB"


def _day(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d}" if moment else "open".ljust(10)
