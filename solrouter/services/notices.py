"""Mails that tell a person what was done with their sign-in or their place in an account, since who
did it may not be who they think. Only to an address that is proven to be theirs.
"""

from sqlalchemy import Connection

from solrouter import models
from solrouter.services import outbox, people


def put(connection: Connection, kind: str, user_id: int, **facts: str) -> None:
    """Orders the notice in the transaction of the act; `outbox.ring` after its commit."""
    user = people.find(connection, models.User.id == user_id)
    if user is not None and user.is_verified:
        outbox.put(connection, kind, user.email, user_id=user_id, facts=facts)
