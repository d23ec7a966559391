"""What `/metrics` shows, in Prometheus's text format: of the whole installation, whoever is asked.

Counts and durations are the sums of all processes, on all machines (`process_counts`); the rest is
read from the database that they share. docs/operating.md says what each one means.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from prometheus_client import generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from sqlalchemy import func, select

from solrouter import counters, database, process
from solrouter.clock import utcnow
from solrouter.errors import DatabaseUnavailable
from solrouter.models import Hold
from solrouter.models.columns import db_now
from solrouter.services import (
    catalogue,
    health,
    job_rows,
    operator_alerts,
    outbox,
    process_counts,
    system,
)

NANOS = 1_000_000_000

# Name of the counts to the metric, its labels and what it says.
COUNTED: Mapping[str, tuple[str, tuple[str, ...], str]] = {
    "http_requests": (
        "solrouter_http_requests",
        ("endpoint", "status"),
        "Answers that have begun.",
    ),
    "attempts": (
        "solrouter_attempts",
        ("provider", "outcome"),
        "Attempts at a provider that have ended.",
    ),
    "completions": (
        "solrouter_completions",
        ("provider", "outcome"),
        "Requests for completions that have ended.",
    ),
    "tokens": ("solrouter_tokens", ("provider", "kind"), "Tokens of completions that ended."),
    "nanos": ("solrouter_usd", ("provider", "kind"), "US dollars of completions that ended."),
}
MEASURED: Mapping[str, tuple[str, str, str]] = {
    "http_seconds": (
        "solrouter_http_request_seconds",
        "room",
        "How long requests took until their answer began.",
    ),
    "completion_seconds": (
        "solrouter_completion_seconds",
        "provider",
        "How long completions took, from beginning to end.",
    ),
    "first_content_seconds": (
        "solrouter_first_content_seconds",
        "provider",
        "How long the first content of completions took.",
    ),
}


def exposition() -> bytes:
    """All of it as text. Without the database only that there is none."""
    return generate_latest(_Families())


class _Families:
    """The metrics of now, as the library asks for them."""

    def collect(self) -> Iterable[Metric]:
        try:
            found = list(_families())
        except DatabaseUnavailable:
            found = []
        up = GaugeMetricFamily("solrouter_database_up", "Whether the database answers.")
        up.add_metric([], int(bool(found)))
        return [up, *found]


def _families() -> Iterator[Metric]:
    process_counts.tell(process.worker_id())
    totals = process_counts.totals()
    yield from _counts(totals)
    yield from _durations(totals)
    yield from _requests()
    yield from _offers()
    yield from _queues()
    yield from _jobs()
    open_alerts = operator_alerts.open_counts()
    yield _gauge("solrouter_alerts_open", "Alerts that are open.", "kind", open_alerts)


def _counts(totals: Mapping[str, float]) -> Iterator[Metric]:
    for key, (name, labels, words) in COUNTED.items():
        family = CounterMetricFamily(name, words, labels=labels)
        for text, value in sorted(totals.items()):
            kind, _, rest = text.partition("|")
            if kind == key:
                family.add_metric(rest.split("|"), value / NANOS if kind == "nanos" else value)
        yield family


def _durations(totals: Mapping[str, float]) -> Iterator[Metric]:
    for key, (name, label, words) in MEASURED.items():
        family = HistogramMetricFamily(name, words, labels=[label])
        of_key = [text.split("|")[1] for text in totals if text.startswith(f"{key}|")]
        bounds = (*map(str, counters.BUCKETS[key]), "+Inf")
        for value in sorted(set(of_key)):
            each = (totals.get(f"{key}|{value}|{number}", 0) for number in range(len(bounds)))
            buckets = list(zip(bounds, accumulate(each), strict=True))
            family.add_metric([value], buckets, totals.get(f"{key}|{value}|sum", 0))
        yield family


def _requests() -> Iterator[Metric]:
    holds = select(func.count(), func.coalesce(func.sum(Hold.amount_nanos), 0))
    late = select(func.count()).where(Hold.deadline_at < db_now())
    with database.read() as connection:
        running, held = connection.execute(holds).one()
        stuck = connection.execute(late).scalar_one()
    yield _one("solrouter_processes", "Server processes that report.", len(system.processes()))
    yield _one("solrouter_requests_running", "Requests that hold money now.", running)
    yield _one("solrouter_held_usd", "US dollars that they hold.", int(held) / NANOS)
    yield _one("solrouter_holds_past_deadline", "Holds past their deadline.", stuck)


def _offers() -> Iterator[Metric]:
    conditions, states = health.conditions(), Counter[tuple[str, str]]()
    seen = set()
    for model in catalogue.listing():
        for offer in model.offers:
            # An alias has the offers of its model.
            if offer.id in seen or not offer.is_available:
                continue
            seen.add(offer.id)
            condition = conditions.get(offer.id)
            states[offer.provider_slug, condition.state if condition else "healthy"] += 1
    family = GaugeMetricFamily(
        "solrouter_offers", "Offers that can serve, by health.", labels=["provider", "state"]
    )
    for labels, count in sorted(states.items()):
        family.add_metric(labels, count)
    yield family


def _queues() -> Iterator[Metric]:
    waiting: dict[str, float] = {}
    late: dict[str, float] = {}
    given_up: dict[str, float] = {}
    for queue in system.queues():
        # Where no mail is sent none waits.
        is_off = queue.name == "mail" and not outbox.is_on()
        due_at = None if is_off else queue.oldest_due_at
        waiting[queue.name] = 0 if is_off else queue.waiting
        late[queue.name] = max((utcnow() - due_at).total_seconds(), 0.0) if due_at else 0.0
        given_up[queue.name] = queue.given_up
    yield _gauge("solrouter_queue_waiting", "Orders that wait.", "queue", waiting)
    yield _gauge("solrouter_queue_late_seconds", "How long the oldest has been due.", "queue", late)
    yield _gauge("solrouter_queue_given_up", "Orders given up lately.", "queue", given_up)


def _jobs() -> Iterator[Metric]:
    states = job_rows.all_of_them()
    ended = {
        name: state.succeeded_at.timestamp()
        for name, state in states.items()
        if state.succeeded_at is not None
    }
    failed = {name: int(bool(state.problem)) for name, state in states.items()}
    yield _gauge(
        "solrouter_job_last_success_timestamp_seconds",
        "When a job last succeeded, in seconds since 1970.",
        "job",
        ended,
    )
    yield _gauge("solrouter_job_failed", "Whether a job failed the last time.", "job", failed)


def _one(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(name, words, value=value)


def _gauge(name: str, words: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, words, labels=[label])
    for text, value in sorted(values.items()):
        family.add_metric([text], value)
    return family
