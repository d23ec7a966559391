"""What `flask doctor` looks at: whether this server can do its work, and what to do where not.

Each look is a function that yields findings, in a file of its own by what it looks at. A look that
fails is a finding itself, so that the others are made all the same. No finding holds a secret: what
they say goes through the same net as the log.
"""

import logging
from collections.abc import Callable, Iterator

from solrouter import redaction
from solrouter.database.faults import is_damaged, is_forbidden
from solrouter.services import schema
from solrouter.services.doctor import outside, settings, tables, upkeep
from solrouter.services.doctor.findings import BROKEN, Finding, broken

log = logging.getLogger(__name__)

Look = Callable[[], Iterator[Finding]]
# In this order, each of them only where all before it is not broken.
FIRST: tuple[tuple[str, Look], ...] = (
    ("settings", settings.look),
    ("settings", settings.look_at_names),
    ("proxies", settings.look_at_proxies),
    ("database", tables.look),
    ("migrations", tables.look_at_migrations),
)
THEN: tuple[tuple[str, Look], ...] = (
    ("settings", settings.look_at_what_they_name),
    ("settings", settings.look_at_plan),
    ("secrets", tables.look_at_secrets),
    ("clock", upkeep.look_at_clock),
    ("months", upkeep.look_at_months),
    ("time", upkeep.look_at_time),
    ("operators", upkeep.look_at_operators),
    ("providers", outside.look_at_providers),
    ("mail", outside.look_at_mail),
    ("payments", outside.look_at_payments),
)


def examine() -> Iterator[Finding]:
    """All findings, one after another: the good ones, too."""
    for area, look in FIRST:
        findings = list(_made(area, look))
        yield from findings
        if any(finding.level == BROKEN for finding in findings):
            return
    for area, look in THEN:
        yield from _made(area, look)


def _made(area: str, look: Look) -> Iterator[Finding]:
    try:
        for finding in look():
            yield finding.of(area, redaction.redacted)
    except Exception as error:
        # Whatever it is, the operator wants to hear of the other areas too.
        log.debug("a look of the doctor failed", exc_info=True)
        said = f"could not be looked at ({type(error).__name__}: {error})"
        yield broken(said.splitlines()[0], _advice(error)).of(area, redaction.redacted)


def _advice(error: Exception) -> str:
    if is_damaged(error):
        return schema.DAMAGED
    if is_forbidden(error):
        return "Give the role of DATABASE_URL rights on the tables, or make it their owner."
    return "Put right what it names; if that is nothing of yours, report it with this line."
