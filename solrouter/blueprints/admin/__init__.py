"""The operators' pages: users, credit, providers, models, requests. Decides nothing."""

from solrouter.blueprints.admin import invitations, models, overview, providers, requests, users
from solrouter.blueprints.admin.room import admin

__all__ = ["admin", "invitations", "models", "overview", "providers", "requests", "users"]
