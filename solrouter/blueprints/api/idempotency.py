"""The `Idempotency-Key` header: the caller's own name of a request, which may be sent twice."""

from solrouter.blueprints.api import authenticate
from solrouter.blueprints.contexts import header
from solrouter.errors import BadRequest
from solrouter.services import repeats
from solrouter.services.principals import Principal
from solrouter.services.repeats import KEY_CHARACTERS_MAX, Repeat

HEADER, IN_WSGI = "Idempotency-Key", "HTTP_IDEMPOTENCY_KEY"


def named(principal: Principal, body: bytes) -> Repeat | None:
    """What the request's header names, or None without one. Raises BadRequest."""
    text = header(IN_WSGI)
    if text is None:
        return None
    if not 1 <= len(text) <= KEY_CHARACTERS_MAX or not text.isprintable():
        raise BadRequest(
            f"An {HEADER} is 1 to {KEY_CHARACTERS_MAX} printable characters.", param=HEADER
        )
    api_key = authenticate.presented() or ""
    return repeats.name(
        account_id=principal.account_id, api_key=api_key, idempotency_key=text, body=body
    )
