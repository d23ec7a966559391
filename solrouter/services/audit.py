"""The audit trail: who did what to money, keys and access, and from where. Builds the row; others
run it, in the transaction of the act itself. `trail` reads it.

Where an act comes from is told once for each request (`act_from`), not by every verb on the way.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple

from sqlalchemy import Insert, ScalarSelect, insert

from solrouter import redaction
from solrouter.clock import new_id
from solrouter.models import AuditEvent, columns
from solrouter.models.columns import db_now


class Origin(NamedTuple):
    """The caller's address and the id of the request; empty for commands and periodic work."""

    network: str
    request_id: str


# Whoever runs a command on the server.
COMMAND = "operator:cli"
# The name of a model may be longer.
SUBJECT_CHARACTERS_MAX = columns.characters_max(AuditEvent.subject)
NOWHERE = Origin("", "")
_origin: ContextVar[Origin] = ContextVar("solrouter.audit.origin", default=NOWHERE)


def act_from(network: str, request_id: str) -> None:
    """From now on this thread or greenlet acts for that request; two empty texts for none."""
    _origin.set(Origin(network, request_id))


def event(
    *,
    actor: str,
    action: str,
    subject: str,
    account_id: int | ScalarSelect[int] | None = None,
    details: Mapping[str, Any] | None = None,
) -> Insert:
    """The statement that appends one event; for the transaction of the act itself.

    What looks like a credential is blanked: people give keys such names.
    """
    origin = _origin.get()
    return insert(AuditEvent).values(
        id=new_id(),
        account_id=account_id,
        actor=actor,
        action=action,
        subject=subject[:SUBJECT_CHARACTERS_MAX],
        details=redaction.cleaned(details or {}),
        network=origin.network,
        request_id=origin.request_id,
        created_at=db_now(),
    )
