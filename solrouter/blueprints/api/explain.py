"""Telling a caller who asks for it, by a header, which way his request went."""

from solrouter.blueprints.contexts import header

EXPLAIN, ROUTE = "X-SolRouter-Explain", "X-SolRouter-Route"
EXPLAIN_IN_WSGI = "HTTP_X_SOLROUTER_EXPLAIN"
YES = frozenset(("1", "true", "yes"))


def is_asked() -> bool:
    """Whether the request wants its route told."""
    return (header(EXPLAIN_IN_WSGI) or "").strip().lower() in YES
