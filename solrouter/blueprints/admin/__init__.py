"""The operators' pages: users, credit, providers, models, requests. Decides nothing."""

from solrouter.blueprints.admin import (
    audit,
    invitations,
    models,
    overview,
    providers,
    requests,
    users,
)
from solrouter.blueprints.admin.room import admin

__all__ = [
    "admin",
    "audit",
    "invitations",
    "models",
    "overview",
    "providers",
    "requests",
    "users",
]
