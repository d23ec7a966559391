"""Bugs to plant: each one is a search and a replacement in one file of the package.

The ten of the design's list, the sixth of them in two places. A ledger's test that lets any of them
live proves nothing; `make mutants` plants them one by one in a copy of the tree.
"""

from dataclasses import dataclass
from pathlib import Path

ADMITTING = "solrouter/services/admission/admitting.py"
SETTLING = "solrouter/services/admission/settling.py"
BILLING = "solrouter/services/billing.py"
REPEATS = "solrouter/services/repeats.py"


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
        "Account.id == account_id",
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
        "a transfer's id is taken twice",
        BILLING,
        "return insert(Transfer).values(",
        'return insert(Transfer).prefix_with("OR IGNORE").values(',
    ),
    Mutant(
        "the cached balance drifts",
        SETTLING,
        "paid_nanos=Account.paid_nanos - charge.paid_nanos,",
        "paid_nanos=Account.paid_nanos - charge.paid_nanos + 1,",
    ),
    Mutant(
        "an overrun is not booked",
        BILLING,
        "        (WRITE_OFF, REVENUE, charge.write_off_nanos),\n",
        "",
    ),
    Mutant(
        "an expiry charges a nanodollar",
        SETTLING,
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
    one = Charge(0, 1, 0)
    _take_charge(connection, hold.account_id, one)
    legs = billing.usage_transfers(hold.id, hold.account_id, one, note="")
    connection.execute(billing.insert_transfers(), legs)
""",
    ),
    Mutant(
        "off by one at the exact balance",
        ADMITTING,
        "Account.held_nanos >= amount)",
        "Account.held_nanos > amount)",
    ),
)
