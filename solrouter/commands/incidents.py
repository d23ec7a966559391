"""Commands of incidents: what the status page tells."""

from datetime import UTC, datetime

import click
from flask.cli import AppGroup

from solrouter.commands.basics import OPERATOR, say, told
from solrouter.services import incidents as service

incidents = AppGroup("incidents", help="What the status page tells.")
GROUPS = (incidents,)


@incidents.command("open")
@click.argument("title")
@click.argument("text")
@click.option("--kind", default="degraded", show_default=True, help=", ".join(service.KINDS))
@click.option("--affects", multiple=True, help="A model's id or a provider's slug; often.")
@click.option("--begins", type=click.DateTime(), help="When it begins, UTC; without it, now.")
@told
def open_one(
    title: str, text: str, kind: str, affects: tuple[str, ...], begins: datetime | None
) -> None:
    """Tells of a new incident and prints its id."""
    begins_at = begins.replace(tzinfo=UTC) if begins else None
    public_id = service.open_one(
        title, text, kind=kind, affects=affects, begins_at=begins_at, actor=OPERATOR
    )
    say("It is on the status page.")
    click.echo(public_id)


@incidents.command("note")
@click.argument("public_id")
@click.argument("text")
@told
def note(public_id: str, text: str) -> None:
    """Tells more about an incident."""
    service.tell(public_id, text, actor=OPERATOR)
    say("It is on the status page.")


@incidents.command("close")
@click.argument("public_id")
@click.argument("text")
@told
def close(public_id: str, text: str) -> None:
    """Tells that an incident is over, and how it ended."""
    service.tell(public_id, text, closes=True, actor=OPERATOR)
    say("The incident is over.")


@incidents.command("list")
@told
def list_all() -> None:
    """The incidents of the status page, open ones first."""
    for told_of in service.recent():
        state = "open" if told_of.is_open else "over"
        click.echo(f"{told_of.public_id}  {state}  {told_of.kind}  {told_of.title}")
