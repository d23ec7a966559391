"""The balance in the header of every page: one figure, never older than what the page tells.

The session brings the balance with it. A page that reads the balance anew, since it shows it or may
have changed it, reads it here, and its header tells the same.
"""

from flask import g, request
from flask_login import current_user

from solrouter.errors import SolRouterError
from solrouter.services import billing
from solrouter.services.billing import Balance


def read() -> Balance:
    """The balance of the signed-in account as it is now; the header of this answer tells it too."""
    balance = billing.balance(current_user.account_id)
    g.balance_nanos = balance.available_nanos
    return balance


def shown_nanos() -> int | None:
    """What the header says can be spent; None where that cannot be known (an error page)."""
    if "balance_nanos" in g:
        return int(g.balance_nanos)
    if request.method in ("GET", "HEAD") and current_user.is_authenticated:
        # Nothing has changed since the session was loaded, and the balance with it.
        return int(current_user.available_nanos)
    try:
        return read().available_nanos
    except SolRouterError:
        return None
