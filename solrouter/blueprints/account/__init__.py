"""A person's own account, from overview to settings. Shows and asks; decides nothing."""

from solrouter.blueprints.account import (
    activity,
    activity_export,
    audit,
    auto_top_up,
    balance,
    confirm,
    key,
    keys,
    overview,
    payments,
    plan,
    settings,
    solana,
    statements,
    team,
    webhooks,
)
from solrouter.blueprints.account.room import account

__all__ = [
    "account",
    "activity",
    "activity_export",
    "audit",
    "auto_top_up",
    "balance",
    "confirm",
    "key",
    "keys",
    "overview",
    "payments",
    "plan",
    "settings",
    "solana",
    "statements",
    "team",
    "webhooks",
]
