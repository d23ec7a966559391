"""The operators' pages: users, credit, providers, models, requests. Decides nothing."""

from solrouter.blueprints.admin import (
    audit,
    codes,
    invitations,
    models,
    overview,
    payments,
    providers,
    requests,
    system,
    users,
    webhooks,
)
from solrouter.blueprints.admin.room import admin

__all__ = [
    "admin",
    "audit",
    "codes",
    "invitations",
    "models",
    "overview",
    "payments",
    "providers",
    "requests",
    "system",
    "users",
    "webhooks",
]
