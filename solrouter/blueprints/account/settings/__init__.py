"""The settings of the person who is signed in: one file and one fragment for each section."""

from solrouter.blueprints.account.settings import email, page, sign_in_methods

__all__ = ["email", "page", "sign_in_methods"]
