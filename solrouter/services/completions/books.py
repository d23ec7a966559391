"""The books of one request: settled once, however it ends, and what its caller is told of it."""

import contextvars
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import orjson

from solrouter import counters
from solrouter.chat import ChatRequest, Usage
from solrouter.clock import monotonic_s
from solrouter.errors import DatabaseUnavailable, ShuttingDown, SolRouterError
from solrouter.money import decimal_usd, float_usd
from solrouter.services import activity, admission, health, pricing
from solrouter.services.admission import CANCELLED, FAILED, Admitted, Ending
from solrouter.services.billing import Charge
from solrouter.services.completions import planning
from solrouter.services.completions.opening import Opening
from solrouter.services.completions.tally import NONE, Limits, Tally
from solrouter.services.contents import Keeping

log = logging.getLogger(__name__)

# The hold grows once this share of what it covers has been said, so that it stays ahead.
GROW_AT = 2
# How long to wait before asking again for more than could be held.
GROW_AGAIN_S = 2.0
REASON_CHARACTERS_MAX = 60
OUR_FAULTS = frozenset((ShuttingDown.code, SolRouterError.code))
# The last payloads of an answer, which are known once it is settled.
Tail = Callable[[], Iterable[dict[str, Any]]]


class Books:
    """What one request holds, has used and is charged. `usage` is told once it is settled.

    `said` are the payloads to keep, with the tail, for a repetition of the request.
    """

    def __init__(
        self,
        request: ChatRequest,
        opening: Opening,
        tally: Tally,
        keeping: Keeping | None = None,
    ) -> None:
        self.usage: dict[str, Any] | None = None
        self.is_settled = False
        self.said: list[dict[str, Any]] = []
        self._request = request
        self._opening = opening
        self._tally = tally
        self._keeping = keeping
        self._grows_from_s = 0.0
        # Settling needs the app's database, and a stream outlives the request that made it.
        self._context = contextvars.copy_context()

    @property
    def admitted(self) -> Admitted:
        """What the request holds now."""
        return self._opening.admitted

    def cover(self, said_tokens: int) -> bool:
        """Keeps the hold ahead of so many tokens of each choice; False when they are not payable.

        Where the balance cannot follow twice as far, what is held already may still be said.
        """
        admitted = self.admitted
        is_covered = said_tokens <= admitted.covered_tokens
        if admitted.is_whole or said_tokens * GROW_AT < admitted.covered_tokens:
            return True
        if is_covered and monotonic_s() < self._grows_from_s:
            return True
        self._grows_from_s = monotonic_s() + GROW_AGAIN_S
        try:
            grown = self._context.run(admission.grow, admitted, said_tokens)
            if grown is None and not is_covered:
                exactly = min(said_tokens, admitted.output_limit)
                grown = self._context.run(
                    admission.cover, replace(admitted, covered_tokens=exactly)
                )
        except DatabaseUnavailable:
            # An answer outlives a restart of the database; what it says meanwhile is our risk.
            return True
        if grown is None:
            return is_covered
        self._opening.admitted = grown
        self._grows_from_s = 0.0
        return True

    def why_no_more(self) -> str:
        """The reason of an answer that ends because its hold could not grow."""
        try:
            return self._context.run(admission.why_no_more, self.admitted)
        except DatabaseUnavailable:
            return admission.BALANCE

    def finish(self, outcome: str, reason: str, tail: Tail) -> None:
        """Settles an answer that has come to its end."""
        usage, source = self._used(is_cut=False)
        self._context.run(self._opening.note_replaced)
        self._context.run(self._opening.note_finished, usage.completion_tokens)
        self._settle(outcome, reason, usage, source, tail=tail)

    def fail(self, code: str) -> None:
        """Settles a fault that is not the caller's.

        It costs nothing: a provider's within the allowance, our own ever.
        """
        usage, source = Usage(), NONE
        if self._opening.running is not None:
            usage, source = self._used(is_cut=False)
            self._opening.attempts[-1]["error"] = code
            if code in OUR_FAULTS:
                self._context.run(self._opening.note_undecided)
        self._settle(FAILED, code, usage, source)

    def cancel(self) -> None:
        """Settles a request whose caller has left: what was made until now is charged."""
        usage, source = Usage(), NONE
        if self._opening.running is not None:
            self._context.run(self._opening.note_undecided)
        if self._opening.is_asking:
            usage, source = self._used(is_cut=True)
        self._settle(CANCELLED, "client_left", usage, source)

    def _used(self, *, is_cut: bool) -> tuple[Usage, str]:
        """What was used; nothing, where that cannot be counted: no hold may wait for a count."""
        try:
            return self._counted(is_cut=is_cut)
        except Exception:
            request_id = self.admitted.id
            self._context.run(log.exception, "what request %s used cannot be counted", request_id)
            return Usage(), NONE

    def _counted(self, *, is_cut: bool) -> tuple[Usage, str]:
        admitted, candidate = self.admitted, self._opening.candidate
        choices = admitted.ask.choices
        limits = Limits(
            admitted.output_limit * choices,
            admitted.covered_tokens * choices,
            planning.calls_of(candidate, self._request),
        )
        # How much may have been made unseen is a question only where something is cut.
        pace = self._context.run(health.tokens_per_s, candidate.offer.id) if is_cut else None
        return self._tally.used(self._request, limits, is_cut=is_cut, tokens_per_s=pace)

    def _settle(
        self, outcome: str, reason: str, usage: Usage, source: str, *, tail: Tail | None = None
    ) -> None:
        """Settles once; later, if the database does not answer now."""
        if self.is_settled:
            return
        self.is_settled = True
        ending = self._ending(outcome, reason[:REASON_CHARACTERS_MAX], usage, source)
        # From the first content on the prices are those of whoever serves.
        admitted = self.admitted
        if admitted.ask.offer is not ending.offer:
            admitted = replace(admitted, ask=admission.with_offer(admitted.ask, ending.offer))

        def transcript(charge: Charge) -> bytes:
            self.usage = usage_object(usage, charge.total_nanos)
            return orjson.dumps([*self.said, *(tail() if tail else ())])

        settle = partial(admission.settle, transcript=transcript if tail else None)
        # What it will come to, as far as anybody can know before it is settled.
        charged_nanos, lost_nanos = ending.cost_nanos, 0
        try:
            charge = self._context.run(settle, admitted, ending)
            charged_nanos, lost_nanos = charge.total_nanos, charge.write_off_nanos
        except DatabaseUnavailable:
            log.warning("request %s will be settled when the database answers", admitted.id)
        counters.note_completion(
            ending.offer.provider_slug,
            outcome,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            duration_ms=ending.duration_ms,
            first_content_ms=ending.first_content_ms,
            charged_nanos=charged_nanos,
            upstream_cost_nanos=ending.upstream_cost_nanos,
            written_off_nanos=lost_nanos,
        )
        self.usage = usage_object(usage, charged_nanos)
        if self._keeping is not None:
            self._keeping.put(admitted.id, admitted.ask.at)

    def _ending(self, outcome: str, reason: str, usage: Usage, source: str) -> Ending:
        opening, tally, at = self._opening, self._tally, self.admitted.ask.at
        offer, running = opening.candidate.offer, opening.running
        self._context.run(opening.note_replaced)
        is_ours = reason in OUR_FAULTS
        cost = partial(
            pricing.cost_nanos,
            usage,
            at=at,
            calls=planning.calls_of(opening.candidate, self._request),
        )
        known = opening.costs_nanos or [0]
        costs = [*known[:-1], cost(card=offer.cost) or known[-1]]
        return Ending(
            model=opening.candidate.model.id,
            offer=offer,
            outcome=outcome,
            reason=reason,
            usage=usage,
            usage_source=source,
            cost_nanos=0 if is_ours else self._at_most(cost(card=offer.sale)),
            upstream_cost_nanos=sum(costs),
            attempts=[
                {**attempt, activity.UPSTREAM_COST: cost}
                for attempt, cost in zip(opening.attempts, costs, strict=False)
            ],
            duration_ms=tally.elapsed_ms(),
            first_content_ms=tally.first_content_ms,
            finish_reason=tally.finish_reason,
            error_code=reason if outcome == FAILED else None,
            upstream_id=(running.upstream.upstream_id or "")[:200] or None if running else None,
            # The daily allowance is for providers' faults; one of ours costs nothing ever.
            is_forgivable=outcome == FAILED and running is not None and not is_ours,
        )

    def _at_most(self, cost_nanos: int) -> int:
        """A cost within what the caller has named as the most; what is above it is ours."""
        most = self._request.max_cost_nanos
        return cost_nanos if most is None else min(cost_nanos, most)


def usage_object(usage: Usage, charge_nanos: int) -> dict[str, Any]:
    """`usage` as answers carry it: OpenAI's counts, and the amount charged in USD."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write_5m + usage.cache_write_1h,
            "audio_tokens": usage.input_audio,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": usage.output_audio,
        },
        "cost": float_usd(charge_nanos),
        "cost_details": {"charge": decimal_usd(charge_nanos), "currency": "USD"},
    }
