"""What every command speaks with: its types, its voice, its way to fail."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TypeVar, cast

import click

from solrouter.database.faults import FOREIGN
from solrouter.errors import DatabaseUnavailable, SolRouterError
from solrouter.money import NotMoney, parse_usd
from solrouter.services import accounts, schema
from solrouter.services.accounts import UserRow

Command = TypeVar("Command", bound=Callable[..., Any])
OPERATOR = "operator:cli"


class Dollars(click.ParamType[int]):
    """An amount in USD, as nanodollars."""

    name = "USD"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        try:
            return value if isinstance(value, int) else int(parse_usd(str(value)))
        except NotMoney as error:
            self.fail(str(error), param, ctx)


USD = Dollars()


def told(command: Command) -> Command:
    """Turns our errors, and the database's, into one sentence on standard error and exit code 1."""

    @wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except (DatabaseUnavailable, *FOREIGN) as error:
            raise click.ClickException(schema.explained(error)) from error
        except SolRouterError as error:
            raise click.ClickException(error.message) from error

    return cast(Command, wrapper)


def user_row(email: str) -> UserRow:
    """The user with this address. Raises ClickException."""
    row = accounts.find_user(email)
    if row is None:
        raise click.ClickException(
            f"There is no user {email}. Make one: flask users create {email}"
        )
    return row


def say(text: str) -> None:
    """A line for people, on standard error."""
    click.echo(text, err=True)


def say_table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, right: str = "") -> None:
    """A table for people; the columns whose heads stand in `right` hold numbers."""
    if not rows:
        return
    lines = [heads, *rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(heads))]
    numbers = [head in right.split() for head in heads]
    for line in lines:
        cells = (
            cell.rjust(width) if is_number else cell.ljust(width)
            for cell, width, is_number in zip(line, widths, numbers, strict=True)
        )
        say("  ".join(cells).rstrip())
