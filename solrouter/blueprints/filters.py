"""How values look to people: money, counts, times; and what every template may know."""

import math
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from flask import Flask, current_app, g, has_request_context, request
from markupsafe import Markup, escape

from solrouter import clock, money
from solrouter.blueprints import oauth
from solrouter.services import outbox

SITE_NAME = "SolRouter"
THEME_COOKIE = "theme"
THEMES = ("light", "dark")
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400
DAYS_SHOWN_AS_AGO = 30
NOTHING = "–"
WHOLE = 100.0


def init_app(app: Flask) -> None:
    """Gives the filters and the common values to every template."""
    app.jinja_env.filters.update(FILTERS)
    app.jinja_env.globals.update(takes_focus=takes_focus)
    app.context_processor(common)


def common() -> dict[str, Any]:
    """What every template may know of the server; `current_user` comes from Flask-Login."""
    config = current_app.config
    return {
        "site_name": SITE_NAME,
        "sign_in_providers": oauth.enabled(),
        "signup": config["SOLROUTER_SIGNUP"],
        "mail_is_on": outbox.is_on(),
        "contact_email": config["SOLROUTER_CONTACT_EMAIL"],
        "theme": theme(),
    }


def theme() -> str:
    """`light` or `dark` as the reader has chosen; empty for what their system says."""
    if not has_request_context():
        return ""
    chosen = request.cookies.get(THEME_COOKIE, "")
    return chosen if chosen in THEMES else ""


def takes_focus() -> bool:
    """Whether a field with an error is the first one in the answer to a form that was sent."""
    if not has_request_context() or request.method != "POST" or "first_error" in g:
        return False
    g.first_error = True
    return True


def usd(nanos: int | None) -> str:
    """Money for people: `$5.00`."""
    return NOTHING if nanos is None else money.display_usd(nanos)


def usd_exact(nanos: int | None) -> str:
    """Money to the last nanodollar: `$0.00004705`."""
    if nanos is None:
        return NOTHING
    sign = "-" if nanos < 0 else ""
    return f"{sign}${money.decimal_usd(abs(nanos))}"


def per_million(nanos: int | None) -> str:
    """A price for a million tokens: `$0.15`."""
    return NOTHING if nanos is None else money.display_per_million(nanos)


def count(number: int | None) -> str:
    """A number with its thousands apart: `12,345`."""
    return NOTHING if number is None else f"{number:,}"


def tokens(number: int | None) -> str:
    """A number of tokens in short: `128K`, `1.05M`."""
    if number is None:
        return NOTHING
    for unit, size in (("M", 1_000_000), ("K", 1_000)):
        if number >= size:
            return f"{number / size:.2f}".rstrip("0").rstrip(".") + unit
    return str(number)


def iso(moment: datetime | None) -> str:
    """The machine's form, for `<time datetime=…>`."""
    return "" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def date_and_time(moment: datetime | None) -> str:
    """A time for people: `22 Nov 2026, 19:41 UTC`."""
    if moment is None:
        return "never"
    moment = moment.astimezone(UTC)
    return f"{moment.day} {moment:%b %Y, %H:%M} UTC"


def ago(moment: datetime | None, now: datetime | None = None) -> str:
    """How long it is since then: `5 minutes ago`; after a month, the date."""
    if moment is None:
        return "never"
    elapsed_s = int(((now or clock.utcnow()) - moment).total_seconds())
    if elapsed_s < MINUTE_S:
        return "just now"
    if elapsed_s >= DAYS_SHOWN_AS_AGO * DAY_S:
        return date_and_time(moment).partition(",")[0]
    units = (("day", DAY_S), ("hour", HOUR_S), ("minute", MINUTE_S))
    name, size_s = next(unit for unit in units if elapsed_s >= unit[1])
    number = elapsed_s // size_s
    return f"{number} {name}{'' if number == 1 else 's'} ago"


def rfc822(moment: datetime) -> str:
    """A time as feeds write it: `Sun, 22 Nov 2026 19:41:00 GMT`."""
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def percent(share: float | None) -> str:
    """A share in percent: `99.98 %`; never `100 %` of what was not whole."""
    if share is None:
        return NOTHING
    if share >= WHOLE:
        return "100 %"
    return f"{math.floor(share * 100) / 100:.2f} %"


def with_code(text: str) -> Markup:
    """A sentence whose words between backticks are code."""
    pieces = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if index % 2 else escape(piece)
        for index, piece in enumerate(pieces)
    )


FILTERS = {
    "usd": usd,
    "usd_exact": usd_exact,
    "per_million": per_million,
    "count": count,
    "tokens": tokens,
    "iso": iso,
    "datetime": date_and_time,
    "ago": ago,
    "rfc822": rfc822,
    "percent": percent,
    "with_code": with_code,
}
