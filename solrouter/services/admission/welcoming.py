"""The welcome credit: once for each inbox, each account elsewhere and each user, whatever is
deleted or renamed meanwhile. Runs in the caller's transaction.

What has been welcomed is kept as digests. If any of a person's is among them they get nothing, and
the others of theirs count as welcomed from then on, so that nobody is welcomed twice by linking and
unlinking.
"""

import hashlib

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from solrouter import models
from solrouter.models import WelcomeClaim
from solrouter.models.columns import db_now
from solrouter.services import people


def claim(connection: Connection, user_id: int) -> bool:
    """Whether the user may be welcomed now; they never may again.

    Nobody may whose address is not verified, and then nothing is used up.
    """
    user = people.find(connection, models.User.id == user_id)
    if user is None or not user.is_verified:
        return False
    digests = _digests(connection, user)
    return sum([_is_new(connection, digest) for digest in digests]) == len(digests)


def _digests(connection: Connection, user: people.User) -> list[bytes]:
    identities = select(models.Identity.provider, models.Identity.subject)
    found = connection.execute(identities.where(models.Identity.user_id == user.id))
    digests = [_digest(provider, subject) for provider, subject in found]
    digests += [_digest("email", people.one_inbox(user.email)), _digest("user", user.public_id)]
    # In one order, so that two who share some of them wait for each other and never in a ring.
    return sorted(digests)


def _digest(kind: str, name: str) -> bytes:
    return hashlib.sha256(f"welcome:{kind}:{name}".encode()).digest()


def _is_new(connection: Connection, digest: bytes) -> bool:
    upsert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = upsert(WelcomeClaim).values(digest=digest, created_at=db_now())
    inserted = statement.on_conflict_do_nothing().returning(WelcomeClaim.digest)
    return connection.execute(inserted).first() is not None
