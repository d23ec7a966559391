"""The database, its tables, and whether our secrets are those that it was used with."""

import shutil
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, select, text

from solrouter import config, database, secrets
from solrouter.clock import monotonic_s
from solrouter.database import copies, faults
from solrouter.errors import DatabaseUnavailable
from solrouter.models import Provider, SecretFingerprint
from solrouter.secrets import Undecipherable
from solrouter.services import schema
from solrouter.services.doctor.findings import Finding, broken, fine, warning
from solrouter.services.schema import Fit

SLOW_MS = 50.0
# Asked so often, since a single answer may have met somebody else's work.
ANSWERS = 3
FREE_BYTES_MIN = 1 << 30
# What each worker opens beside its pool (docs/deploy.md).
CONNECTIONS_BESIDE = 5


def look() -> Iterator[Finding]:
    """Whether it answers, how fast, and whether it keeps what it is told."""
    if database.current().has_no_file:
        yield broken(
            f"there is no file at {copies.file_of(database.current().url)}",
            "Run flask db upgrade, which makes it; or flask restore, to bring back a backup.",
        )
        return
    try:
        with database.read() as connection:
            connection.execute(text("SELECT 1")).scalar()
            if database.current().is_sqlite:
                yield from _look_at_file(connection)
            else:
                yield from _look_at_server(connection)
    except DatabaseUnavailable as error:
        if faults.is_damaged(error):
            yield broken(f"the file is damaged ({faults.reason(error)})", schema.DAMAGED)
            return
        yield broken(
            f"it does not answer ({faults.reason(error)})",
            "Check DATABASE_URL, and that the database runs and lets this machine in.",
        )


def look_at_migrations() -> Iterator[Finding]:
    """Whether the tables are those of this version."""
    standing = schema.standing()
    if not standing.found:
        yield broken("there are no tables", standing.advice)
    elif standing.fit is Fit.CURRENT:
        yield fine(f"the tables are those of this version ({standing.found})")
    elif standing.fit is Fit.EXPANDED:
        yield warning(f"migration {standing.found} is newer than this version", standing.advice)
    else:
        yield broken(f"migration {standing.found} does not fit", standing.advice)


def look_at_secrets() -> Iterator[Finding]:
    """Whether keys are recognised and stored keys of providers can be read."""
    roots = secrets.current().roots
    with database.read() as connection:
        known = set(connection.execute(select(SecretFingerprint.fingerprint)).scalars())
        sealed = connection.execute(
            select(Provider.slug, Provider.key_encrypted).where(Provider.key_encrypted.is_not(None))
        ).all()
    if known and not known & {root.fingerprint for root in roots}:
        yield broken(
            "SECRET_KEY is not the one that this database was used with",
            "Set the former secret again, or list it in SECRET_KEY_FALLBACKS.",
        )
    else:
        yield fine("SECRET_KEY is the database's own" if known else "SECRET_KEY is set")
    lost = [slug for slug, ciphertext in sealed if not _is_readable(ciphertext)]
    if lost:
        yield broken(
            f"the stored keys of {', '.join(lost)} cannot be read",
            "Add their secret to SECRET_KEY_FALLBACKS, or give these providers their keys again.",
        )
    if len(roots) > 1:
        yield warning(
            f"{len(roots) - 1} former secrets are still accepted",
            "Run flask secrets rotate, which says whether anything needs them.",
        )


def _look_at_file(connection: Connection) -> Iterator[Finding]:
    found = connection.execute(text("PRAGMA quick_check(1)")).scalar()
    if found != "ok":
        yield broken(f"the file is damaged ({str(found).splitlines()[-1]})", schema.DAMAGED)
        return
    version = connection.execute(text("SELECT sqlite_version()")).scalar()
    yield fine(f"SQLite {version} answers")
    path = copies.file_of(database.current().url).resolve()
    free_bytes = shutil.disk_usage(path.parent).free
    if free_bytes < FREE_BYTES_MIN:
        yield warning(
            f"the disk of {path.parent} has {free_bytes >> 20} MiB left", "Make room, or move it."
        )
    platform = config.current()["PLATFORM"]
    if platform:
        yield warning(
            f"the database is a file at {path}, and {platform} forgets files with each deploy",
            "See that a volume is mounted there, or set DATABASE_URL to PostgreSQL.",
        )
    mode = connection.execute(text("PRAGMA journal_mode")).scalar()
    if mode != "wal":
        yield warning(f"the journal is {mode}, so readers stop writers", "Run: flask db upgrade")


def _look_at_server(connection: Connection) -> Iterator[Finding]:
    # The way there and back; to connect takes longer, and requests find connections open.
    took_ms = min(_answer_ms(connection) for _ in range(ANSWERS))
    known = {name: _shown(connection, name) for name in ("server_version", "max_connections")}
    yield fine(f"PostgreSQL {known['server_version']} answers in {took_ms:.0f} ms")
    if took_ms > SLOW_MS:
        yield warning(
            f"it takes {took_ms:.0f} ms to answer, and each request asks it three times",
            "Run server and database in the same region.",
        )
    problem = schema.encoding_problem(connection)
    if problem is not None:
        yield broken(f"in {problem}", schema.IN_UTF8)
    if _shown(connection, "fsync") != "on":
        yield broken(
            "fsync is off: a crash of its machine can lose and garble the ledger",
            "Set fsync = on in postgresql.conf.",
        )
    settings = config.current()
    each = settings["SOLROUTER_DB_POOL_SIZE"] + CONNECTIONS_BESIDE
    here = each * max(int(settings["WEB_CONCURRENCY"]), 1)
    if here > int(known["max_connections"]):
        yield broken(
            f"this machine's workers open {here} connections, and it allows "
            f"{known['max_connections']}",
            "Lower SOLROUTER_DB_POOL_SIZE or WEB_CONCURRENCY, or raise max_connections.",
        )


def _answer_ms(connection: Connection) -> float:
    began_s = monotonic_s()
    connection.execute(text("SELECT 1")).scalar()
    return (monotonic_s() - began_s) * 1_000


def _shown(connection: Connection, name: str) -> str:
    return str(connection.execute(text(f"SHOW {name}")).scalar())


def _is_readable(ciphertext: Any) -> bool:
    try:
        secrets.current().decrypt(ciphertext)
    except Undecipherable:
        return False
    return True
