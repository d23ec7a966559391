"""Bugs to plant: each one is a search and a replacement in one file of the package.

The ten of the design's list, the sixth of them in two places, for the careful way; and their like
for the one statement of each step on PostgreSQL. A ledger's test that lets any of them live proves
nothing; `make mutants` plants them one by one in a copy of the tree.
"""

from dataclasses import dataclass
from pathlib import Path

ADMITTING = "solrouter/services/admission/admitting.py"
SETTLING = "solrouter/services/admission/settling.py"
PAYING = "solrouter/services/payments/moving.py"
MOVING = "solrouter/services/admission/moving.py"
RELEASING = "solrouter/services/admission/releasing.py"
BILLING = "solrouter/services/billing.py"
REPEATS = "solrouter/services/repeats.py"
STATEMENTS = "solrouter/services/admission/statements.py"


@dataclass(frozen=True)
class Mutant:
    """One bug."""

    name: str
    path: str
    sound: str
    broken: str

    def plant(self, root: Path) -> None:
        """Writes the bug into the copy of the tree at `root`; its place must be the only one."""
        path = root / self.path
        source = path.read_text()
        found = source.count(self.sound)
        assert found == 1, f"{self.name}: {found} places in {self.path}; it must be exactly one"
        path.write_text(source.replace(self.sound, self.broken))


MUTANTS = (
    Mutant(
        "no balance guard",
        ADMITTING,
        "Account.paid_nanos + Account.granted_nanos - Account.held_nanos >= amount",
        'Account.id == bindparam("account_id")',
    ),
    Mutant(
        "a second settlement counts",
        SETTLING,
        "where=Completion.outcome == INTERRUPTED",
        "where=Completion.outcome.is_not(None)",
    ),
    Mutant(
        "a hold is not released",
        SETTLING,
        "held_nanos=Account.held_nanos - held)",
        "held_nanos=Account.held_nanos - held * 0)",
    ),
    Mutant(
        "a charge beyond the hold and what is free",
        BILLING,
        "charge = min(cost_nanos, max(after_release.available_nanos, 0))",
        "charge = min(cost_nanos, max(after_release.posted_nanos, 0))",
    ),
    Mutant(
        "one nanodollar misposted in balance",
        BILLING,
        "from_granted = min(charge, after_release.granted_nanos)",
        "from_granted = min(charge, max(after_release.granted_nanos - 1, 0))",
    ),
    Mutant(
        "a name is taken twice",
        REPEATS,
        "        where=is_free,\n",
        "        where=is_free | ~is_free,\n",
    ),
    Mutant(
        "an evidence is credited twice",
        PAYING,
        "if not _keep(connection, payment, terms, evidence_id, details or {}):",
        "if _keep(connection, payment, terms, evidence_id, details or {}) is None:",
    ),
    Mutant(
        "a refund is booked and not taken",
        MOVING,
        "changed.values({column: column + side.sign * terms.amount_nanos})",
        "changed.values({column: column + max(side.sign, 0) * terms.amount_nanos})",
    ),
    Mutant(
        "the cached balance drifts",
        SETTLING,
        "paid_nanos=Account.paid_nanos - paid",
        "paid_nanos=Account.paid_nanos - paid + 1",
    ),
    Mutant(
        "an overrun is not booked",
        BILLING,
        "        (WRITE_OFF, REVENUE, charge.write_off_nanos),\n",
        "",
    ),
    Mutant(
        "an expiry charges a nanodollar",
        RELEASING,
        """        charge_nanos=0,
        attempts=[],
        duration_ms=0,
        created_at=hold.created_at,
        ended_at=db_now(),
    )
""",
        """        charge_nanos=1,
        attempts=[],
        duration_ms=0,
        created_at=hold.created_at,
        ended_at=db_now(),
    )
    one = settling.Charge(0, 1, 0)
    settling.take_charge(connection, hold.account_id, one)
    settling.billing.record_usage(connection, hold.id, hold.account_id, one, note="")
""",
    ),
    Mutant(
        "off by one at the exact balance",
        ADMITTING,
        "Account.held_nanos >= amount)",
        "Account.held_nanos > amount)",
    ),
)

LEAN_MUTANTS = (
    Mutant(
        "lean: no balance guard",
        STATEMENTS,
        "WHERE needs_nanos <= free_nanos AND",
        "WHERE",
    ),
    Mutant(
        "lean: a limit that the posted balance cannot pay",
        STATEMENTS,
        " AND %(most_nanos)s <= all_nanos",
        " AND %(most_nanos)s >= 0",
    ),
    Mutant(
        "lean: off by one at the exact balance",
        STATEMENTS,
        "needs_nanos <= free_nanos",
        "needs_nanos <= free_nanos + 1",
    ),
    Mutant(
        "lean: the cached hold drifts",
        STATEMENTS,
        "held_nanos = accounts.held_nanos - hold.amount_nanos",
        "held_nanos = accounts.held_nanos - hold.amount_nanos + 1",
    ),
    Mutant(
        "lean: a charge beyond the hold and what is free",
        STATEMENTS,
        "paid_nanos + granted_nanos - held_nanos + amount_nanos >= %(charge_nanos)s",
        "paid_nanos + granted_nanos >= %(charge_nanos)s",
    ),
    Mutant(
        "lean: one nanodollar misposted in balance",
        STATEMENTS,
        "LEAST(%(charge_nanos)s, granted_nanos) AS granted_nanos",
        "LEAST(%(charge_nanos)s, granted_nanos - 1) AS granted_nanos",
    ),
    Mutant(
        "lean: a settlement without its transfers",
        STATEMENTS,
        "WHERE moved_nanos > 0",
        "WHERE moved_nanos > 0 AND leg > 0",
    ),
    Mutant(
        "lean: a hold that is not deleted",
        STATEMENTS,
        "DELETE FROM holds USING hold WHERE holds.id = %(id)s",
        "DELETE FROM holds USING hold WHERE holds.id = %(id)s AND FALSE",
    ),
    Mutant(
        "lean: a budget is not charged",
        STATEMENTS,
        "SET spent_nanos = budget.carried_nanos + admitted.amount_nanos",
        "SET spent_nanos = budget.carried_nanos",
    ),
    Mutant(
        "lean: a hold grows beyond the balance",
        STATEMENTS,
        "AND paid_nanos + granted_nanos - held_nanos >= %(more_nanos)s::bigint",
        "",
    ),
    Mutant(
        "lean: a hold grows at the cost of a later period",
        STATEMENTS,
        "AND start <= (SELECT created_at FROM holds WHERE id = %(id)s)",
        "",
    ),
    Mutant(
        "lean: a later period gets back what it never gave",
        STATEMENTS,
        "AND {START} <= hold.created_at",
        "",
    ),
    Mutant(
        "lean: a limit that is full admits",
        STATEMENTS,
        "SELECT FROM bucket WHERE ahead_us > window_us",
        "SELECT FROM bucket WHERE ahead_us > 2 * window_us",
    ),
    Mutant(
        "lean: tokens are not given back",
        STATEMENTS,
        "WHEN unused_tokens > 0 THEN -GREATEST(",
        "WHEN unused_tokens > 0 THEN 0 * -GREATEST(",
    ),
    Mutant(
        "lean: a place too many",
        STATEMENTS,
        "%(concurrency)s::int IS NULL OR %(concurrency)s::int >\n",
        "%(concurrency)s::int IS NULL OR %(concurrency)s::int >=\n",
    ),
)
