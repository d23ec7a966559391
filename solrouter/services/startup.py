"""What a server proves before it serves: the tables are those that it knows, and the root secret is
the right one.

A wrong secret must be an error on the console, never a 401 for every customer. A database that does
not answer yet is waited for: the other workers may be serving well.
"""

import logging
import time

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError, ProgrammingError

from solrouter import database, process, secrets
from solrouter.clock import monotonic_s, utcnow
from solrouter.config import UnsafeConfiguration
from solrouter.errors import DatabaseUnavailable
from solrouter.models import SecretFingerprint
from solrouter.services import admission, announcements, catalogue, first_operator, schema

log = logging.getLogger(__name__)

WAIT_S_MAX = 40.0


def begin() -> None:
    """Checks the database and the secret, and takes this process's lease.

    Raises UnsafeConfiguration, and DatabaseUnavailable after WAIT_S_MAX of waiting.
    """
    until_s = monotonic_s() + WAIT_S_MAX
    while True:
        try:
            return _prove()
        except (OperationalError, ProgrammingError) as error:
            raise UnsafeConfiguration(schema.explained(error)) from error
        except DatabaseUnavailable as error:
            if database.current().is_sqlite:
                raise UnsafeConfiguration(schema.explained(error)) from error
            if monotonic_s() > until_s:
                raise
            log.warning("waiting for the database")
            time.sleep(1)


def _prove() -> None:
    _require_fit(schema.standing())
    newest, *former = (root.fingerprint for root in secrets.current().roots)
    database.transact(lambda connection: _recognise(connection, newest, former))
    admission.beat(process.worker_id())
    # Read now, so that the first caller does not wait for it.
    catalogue.current()
    announcements.look()
    first_operator.welcome()


def _require_fit(standing: schema.Standing) -> None:
    if not standing.fit.allows_serving:
        raise UnsafeConfiguration(standing.advice)
    if standing.advice:
        log.warning("%s", standing.advice)


def _recognise(connection: Connection, newest: str, former: list[str]) -> None:
    known = set(connection.execute(select(SecretFingerprint.fingerprint)).scalars())
    if newest in known:
        return
    if known and not known.intersection(former):
        raise UnsafeConfiguration(
            "SECRET_KEY is not the one that this database was used with, so no API key would be "
            "recognised. Set the former secret again, or list it in SECRET_KEY_FALLBACKS."
        )
    upsert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = upsert(SecretFingerprint).values(fingerprint=newest, created_at=utcnow())
    connection.execute(statement.on_conflict_do_nothing())
