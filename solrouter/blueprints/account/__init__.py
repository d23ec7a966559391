"""A person's own account, from overview to settings. Shows and asks; decides nothing."""

from solrouter.blueprints.account import (
    activity,
    audit,
    balance,
    confirm,
    key,
    keys,
    overview,
    settings,
    solana,
    team,
)
from solrouter.blueprints.account.room import account

__all__ = [
    "account",
    "activity",
    "audit",
    "balance",
    "confirm",
    "key",
    "keys",
    "overview",
    "settings",
    "solana",
    "team",
]
