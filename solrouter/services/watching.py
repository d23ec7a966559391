"""Looks whether anything is the matter that an operator must know of; `operator_alerts` tells them.

| condition     | begins when                                        | is over when         |
|---------------|----------------------------------------------------|----------------------|
| ledger_drift  | the hourly audit of the books finds a difference   | the next finds none  |
| stuck_holds   | a hold is there minutes past its deadline          | none is              |
| provider_down | 5 attempts in 5 to 10 minutes failed, none else    | one succeeds         |
| error_rate    | of 20 requests in 10 minutes the set share failed  | less than half of it |
| write_offs    | an answer cost more than its balance could pay     | 10 minutes without   |
| beyond_…      | an account's failures cost more than its allowance | the day (UTC) is     |
| queue_late    | a mail or webhook is due for 15 minutes, untried   | none is              |
| mail_failing  | a mail was tried 3 times and waits                 | none is              |
| job_failed    | a job failed, or has not ended in an hour          | it succeeds          |

One process looks, the one that leads. What it counts over minutes it keeps in memory: where another
takes over, a rate is known again some minutes later.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby

from sqlalchemy import Connection, func, select, text

from solrouter import config, database
from solrouter.clock import monotonic_s, start_of_day, utcnow
from solrouter.models import Hold, OutgoingMail
from solrouter.models.columns import db_now
from solrouter.money import display_usd
from solrouter.services import (
    billing,
    catalogue,
    health,
    job_rows,
    operator_alerts,
    outbox,
    process_counts,
    webhook_queue,
)
from solrouter.services.operator_alerts import Condition
from solrouter.services.routing import HEALTHY

HOLD_GRACE_S = 120
DOWN_ATTEMPTS_MIN = 5
WINDOW_S = 600.0
# Before so much of the window is known nothing is called over.
KNOWN_S = 300.0
REQUESTS_MIN = 20
QUEUE_LATE_S = 900
MAIL_TRIES = 3
JOB_S_MAX = 3600
DIFFERENCES_SHOWN = 3
SERVER_FAULT = 500


def look(now_s: float | None = None) -> int:
    """Settles every condition but the books'; says how many alerts were opened or resolved.

    `now_s` is the time by `monotonic_s`, if not now. One that cannot be looked for keeps none of
    the others from being told; its error is raised in the end.
    """
    rates = _rates(monotonic_s() if now_s is None else now_s)
    looks: dict[str, Callable[[], Iterable[Condition]]] = {
        operator_alerts.ERROR_RATE: lambda: [_error_rate(rates)],
        operator_alerts.WRITE_OFFS: lambda: [_write_offs(rates)],
        **_WATCHERS,
    }
    count, errors = 0, []
    for kind, look_for in looks.items():
        try:
            count += _settle(kind, look_for())
        except Exception as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return count


def look_at_books() -> int:
    """Audits the ledger, and settles its alert; says how many differences there are."""
    differences = database.read_apart(_differences)
    shown = "; ".join(differences[:DIFFERENCES_SHOWN])
    count = len(differences)
    operator_alerts.settle(
        Condition(
            operator_alerts.LEDGER_DRIFT,
            is_on=bool(differences),
            title=f"The ledger shows {count} {'difference' if count == 1 else 'differences'}",
            text=shown,
        )
    )
    return count


def _differences(connection: Connection) -> list[str]:
    """What the audit finds, however long it takes."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL statement_timeout = 0"))
    return list(billing.differences(connection))


def _settle(kind: str, conditions: Iterable[Condition]) -> int:
    """Also what is not spoken of any more is over: a provider or a job that is gone."""
    found = list(conditions)
    known = {condition.subject for condition in found}
    gone = [Condition(kind, False, name) for name in operator_alerts.open_subjects(kind)]
    over = [condition for condition in gone if condition.subject not in known]
    return sum(operator_alerts.settle(condition) for condition in (*found, *over))


def _stuck_holds() -> Iterator[Condition]:
    query = select(func.count()).where(Hold.deadline_at < db_now(-HOLD_GRACE_S))
    with database.read() as connection:
        count = connection.execute(query).scalar_one()
    yield Condition(
        operator_alerts.STUCK_HOLDS,
        is_on=count > 0,
        title=f"{count} {'hold is' if count == 1 else 'holds are'} stuck",
        text="They set money aside for requests that should have ended. Nobody releases them.",
    )


def _providers() -> Iterator[Condition]:
    listed = catalogue.listing()
    offers = [offer for model in listed for offer in model.offers if offer.is_available]
    traffic, conditions = health.uptimes(), health.conditions()
    for slug, group in groupby(
        sorted(offers, key=lambda offer: offer.provider_slug), lambda offer: offer.provider_slug
    ):
        ids = {offer.id for offer in group}
        recent = [traffic[each]["5m"] for each in ids if each in traffic]
        attempts = sum(each.attempts for each in recent)
        failures = sum(each.failures for each in recent)
        is_out = any(conditions[each].state != HEALTHY for each in ids if each in conditions)
        yield Condition(
            operator_alerts.PROVIDER_DOWN,
            is_on=_is_down(attempts, failures, is_out=is_out),
            subject=slug,
            title=f"The provider {slug} is down",
            text=f"Of its last {attempts} attempts in five minutes {failures} failed.",
        )


def _is_down(attempts: int, failures: int, *, is_out: bool) -> bool | None:
    """None where too few have asked: out of service, it is asked now and then alone."""
    if attempts > failures:
        return False
    if failures >= DOWN_ATTEMPTS_MIN:
        return True
    return None if is_out or failures else False


@dataclass(frozen=True, slots=True)
class _Sample:
    """What all processes had counted at one moment; or between two, then `at_s` is the time."""

    at_s: float
    requests: float
    faults: float
    written_off_nanos: float


class _Memory:
    """The samples of the last minutes."""

    def __init__(self) -> None:
        self.samples: deque[_Sample] = deque()


def _rates(now_s: float) -> _Sample:
    """What was counted since the oldest sample within the window, and how long ago that was."""
    samples = database.current().remembered("watching", _Memory).samples
    newest = _sample(now_s)
    samples.append(newest)
    while now_s - samples[0].at_s > WINDOW_S:
        samples.popleft()
    oldest = samples[0]
    return _Sample(
        newest.at_s - oldest.at_s,
        newest.requests - oldest.requests,
        newest.faults - oldest.faults,
        newest.written_off_nanos - oldest.written_off_nanos,
    )


def _sample(now_s: float) -> _Sample:
    requests = faults = broken = written_off = 0.0
    for name, value in process_counts.totals().items():
        parts = name.split("|")
        if parts[0] == "http_requests" and parts[1].startswith("api."):
            status = int(parts[2])
            faults += value if status >= SERVER_FAULT else 0
            # What callers did wrong is no request that could have failed.
            requests += value if status >= SERVER_FAULT or status < 400 else 0
        elif parts[0] == "completions" and parts[2] == "failed":
            broken += value
        elif parts[0] == "nanos" and parts[2] == "written_off":
            written_off += value
    # An answer that breaks off after its head has no status of a fault.
    return _Sample(now_s, requests, max(faults, broken), written_off)


def _error_rate(found: _Sample) -> Condition:
    limit = float(config.current()["SOLROUTER_ALERT_ERROR_PERCENT"])
    rate = 100 * found.faults / found.requests if found.requests else 0.0
    is_on = None
    if found.requests >= REQUESTS_MIN and rate >= limit:
        is_on = True
    elif rate < limit / 2 and found.at_s >= KNOWN_S:
        is_on = False
    return Condition(
        operator_alerts.ERROR_RATE,
        is_on=is_on,
        title=f"{rate:.0f} % of API requests fail",
        text=f"Of {found.requests:.0f} requests in ten minutes {found.faults:.0f} failed.",
    )


def _write_offs(found: _Sample) -> Condition:
    lost = found.written_off_nanos
    is_over = False if found.at_s >= KNOWN_S else None
    return Condition(
        operator_alerts.WRITE_OFFS,
        is_on=True if lost > 0 else is_over,
        title=f"{display_usd(int(lost))} were written off",
        text="Answers cost more than their accounts could pay, in the last ten minutes.",
    )


def _beyond_allowances() -> Iterator[Condition]:
    """Opened where it is found, in the settlement of a failure; over with the day that it is of."""
    today = start_of_day(utcnow())
    for account in operator_alerts.open_subjects(operator_alerts.BEYOND_ALLOWANCE, since=today):
        yield Condition(operator_alerts.BEYOND_ALLOWANCE, is_on=None, subject=account)


def _late_queues() -> Iterator[Condition]:
    mails = select(func.count()).where(OutgoingMail.due_at < db_now(-QUEUE_LATE_S))
    with database.read() as connection:
        late = {
            "mails": connection.execute(mails).scalar_one() if outbox.is_on() else 0,
            "webhooks": webhook_queue.late(connection, by_s=QUEUE_LATE_S),
        }
    for name, count in late.items():
        yield Condition(
            operator_alerts.QUEUE_LATE,
            is_on=count > 0,
            subject=name,
            title=f"{count} {name} wait and are not sent",
            text="They have been due for fifteen minutes, and no server process sends them.",
        )


def _failing_mail() -> Iterator[Condition]:
    query = select(func.count(), func.max(OutgoingMail.problem)).where(
        OutgoingMail.due_at.is_not(None), OutgoingMail.tries >= MAIL_TRIES
    )
    with database.read() as connection:
        count, problem = connection.execute(query).one()
    yield Condition(
        operator_alerts.MAIL_FAILING,
        is_on=outbox.is_on() and count > 0,
        title="Mail cannot be sent",
        text=f"{count} {'mail was' if count == 1 else 'mails were'} tried {MAIL_TRIES} times or "
        f"more. The last problem: {problem}.",
    )


def _failed_jobs() -> Iterator[Condition]:
    now = utcnow()
    long_ago, yesterday = now - timedelta(seconds=JOB_S_MAX), now - timedelta(days=1)
    for name, state in job_rows.all_of_them().items():
        # A job of a former release, which nobody runs any more.
        if state.due_at < yesterday:
            continue
        is_hung = state.has_not_ended and (state.started_at or long_ago) < long_ago
        text = state.problem or "It began more than an hour ago, and has not ended."
        yield Condition(
            operator_alerts.JOB_FAILED,
            is_on=bool(state.problem) or is_hung,
            subject=name,
            title=f"The job “{name}” failed",
            text=text,
        )


_WATCHERS: dict[str, Callable[[], Iterable[Condition]]] = {
    operator_alerts.STUCK_HOLDS: _stuck_holds,
    operator_alerts.PROVIDER_DOWN: _providers,
    operator_alerts.BEYOND_ALLOWANCE: _beyond_allowances,
    operator_alerts.QUEUE_LATE: _late_queues,
    operator_alerts.MAIL_FAILING: _failing_mail,
    operator_alerts.JOB_FAILED: _failed_jobs,
}
