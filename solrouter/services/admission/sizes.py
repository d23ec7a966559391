"""How much an admission holds: for all that may be said, or for a start. Pure.

The output limit is lowered to what the *posted* balance can pay; what is held for now depends on
what is *free*. All of it where the caller named a limit, or where four such holds fit; else a
start, so that an unnamed limit does not shut out the account's next requests.
"""

from dataclasses import dataclass

from solrouter.services.admission.asks import HOLDS_THAT_MUST_FIT, OUTPUT_TOKENS_ASSUMED, Ask
from solrouter.services.principals import Limits


@dataclass(frozen=True, slots=True)
class Size:
    """One way to hold: so much money for so many output tokens, if so much is free."""

    covered_tokens: int
    amount_nanos: int
    needs_nanos: int

    def tokens(self, ask: Ask) -> int:
        """What it takes from the token limits."""
        return ask.prompt_taken + self.covered_tokens * ask.choices


def sizes_of(ask: Ask, output_limit: int, limits: Limits) -> tuple[Size, ...]:
    """The ways to hold for this output limit; the first that fits is taken."""
    if ask.is_named:
        whole = ask.cost_bound(output_limit)
        return (Size(output_limit, whole, whole),)
    room = _token_room(ask, limits)
    most = output_limit if room is None else max(min(output_limit, room), ask.floor)
    whole, start = ask.cost_bound(most), min(most, OUTPUT_TOKENS_ASSUMED)
    first = ask.cost_bound(start)
    return Size(most, whole, HOLDS_THAT_MUST_FIT * whole), Size(start, first, first)


def _token_room(ask: Ask, limits: Limits) -> int | None:
    """The most output tokens that the token limits let one request bind; None: no such limit."""
    known = [
        limit
        for limit in (limits.tokens_per_minute, limits.key_tokens_per_minute)
        if limit is not None
    ]
    return (min(known) - ask.prompt_taken) // ask.choices if known else None
