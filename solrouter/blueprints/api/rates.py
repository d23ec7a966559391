"""Where the caller's limits stand, in the `x-ratelimit-*` headers of every answer."""

from collections.abc import Iterable, Iterator

from flask import Response

from solrouter.blueprints.contexts import notes_itself
from solrouter.errors import SolRouterError
from solrouter.services import limits
from solrouter.services.limits import RateState

KINDS = (limits.REQUESTS, limits.TOKENS)


def headers(states: Iterable[RateState]) -> Iterator[tuple[str, str]]:
    """The headers for the tightest limit of each kind."""
    notes_itself().rates_told = True
    known = list(states)
    for kind in KINDS:
        of_kind = [state for state in known if state.kind == kind]
        if not of_kind:
            continue
        state = min(of_kind, key=lambda state: state.remaining)
        yield f"x-ratelimit-limit-{kind}", str(state.limit)
        yield f"x-ratelimit-remaining-{kind}", str(state.remaining)
        yield f"x-ratelimit-reset-{kind}", duration(state.reset_us)


def add_missing(response: Response) -> Response:
    """Adds the headers to an answer that was not admitted, if we know who asked."""
    known = notes_itself()
    principal = known.get("principal")
    if principal is None or "rates_told" in known:
        return response
    try:
        states = limits.standing(account_id=principal.account_id, key_id=principal.key_id)
    except SolRouterError:
        return response
    response.headers.extend(headers(states))
    return response


def duration(microseconds: int) -> str:
    """A duration as OpenAI's headers write it: `12ms`, `1.5s`, `6m0s`."""
    if microseconds < 1_000_000:
        return f"{-(-microseconds // 1000)}ms"
    minutes, rest = divmod(microseconds / 1_000_000, 60)
    text = f"{rest:.3f}".rstrip("0").rstrip(".")
    return f"{int(minutes)}m{text}s" if minutes else f"{text}s"
