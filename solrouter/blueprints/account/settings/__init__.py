"""Account settings: one page of sections, a file for each, and the pages beneath it."""

from solrouter.blueprints.account.settings import (
    content,
    delete,
    email,
    export,
    open_sessions,
    page,
    password,
    second_factor,
    sign_in_methods,
)

__all__ = [
    "content",
    "delete",
    "email",
    "export",
    "open_sessions",
    "page",
    "password",
    "second_factor",
    "sign_in_methods",
]
