"""A person's own account, from overview to settings. Shows and asks; decides nothing."""

from solrouter.blueprints.account import (
    activity,
    audit,
    auto_top_up,
    balance,
    confirm,
    key,
    keys,
    overview,
    payments,
    settings,
    solana,
    statements,
    team,
)
from solrouter.blueprints.account.room import account

__all__ = [
    "account",
    "activity",
    "audit",
    "auto_top_up",
    "balance",
    "confirm",
    "key",
    "keys",
    "overview",
    "payments",
    "settings",
    "solana",
    "statements",
    "team",
]
