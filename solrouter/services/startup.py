"""What a server proves before it serves: the tables are there, and the root secret is the right
one.

A wrong secret must be an error on the console, never a 401 for every customer.
"""

from sqlalchemy import Connection, insert, select

from solrouter import database, process, secrets
from solrouter.clock import utcnow
from solrouter.config import UnsafeConfiguration
from solrouter.errors import DatabaseUnavailable
from solrouter.models import SecretFingerprint
from solrouter.services import admission


def begin() -> None:
    """Checks the database and the secret, and takes this process's lease. Raises
    UnsafeConfiguration.
    """
    newest, *former = (root.fingerprint for root in secrets.current().roots)
    try:
        database.transact(lambda connection: _recognise(connection, newest, former))
        admission.beat(process.worker_id())
        admission.expire()
    except DatabaseUnavailable as error:
        raise UnsafeConfiguration(
            "The database does not answer, or has no tables yet. Check DATABASE_URL, then run: "
            f"flask db upgrade ({type(error.__cause__).__name__})"
        ) from error


def _recognise(connection: Connection, newest: str, former: list[str]) -> None:
    known = set(connection.execute(select(SecretFingerprint.fingerprint)).scalars())
    if newest in known:
        return
    if known and not known.intersection(former):
        raise UnsafeConfiguration(
            "SECRET_KEY is not the one that this database was used with, so no API key would be "
            "recognised. Set the former secret again, or list it in SECRET_KEY_FALLBACKS."
        )
    connection.execute(insert(SecretFingerprint).values(fingerprint=newest, created_at=utcnow()))
