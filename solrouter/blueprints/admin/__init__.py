"""The operators' pages: people and money, requests, the catalogue, what everybody is told. Decides
nothing.
"""

from solrouter.blueprints.admin import (
    accounts,
    audit,
    codes,
    invitations,
    ledger,
    models,
    notices,
    overview,
    payments,
    plans,
    prices,
    provider,
    providers,
    requests,
    settings,
    system,
    users,
    webhooks,
)
from solrouter.blueprints.admin.room import admin

__all__ = [
    "accounts",
    "admin",
    "audit",
    "codes",
    "invitations",
    "ledger",
    "models",
    "notices",
    "overview",
    "payments",
    "plans",
    "prices",
    "provider",
    "providers",
    "requests",
    "settings",
    "system",
    "users",
    "webhooks",
]
