"""The periodic work and who does it, the clocks, and whether anybody can run the place."""

from collections.abc import Iterator
from datetime import UTC, datetime

from sqlalchemy import func, select

from solrouter import clock, config, database
from solrouter.models import Lease, SecondFactor, User, Worker
from solrouter.models.columns import db_now
from solrouter.services import partitions
from solrouter.services.doctor.findings import Finding, broken, fine, warning

# Codes of authenticators and webhooks' stamps allow minutes; limits ask the database's clock.
SKEW_WARNING_S, SKEW_BROKEN_S = 2.0, 60.0


def look_at_clock() -> Iterator[Finding]:
    """Whether a server lives, and one of them does the periodic work."""
    lease_s = config.current()["SOLROUTER_LEASE_S"]
    with database.read() as connection:
        alive = connection.execute(
            select(func.count()).where(Worker.seen_at > db_now(-lease_s))
        ).scalar_one()
        leader = connection.execute(
            select(Lease.worker_id).where(Lease.expires_at > db_now())
        ).scalar()
    if not alive:
        yield warning("no server process has reported lately", "Start the web process.")
    elif leader is None:
        yield warning(
            f"{alive} server processes run, and none does the periodic work yet",
            f"Look again in {lease_s} s; if it stays so, read the server's log.",
        )
    else:
        yield fine(f"{alive} server processes run; {leader} does the periodic work")


def look_at_months() -> Iterator[Finding]:
    """Whether the tables that grow have months ready for what is to come."""
    found = partitions.overview()
    problem = partitions.problem()
    if not found:
        yield fine("the tables are not cut into months: this is SQLite")
    elif problem is not None:
        yield warning(problem, "Run: flask partitions make")
    else:
        yield fine(f"the tables that grow have {len(found)} parts, with months ready ahead")


def look_at_time() -> Iterator[Finding]:
    """How far this machine's clock is from the database's."""
    before = clock.utcnow()
    with database.read() as connection:
        theirs: datetime = connection.execute(select(db_now())).scalar_one()
    after = clock.utcnow()
    theirs = theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC)
    # Somewhere between the question and the answer it was the same moment.
    skew_s = max((before - theirs).total_seconds(), (theirs - after).total_seconds(), 0.0)
    if skew_s > SKEW_WARNING_S:
        find = broken if skew_s > SKEW_BROKEN_S else warning
        yield find(
            f"this machine's clock is {skew_s:.0f} s away from the database's",
            "Set both by NTP: sign-in codes, webhooks and links depend on it.",
        )
    else:
        yield fine("this machine's clock and the database's agree")


def look_at_operators() -> Iterator[Finding]:
    """Whether there is an operator, and whether each has a second factor."""
    is_one = User.is_operator.is_(True), User.deleted_at.is_(None), User.disabled_at.is_(None)
    secured = select(SecondFactor.user_id).where(SecondFactor.confirmed_at.is_not(None))
    with database.read() as connection:
        count = connection.execute(select(func.count(User.id)).where(*is_one)).scalar_one()
        bare = connection.execute(
            select(func.count(User.id)).where(*is_one, User.id.not_in(secured))
        ).scalar_one()
    if not count:
        yield warning(
            "nobody is an operator",
            "Set SOLROUTER_OPERATOR_EMAIL and start the server, or run: flask users create "
            "you@example.com --password '…' --admin",
        )
    elif bare:
        yield warning(
            f"{bare} of {count} operators sign in without a second factor",
            "They set one up in Settings; then set SOLROUTER_OPERATOR_2FA=required.",
        )
    else:
        yield fine(f"{count} operators, each with a second factor")
