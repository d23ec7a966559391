"""Telling a caller who asks for it, by a header, which way his request went."""

from flask import request

EXPLAIN, ROUTE = "X-SolRouter-Explain", "X-SolRouter-Route"
YES = frozenset(("1", "true", "yes"))


def is_asked() -> bool:
    """Whether the request wants its route told."""
    return request.headers.get(EXPLAIN, "").strip().lower() in YES
