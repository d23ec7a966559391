"""A person's own account: overview, keys, balance, activity. Shows and asks; decides nothing."""

from solrouter.blueprints.account import activity, balance, key, keys, overview
from solrouter.blueprints.account.room import account

__all__ = ["account", "activity", "balance", "key", "keys", "overview"]
