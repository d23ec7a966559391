"""Commands of API keys, for the operator: whatever the pages and the API can do, and by the same
service. A key's text stands alone on standard output, once.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click
from flask.cli import AppGroup

from solrouter.commands.basics import OPERATOR, USD, Dollars, say, told, user_row
from solrouter.money import display_usd
from solrouter.services import key_orders, key_rules, key_switches, keys, rotations
from solrouter.services.key_rules import RATES_MAX, Rules
from solrouter.services.keys import Key

api_keys = AppGroup("keys", help="API keys.")
NONE = -1
RESETS = click.Choice(keys.RESETS)
SCOPES = click.Choice(key_rules.SCOPES)


class DollarsOrNone(Dollars):
    """An amount in USD, or `none` for no limit."""

    name = "USD|none"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        return NONE if str(value).lower() == "none" else super().convert(value, param, ctx)


class Rate(click.ParamType[int]):
    """A whole number, or `none` for no rate of its own."""

    name = "N|none"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        text = str(value).lower()
        if text == "none" or value == NONE:
            return NONE
        if not text.isascii() or not text.isdecimal():
            self.fail(f"{value!r} is neither a number nor none", param, ctx)
        return int(text)


class Moment(click.ParamType[str]):
    """A time, in UTC unless it says otherwise, or `none`."""

    name = "TIME|none"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if str(value).lower() == "none" or isinstance(value, datetime):
            return value
        try:
            at = datetime.fromisoformat(value)
            return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time, such as 2027-01-31T00:00", param, ctx)


def with_rules(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the options of a key's rules."""
    options = [
        click.option("--scope", "scopes", type=SCOPES, multiple=True, help="What it may do."),
        click.option("--model", "models", multiple=True, help="An id, author/*, free, or none."),
        click.option("--network", "networks", multiple=True, help="An address, a range, or none."),
        click.option("--expires", type=Moment(), help="When its time is over, in UTC; or none."),
        *(click.option(f"--{name.replace('_', '-')}", type=Rate()) for name in RATES_MAX),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@api_keys.command("create")
@click.argument("email")
@click.option("--name", required=True, help="What the key is for.")
@click.option("--limit", type=USD, help="What the key may spend.")
@click.option("--resets", type=RESETS, default="never", help="How often that begins anew, in UTC.")
@with_rules
@told
def create_key(email: str, name: str, limit: int | None, resets: str, **given: Any) -> None:
    """Makes an API key and prints it alone on standard output. It is never shown again."""
    row = user_row(email)
    new, _ = key_orders.create(
        row.account_id,
        user_id=row.user_id,
        name=name,
        limit_nanos=limit,
        resets=resets,
        rules=Rules(**_rules(given)),
        actor=OPERATOR,
    )
    click.echo(new.text)


@api_keys.command("list")
@click.argument("email")
@told
def list_keys(email: str) -> None:
    """Lists the user's API keys by their ids, with what is spent of their limits."""
    account_id = user_row(email).account_id
    for key in keys.list_of(account_id):
        click.echo("\t".join((key.public_id, key.hint, key.status, key.name, _limit_words(key))))


@api_keys.command("show")
@click.argument("email")
@click.argument("key_id", metavar="KEY")
@told
def show_key(email: str, key_id: str) -> None:
    """Says what a key may do, when and whence it was last used, and which secrets work."""
    key = keys.find(user_row(email).account_id, key_id)
    facts = {
        "name": key.name,
        "status": key.status,
        "limit": _limit_words(key),
        **{name: _words(getattr(key.rules, name)) for name in Rules.__dataclass_fields__},
        "last used": _words(key.last_used_at),
        "from": _words(key.last_used_address),
        "secret": key.hint,
    }
    for name, words in facts.items():
        click.echo(f"{name}\t{words}")
    for former in rotations.formers_of(key):
        click.echo(f"old secret\t{former.hint} until {former.ends_at.isoformat()}")


@api_keys.command("limit")
@click.argument("email")
@click.argument("key_id", metavar="KEY")
@click.argument("amount", type=DollarsOrNone())
@click.option("--resets", type=RESETS, help="How often it begins anew, in UTC. Default: as before.")
@told
def limit_key(email: str, key_id: str, amount: int, resets: str | None) -> None:
    """Changes what a key may spend, from the next request on; AMOUNT may be `none`."""
    wishes: keys.Wishes = {"limit_nanos": None if amount == NONE else amount}
    if resets is not None:
        wishes["resets"] = resets
    key = keys.change(user_row(email).account_id, key_id, actor=OPERATOR, **wishes)
    say(f"The key “{key.name}”: {_limit_words(key)}.")


@api_keys.command("change")
@click.argument("email")
@click.argument("key_id", metavar="KEY")
@click.option("--name", help="What the key is for.")
@with_rules
@told
def change_key(email: str, key_id: str, name: str | None, **given: Any) -> None:
    """Changes what is given of a key's rules, from the next request on; `none` takes one away."""
    wishes: keys.Wishes = {"rules": _rules(given)}
    if name:
        wishes["name"] = name
    key = key_orders.change(user_row(email).account_id, key_id, actor=OPERATOR, **wishes)
    say(f"The key “{key.name}” is changed.")


@api_keys.command("rotate")
@click.argument("email")
@click.argument("key_id", metavar="KEY")
@click.option("--overlap-s", type=int, default=rotations.OVERLAP_S, show_default=True)
@told
def rotate_key(email: str, key_id: str, overlap_s: int) -> None:
    """Gives a key a new secret and prints it alone; the old one works for so many seconds more."""
    new = rotations.rotate(user_row(email).account_id, key_id, actor=OPERATOR, overlap_s=overlap_s)
    click.echo(new.text)


@api_keys.command("disable")
@click.argument("email")
@click.argument("key_id", metavar="KEY")
@told
def disable_key(email: str, key_id: str) -> None:
    """Refuses a key from the next request on, until it is enabled."""
    key_switches.set_disabled(user_row(email).account_id, key_id, True, actor=OPERATOR)
    say(f"The key {key_id} is disabled.")


@api_keys.command("enable")
@click.argument("email")
@click.argument("key_id", metavar="KEY")
@told
def enable_key(email: str, key_id: str) -> None:
    """Accepts a disabled key again."""
    key_switches.set_disabled(user_row(email).account_id, key_id, False, actor=OPERATOR)
    say(f"The key {key_id} is enabled.")


@api_keys.command("revoke")
@click.argument("email")
@click.argument("key_id", metavar="KEY")
@told
def revoke_key(email: str, key_id: str) -> None:
    """Ends a key for ever, from the next request on."""
    keys.revoke(user_row(email).account_id, key_id, actor=OPERATOR)
    say(f"The key {key_id} is revoked.")


@api_keys.command("freeze")
@click.argument("email")
@told
def freeze_keys(email: str) -> None:
    """Refuses every key of the user's account, until they are unfrozen."""
    key_switches.freeze(user_row(email).account_id, actor=OPERATOR)
    say(f"The keys of {email} are frozen.")


@api_keys.command("unfreeze")
@click.argument("email")
@told
def unfreeze_keys(email: str) -> None:
    """Accepts the account's keys again, but for those that are stopped by themselves."""
    key_switches.unfreeze(user_row(email).account_id, actor=OPERATOR)
    say(f"The keys of {email} work again.")


def _rules(given: dict[str, Any]) -> dict[str, Any]:
    """The rules that are given; `none` is no rule."""
    wanted: dict[str, Any] = {}
    if given["scopes"]:
        wanted["scopes"] = given["scopes"]
    for name, texts in (("models", given["models"]), ("networks", given["networks"])):
        if texts:
            wanted[f"{name}_allowed"] = None if texts == ("none",) else texts
    if given["expires"] is not None:
        wanted["expires_at"] = None if given["expires"] == "none" else given["expires"]
    for name in RATES_MAX:
        if given[name] is not None:
            wanted[name] = None if given[name] == NONE else given[name]
    return wanted


def _limit_words(key: Key) -> str:
    """`$1.20 of $5.00, daily`, or `no limit`."""
    if key.limit_nanos is None:
        return "no limit"
    spent = f"{display_usd(key.spent_nanos)} of {display_usd(key.limit_nanos)}"
    return spent if key.resets_at is None else f"{spent}, {key.resets}"


def _words(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, datetime):
        return value.isoformat()
    return ", ".join(value) if isinstance(value, tuple) else str(value)
