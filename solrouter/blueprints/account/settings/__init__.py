"""Account settings: one page of sections, a file for each, and the pages beneath it."""

from solrouter.blueprints.account.settings import (
    buyer,
    content,
    delete,
    email,
    export,
    notifications,
    open_sessions,
    page,
    password,
    second_factor,
    sign_in_methods,
)

__all__ = [
    "buyer",
    "content",
    "delete",
    "email",
    "export",
    "notifications",
    "open_sessions",
    "page",
    "password",
    "second_factor",
    "sign_in_methods",
]
