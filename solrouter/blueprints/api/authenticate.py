"""Who is calling: the bearer key of the Authorization header, and nothing else."""

from flask import request

from solrouter.blueprints import request_ids
from solrouter.blueprints.contexts import header, notes_itself
from solrouter.errors import Forbidden, KeyInvalid
from solrouter.services import key_networks, key_rules, keys
from solrouter.services.principals import Principal

AUTHORIZATION_CHARACTERS_MAX = 1024


def bearer() -> Principal:
    """Who this request speaks for. Raises KeyInvalid and its like, and Forbidden for a key that may
    not be used from here; never reads the body.
    """
    text = presented()
    if text is None:
        raise KeyInvalid(keys.INVALID)
    # As far as SOLROUTER_PROXY_HOPS lets proxies be believed.
    principal = _known(keys.authenticate(text, address=client_address()))
    key_networks.note(principal.key_id, principal.address)
    return principal


def recalled_bearer() -> Principal:
    """The same, from this process's memory where it was proven moments ago.

    Only for what is admitted, which proves it, and asks `bearer` whenever anything is wrong.
    """
    principal = keys.recall(presented() or "", address=client_address())
    if principal is None:
        return bearer()
    try:
        return _known(principal)
    except Forbidden:
        return bearer()


def _known(principal: Principal) -> Principal:
    notes_itself().principal = principal
    request_ids.note(account=str(principal.account_id), key=principal.key_public_id)
    principal.require_network()
    return principal


def client_address() -> str:
    """Whence the request comes, as one spelling; empty when that is not known."""
    return str(key_rules.as_address(header("REMOTE_ADDR") or "") or "")


def refuse_wrong_key() -> None:
    """For public routes: no key is needed, but a wrong one is an error there too."""
    if "Authorization" in request.headers:
        bearer()


def presented() -> str | None:
    """The text after `Bearer`, or None."""
    told = header("HTTP_AUTHORIZATION") or ""
    if len(told) > AUTHORIZATION_CHARACTERS_MAX:
        return None
    scheme, _, text = told.partition(" ")
    return text.strip() or None if scheme.lower() == "bearer" else None
