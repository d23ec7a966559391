"""What generosity may cost: the gap between what answers cost us and what they were charged.

Summed for each account and UTC day it may reach SOLROUTER_UNRECOVERED_PER_DAY and, in addition,
SOLROUTER_UNRECOVERED_PERCENT of what the account was charged in the last thirty days.
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, func, select

from solrouter import config
from solrouter.clock import first_id_at, start_of_day, utcnow
from solrouter.models import Account, Alert, Completion
from solrouter.money import display_usd
from solrouter.services import operator_alerts
from solrouter.services.operator_alerts import Condition

DAYS = 30


@dataclass(frozen=True, slots=True)
class Allowance:
    """How much one account's day may cost: so much, and a share of what it was charged lately."""

    base_nanos: int
    percent: int

    def covers(self, connection: Connection, account_id: int, more_nanos: int) -> bool:
        """Whether today's losses on the account, and so much more, stay within it."""
        lost = _lost_today(connection, account_id) + more_nanos
        if lost <= self.base_nanos:
            return True
        return lost <= self._whole(connection, account_id)

    def tell(self, connection: Connection, account_id: int) -> None:
        """Tells the operators that the account is beyond it: once a day, whoever finds it out."""
        lost = display_usd(_lost_today(connection, account_id))
        whole = display_usd(self._whole(connection, account_id))
        condition = Condition(
            operator_alerts.BEYOND_ALLOWANCE,
            is_on=True,
            subject=_name_of(connection, account_id),
            title="An account is beyond its daily allowance of failures",
            text=f"Its answers of today cost {lost} that nobody paid, of {whole} that a day may. "
            "Until the day ends (UTC) failures cost it what was delivered.",
        )
        operator_alerts.begin(connection, condition)

    def _whole(self, connection: Connection, account_id: int) -> int:
        share = _charged_lately(connection, account_id) * self.percent // 100
        return self.base_nanos + share


def current() -> Allowance:
    """The operator's settings. Read before a transaction: its thread has no app."""
    settings = config.current()
    return Allowance(
        settings["SOLROUTER_UNRECOVERED_PER_DAY"], settings["SOLROUTER_UNRECOVERED_PERCENT"]
    )


def is_told(connection: Connection, account_id: int) -> bool:
    """Whether the operators have an open alert of the account's."""
    query = select(Alert.id).where(
        Alert.kind == operator_alerts.BEYOND_ALLOWANCE,
        Alert.subject == _name_of(connection, account_id),
        Alert.resolved_at.is_(None),
    )
    return connection.execute(query).first() is not None


def _name_of(connection: Connection, account_id: int) -> str:
    query = select(Account.public_id).where(Account.id == account_id)
    return str(connection.execute(query).scalar_one())


def _lost_today(connection: Connection, account_id: int) -> int:
    gap = Completion.upstream_cost_nanos - Completion.charge_nanos
    query = select(func.coalesce(func.sum(gap), 0)).where(
        Completion.account_id == account_id,
        Completion.id >= first_id_at(start_of_day(utcnow())),
        gap > 0,
    )
    return int(connection.execute(query).scalar_one())


def _charged_lately(connection: Connection, account_id: int) -> int:
    since = start_of_day(utcnow()) - timedelta(days=DAYS)
    query = select(func.coalesce(func.sum(Completion.charge_nanos), 0)).where(
        Completion.account_id == account_id, Completion.id >= first_id_at(since)
    )
    return int(connection.execute(query).scalar_one())
