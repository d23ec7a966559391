"""Signing up, in and out, by password or through another site; a forgotten password."""

from solrouter.blueprints.auth import password_reset, providers, second_step, sign_in
from solrouter.blueprints.auth.room import auth

__all__ = ["auth", "password_reset", "providers", "second_step", "sign_in"]
