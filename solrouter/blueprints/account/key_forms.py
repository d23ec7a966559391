"""The form of a key: what its fields hold, and what they mean. Knows words, and no row.

Lists are one entry a line; times are UTC. A form without the fields of the rules (`with_rules`)
leaves them as they are.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from werkzeug.datastructures import MultiDict

from solrouter.blueprints import typed
from solrouter.errors import Refused
from solrouter.money import NotMoney, decimal_usd, parse_usd
from solrouter.services import key_rules
from solrouter.services.key_rules import RATES_MAX, Rules
from solrouter.services.keys import Key

NEVER = "never"
# How often a limit may begin anew, for people.
RESETS = (
    (NEVER, "Never"),
    ("daily", "Every day"),
    ("weekly", "Every Monday"),
    ("monthly", "Every month"),
)
SCOPES = (
    (key_rules.INFERENCE, "Make requests", "Completions, estimates and their receipts."),
    (key_rules.READ, "Read receipts", "Without spending anything."),
    (key_rules.MANAGE, "Manage keys", "Make, change and revoke other keys by program."),
)
OVERLAPS = (
    ("86400", "For a day"),
    ("3600", "For an hour"),
    ("604800", "For a week"),
    ("2592000", "For 30 days"),
    ("0", "No longer: it ends at once"),
)
# As `datetime-local` has it.
MINUTES, SECONDS = "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"

Form = MultiDict[str, str]


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a form means, and what is wrong with it by field; the terms are whole without errors."""

    terms: dict[str, Any]
    errors: dict[str | None, str]


def blank() -> Form:
    """The form of a key that is to be made."""
    return _filled(Rules(), {"resets": NEVER})


def of(key: Key) -> Form:
    """The form that holds what is set of a key, and of which version of it."""
    limit = "" if key.limit_nanos is None else decimal_usd(key.limit_nanos)
    said = {"name": key.name, "limit": limit, "resets": key.resets, "version": key.version}
    return _filled(key.rules, said)


def is_narrowed(form: Form, errors: Mapping[str | None, str]) -> bool:
    """Whether the form says more than name and limit, and so must show it."""
    hidden = ("models_allowed", "networks_allowed", "expires_at", *RATES_MAX)
    scopes = form.getlist("scopes")
    return (
        any(form.get(name) for name in hidden)
        or any(name in errors for name in ("scopes", *hidden))
        or scopes != [key_rules.INFERENCE]
    )


def parse(form: Form) -> Parsed:
    """What the form means; of the rules, which it says, or none."""
    errors: dict[str | None, str] = {}

    def read(name: str, meaning: Callable[[str], Any]) -> Any:
        text = form.get(name, "").strip()
        try:
            return meaning(text) if text else None
        except Refused as refused:
            errors[name] = refused.message
            return None

    rules: dict[str, Any] = {}
    if "with_rules" in form:
        rules = {
            "scopes": tuple(form.getlist("scopes")),
            "models_allowed": read("models_allowed", _lines),
            "networks_allowed": read("networks_allowed", _lines),
            "expires_at": read("expires_at", _moment),
            **{name: read(name, _whole) for name in RATES_MAX},
        }
    terms = {
        "name": form.get("name", ""),
        "limit_nanos": read("limit", usd_of),
        "resets": form.get("resets", NEVER),
        "rules": rules,
    }
    return Parsed(terms, errors)


def _filled(rules: Rules, more: dict[str, str]) -> Form:
    form: Form = MultiDict(more)
    form.setlist("scopes", list(rules.scopes))
    form["models_allowed"] = "\n".join(rules.models_allowed or ())
    form["networks_allowed"] = "\n".join(rules.networks_allowed or ())
    form["expires_at"] = "" if rules.expires_at is None else _local(rules.expires_at)
    for name in RATES_MAX:
        units = getattr(rules, name)
        form[name] = "" if units is None else str(units)
    return form


def _local(at: datetime) -> str:
    return at.astimezone(UTC).strftime(SECONDS if at.second else MINUTES)


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.replace(",", "\n").splitlines() if line.strip())


def _moment(text: str) -> datetime:
    return typed.moment(text, param="expires_at")


def _whole(text: str) -> int:
    sentence = "Write a whole number, or leave it empty for no limit."
    return typed.whole(text, param="", sentence=sentence)


def usd_of(text: str) -> int:
    """Nanodollars of an amount that a person typed. Raises Refused."""
    try:
        return parse_usd(text)
    except NotMoney:
        raise Refused("Write an amount in US dollars, such as 25 or 2.50.") from None
