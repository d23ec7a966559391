"""The periodic jobs of the whole installation: which there are, how often, and how each is run.

Only the process that leads runs them, and each is taken first, so that no other does at the same
time. How it went stands in its row (`job_rows`), for operators to see; what fails raises an alert
(`watching`). What each process does for itself is in `housekeeping`.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from solrouter import config, database, process, redaction
from solrouter.clock import monotonic_s
from solrouter.errors import Refused, SolRouterError
from solrouter.services import (
    admission,
    alerts,
    catalogue,
    contents,
    email_tokens,
    health,
    job_rows,
    keepsakes,
    key_usage,
    ledger_days,
    operator_alerts,
    outbox,
    partitions,
    process_counts,
    retention,
    sessions,
    spending,
    usage_days,
    viewing,
    watching,
    webhook_queue,
)
from solrouter.services.catalogue import sync

log = logging.getLogger(__name__)

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
# The dead are looked for a few times in each lease.
ROUNDS_PER_LEASE = 3
CATALOGUE = "clock:catalogue"


@dataclass(frozen=True, slots=True)
class Job:
    """A job: what it is for, how often it runs, and what runs; that says how it went.

    A slow one may take minutes and keeps the quick ones from nothing.
    """

    name: str
    purpose: str
    every_s: int
    run: Callable[[], str]
    is_slow: bool = False


def run_due(*, is_slow: bool = False) -> int:
    """Runs the jobs of one kind that are due; says how many. Raises DatabaseUnavailable."""
    known = {job.name: job for job in JOBS if job.is_slow == is_slow}
    count = 0
    every_s = {name: _every_s(job) for name, job in known.items()}
    for name in job_rows.due(every_s):
        if job_rows.take(name, every_s=every_s[name], worker_id=process.worker_id()):
            _run(known[name])
            count += 1
    return count


def prepare() -> None:
    """Makes the jobs known to the database. Raises DatabaseUnavailable."""
    job_rows.add(job.name for job in JOBS)


@dataclass(frozen=True, slots=True)
class Row:
    """A job and how it stands; None before a server has run with it."""

    job: Job
    state: job_rows.State | None

    @property
    def is_running(self) -> bool:
        """It has begun and not ended."""
        return self.state is not None and self.state.has_not_ended

    def is_due_at(self, moment: datetime) -> bool:
        """It waits for the process that leads."""
        return self.state is None or self.state.due_at <= moment


def overview() -> list[Row]:
    """Every job and how it stands."""
    states = job_rows.all_of_them()
    return [Row(job, states.get(job.name)) for job in JOBS]


def ask(name: str) -> None:
    """Makes a job due now. Raises NotFound."""
    job_rows.ask(name)


def _every_s(job: Job) -> int:
    if job.name != HOLDS:
        return job.every_s
    return max(int(config.current()["SOLROUTER_LEASE_S"]) // ROUNDS_PER_LEASE, 1)


def _run(job: Job) -> None:
    began_s = monotonic_s()
    try:
        result = job.run()
    except Exception as error:
        if isinstance(error, SolRouterError):
            log.warning("the job %s failed: %s", job.name, error.message)
            problem = error.message
        else:
            log.exception("the job %s failed", job.name)
            problem = f"{type(error).__name__}: {error}"
        took_ms = int((monotonic_s() - began_s) * 1000)
        job_rows.failed(job.name, redaction.redacted(problem), took_ms=took_ms)
    else:
        job_rows.succeeded(job.name, result, took_ms=int((monotonic_s() - began_s) * 1000))


# What runs, each with a sentence about how it went.


def _release_holds() -> str:
    released = admission.expire()
    if released:
        log.warning("%d interrupted requests were released, uncharged", released)
    return f"{released} interrupted requests released"


def _end_sessions() -> str:
    ended = sessions.forget_expired()
    tokens = database.transact(email_tokens.forget_expired, durable=False)
    looks = viewing.note_ends()
    return f"{ended} sessions, {tokens} links and {looks} looks at accounts ended"


def _forget_contents() -> str:
    kept, keepsakes_ = contents.forget_expired(), keepsakes.forget_expired()
    return f"{kept} kept answers and {keepsakes_} keepsakes deleted"


def _forget_old() -> str:
    mails, messages = outbox.forget_old(), webhook_queue.forget_old()
    alerts_ = operator_alerts.forget_old()
    return f"{mails} mails, {messages} webhook messages and {alerts_} alerts deleted"


def _sum_usage() -> str:
    spans = usage_days.roll_up() + ledger_days.roll_up()
    return f"{spans} spans and {key_usage.roll_up()} days summed up"


def _forget_traffic() -> str:
    return f"{health.forget_old_traffic()} old counts of attempts deleted"


def _fold_counts() -> str:
    return f"the counts of {process_counts.fold()} processes that ended added up"


def _tell_customers() -> str:
    return f"{alerts.look(now=True)} balances told of"


def _tell_spending() -> str:
    return f"{spending.look()} accounts told of"


def _watch() -> str:
    process_counts.tell(process.worker_id())
    return f"{watching.look()} alerts opened or resolved"


def _audit_books() -> str:
    count = watching.look_at_books()
    return f"{count} differences found" if count else "every balance equals its ledger"


def _make_months() -> str:
    return f"{partitions.keep_up()} months of receipts and ledger begun"


def _forget_receipts() -> str:
    return f"{retention.forget()} months of receipts deleted"


def _refresh_catalogue() -> str:
    source: str = config.current()["SOLROUTER_CATALOGUE_URL"]
    if not source:
        return "no source is set: the catalogue comes with each release"
    document, label = sync.load(source)
    found = sync.difference(document)
    if found.is_empty:
        return f"nothing to change: the catalogue is what {label} says"
    if found.jumps:
        raise Refused(
            f"{len(found.jumps)} changes at {label} are hard to believe, so nothing was changed. "
            "Look at them with: flask catalogue sync --source …"
        )
    sync.apply(document, found, label=label, actor=CATALOGUE)
    catalogue.reload()
    return f"{len(found.entries)} entries and {len(found.prices)} prices changed"


HOLDS = "holds"
JOBS = (
    Job(HOLDS, "Releases what requests of dead servers hold", 10, _release_holds),
    Job("alerts", "Looks for what operators must know of", MINUTE_S, _watch),
    Job("customer_alerts", "Tells of low balances", MINUTE_S, _tell_customers),
    Job("spending", "Tells of spending that an account named", 5 * MINUTE_S, _tell_spending),
    Job(
        "sessions",
        "Ends sessions, links and looks whose time is over",
        MINUTE_S,
        _end_sessions,
    ),
    Job("contents", "Deletes prompts and answers past their days", MINUTE_S, _forget_contents),
    Job("usage", "Sums up usage by hour and day, for charts", MINUTE_S, _sum_usage),
    Job("counts", "Adds up the metrics of processes that ended", MINUTE_S, _fold_counts),
    Job("traffic", "Deletes health counts that are shown no more", HOUR_S, _forget_traffic),
    Job("retention", "Deletes old mails, webhook messages, alerts", HOUR_S, _forget_old),
    Job("months", "Begins the months of the tables that grow", HOUR_S, _make_months, is_slow=True),
    Job("receipts", "Deletes receipts past their months", HOUR_S, _forget_receipts, is_slow=True),
    Job("ledger", "Audits the books", HOUR_S, _audit_books, is_slow=True),
    Job("catalogue", "Refreshes models and prices", DAY_S, _refresh_catalogue, is_slow=True),
)
