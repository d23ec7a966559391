"""The audit trail: who did what to money, keys and access. Builds the row; others run it."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Insert, insert

from solrouter import redaction
from solrouter.clock import new_id
from solrouter.models import AuditEvent
from solrouter.models.columns import db_now


def event(
    *,
    actor: str,
    action: str,
    subject: str,
    account_id: int | None = None,
    details: Mapping[str, Any] | None = None,
) -> Insert:
    """The statement that appends one event; for the transaction of the act itself.

    What looks like a credential is blanked: people give keys such names.
    """
    return insert(AuditEvent).values(
        id=new_id(),
        account_id=account_id,
        actor=actor,
        action=action,
        subject=subject,
        details=redaction.cleaned(details or {}),
        created_at=db_now(),
    )
