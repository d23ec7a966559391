"""What generosity may cost: the gap between what answers cost us and what they were charged.

Summed for each account and UTC day it may reach SOLROUTER_UNRECOVERED_PER_DAY and, in addition,
SOLROUTER_UNRECOVERED_PERCENT of what the account was charged in the last thirty days.
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, func, select

from solrouter import config
from solrouter.clock import first_id_at, start_of_day, utcnow
from solrouter.models import Completion

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
        share = _charged_lately(connection, account_id) * self.percent // 100
        return lost <= self.base_nanos + share


def current() -> Allowance:
    """The operator's settings. Read before a transaction: its thread has no app."""
    settings = config.current()
    return Allowance(
        settings["SOLROUTER_UNRECOVERED_PER_DAY"], settings["SOLROUTER_UNRECOVERED_PERCENT"]
    )


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
