"""The shelf on which answers leave what the next turn needs: thought signatures, by tool call.

The next turn of a conversation may reach another process, and most clients bring back nothing but
the ids of the calls. Values are encrypted under the root secret, belong to one account and are gone
after an hour. Nothing depends on them: without one a dialect does as well as it can, so a database
that does not answer is no reason to fail.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from solrouter import database, secrets
from solrouter.database import Database
from solrouter.errors import DatabaseUnavailable
from solrouter.models import Keepsake
from solrouter.models.columns import db_now
from solrouter.secrets import Secrets, Undecipherable

log = logging.getLogger(__name__)

KEPT_S = 60 * 60


@dataclass(frozen=True, slots=True)
class AccountShelf:
    """One account's shelf: see `providers.base.Shelf`. Works in any thread, without a context.

    `aside` keeps a request from being called away in the middle of a transaction.
    """

    account_id: int
    aside: Callable[[], AbstractContextManager[None]]
    database: Database
    secrets: Secrets

    @property
    def owner(self) -> str:
        """Whose shelf it is."""
        return str(self.account_id)

    def put(self, digest: bytes, value: bytes) -> None:
        """Keeps a value for an hour, in place of an older one of this name."""
        sealed = self.secrets.encrypt(value.decode())

        def write(connection: Connection) -> None:
            insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
            names = {"account_id": self.account_id, "digest": digest}
            values = {"value": sealed, "expires_at": db_now(KEPT_S)}
            connection.execute(
                insert(Keepsake)
                .values(**names, **values)
                .on_conflict_do_update(
                    index_elements=[Keepsake.account_id, Keepsake.digest], set_=values
                )
            )

        try:
            with self.aside():
                self.database.transact(write, durable=False)
        except DatabaseUnavailable:
            log.info("a keepsake of account %d could not be put away", self.account_id)

    def find(self, digests: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """The values that are there, by name."""
        query = select(Keepsake.digest, Keepsake.value).where(
            Keepsake.account_id == self.account_id,
            Keepsake.digest.in_(digests),
            Keepsake.expires_at > db_now(),
        )
        try:
            with self.aside(), self.database.read() as connection:
                rows = connection.execute(query).all()
        except DatabaseUnavailable:
            log.info("keepsakes of account %d could not be looked for", self.account_id)
            return {}
        return {bytes(row.digest): value for row in rows if (value := self._open(row.value))}

    def _open(self, sealed: bytes) -> bytes | None:
        try:
            return self.secrets.decrypt(bytes(sealed)).encode()
        except Undecipherable:
            # Written under a root secret that has been retired since.
            return None


def shelf_of(account_id: int, aside: Callable[[], AbstractContextManager[None]]) -> AccountShelf:
    """The account's shelf in the current app's database."""
    return AccountShelf(account_id, aside, database.current(), secrets.current())


def forget_expired() -> int:
    """Deletes what is older than an hour; says how many."""
    statement = delete(Keepsake).where(Keepsake.expires_at < db_now())
    return database.transact(
        lambda connection: connection.execute(statement).rowcount, durable=False
    )
