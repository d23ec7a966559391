"""What a lost webhook would have said: once a day the provider's last days are compared with ours.

Between the days each open payment says itself when it wants to be asked about (`checking`).
"""

import logging
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select

from solrouter import clock, database
from solrouter.errors import NotFound, SolRouterError
from solrouter.models import Payment, PaymentEvent
from solrouter.models.columns import db_now
from solrouter.services.payments import applying, checking, registry, rows, states
from solrouter.services.payments.stripe import StripeMethod

log = logging.getLogger(__name__)

WINDOW_HOURS = 72
HOUR_S = 3_600
DAY_S = 86_400
RETRY_S = 3_600.0
EVENTS_KEPT_DAYS = 180
GATE = "reconciliation"


@dataclass(frozen=True, slots=True)
class Report:
    """What a reconciliation looked at and found; `lines` tell each payment that was not in line."""

    asked: int
    lines: tuple[str, ...]


def reconcile(*, hours: int = WINDOW_HOURS) -> Report:
    """Compares both ways and puts right what differs. Raises ProviderUnavailable."""
    public_ids = set(_ours(hours))
    for method in registry.METHODS.values():
        if isinstance(method, StripeMethod) and method.offers():
            public_ids |= method.recent(hours=hours)
    lines = []
    for public_id in sorted(public_ids):
        lines += _compare(public_id)
    return Report(len(public_ids), tuple(lines))


def reconcile_daily() -> None:
    """`reconcile`, once a day; a process that fails tries again after a while.

    Two processes may do it at the same time, which costs questions and changes nothing.
    """
    today = f"{clock.utcnow():%Y-%m-%d}"
    if _next_try_s.get() > clock.monotonic_s() or applying.knows_event(GATE, today):
        return
    _next_try_s.set(clock.monotonic_s() + RETRY_S)
    report = reconcile()
    for line in report.lines:
        log.warning("reconciliation: %s", line)
    log.info("reconciliation: %d payments compared", report.asked)
    database.transact(_forget_old_events, durable=False)
    applying.take_event(GATE, today, GATE, payment_id=None, finding=None)


def _forget_old_events(connection: Connection) -> None:
    """Providers repeat an event for days; one that came again later still would move nothing."""
    old = delete(PaymentEvent).where(PaymentEvent.created_at < db_now(-EVENTS_KEPT_DAYS * DAY_S))
    connection.execute(old)


class _NextTry:
    """When this process may try next."""

    def __init__(self) -> None:
        self._at_s = float("-inf")

    def get(self) -> float:
        return self._at_s

    def set(self, at_s: float) -> None:
        self._at_s = at_s


_next_try_s = _NextTry()


def _ours(hours: int) -> list[str]:
    """Those that we know of: what is paid here must be paid there."""
    query = select(Payment.public_id).where(
        Payment.created_at > db_now(-hours * HOUR_S),
        Payment.provider.in_(
            [name for name, method in registry.METHODS.items() if method.offers()]
        ),
    )

    def read(connection: Connection) -> list[str]:
        return list(connection.execute(query).scalars())

    return database.read_apart(read)


def _compare(public_id: str) -> list[str]:
    try:
        before = rows.find(public_id)
    except NotFound:
        # Another server shares the provider's account, or a backup was restored.
        return [f"{public_id}: the provider has it and we do not"]
    try:
        after = checking.check(before)
    except SolRouterError as error:
        return [f"{public_id}: could not be compared: {error.message}"]
    if _sums(before) != _sums(after):
        return [f"{public_id}: was {before.state}, is {after.state}"]
    if after.problem and not after.has_money and after.state not in (states.FAILED, states.EXPIRED):
        return [f"{public_id}: {after.problem}"]
    return []


def _sums(payment: rows.Payment) -> tuple[object, ...]:
    return (
        payment.state,
        payment.received_nanos,
        payment.refunded_nanos,
        payment.disputed_nanos,
    )
