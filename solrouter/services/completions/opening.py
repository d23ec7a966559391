"""From a plan to the first content: candidates are tried in turn, unseen by the caller.

First content is the point of no return: before it any fault of a provider moves on to the next
candidate, within ATTEMPTS and time that have names; a refusal of the request itself ends it at
once. While nothing comes, SILENCE does, so that the caller's line can be kept open.
"""

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from operator import itemgetter
from time import sleep
from typing import Any

from solrouter import config, counters, redaction
from solrouter.chat import SILENCE, ChatRequest, Chunk, Usage
from solrouter.clock import monotonic_s
from solrouter.errors import BadRequest, ContextTooLong, DatabaseUnavailable, NoProviderAvailable
from solrouter.interruptions import Wait
from solrouter.providers import ADAPTERS
from solrouter.providers.base import Deadlines, Upstream, UpstreamCall
from solrouter.providers.errors import (
    ProviderError,
    UpstreamBroken,
    UpstreamEmpty,
    UpstreamOverloaded,
    UpstreamRefused,
    UpstreamTimedOut,
)
from solrouter.providers.failures import writing
from solrouter.services import admission, catalogue, health, keepsakes, pricing, routing
from solrouter.services.admission import Admitted
from solrouter.services.completions.planning import Candidate, Plan, passes_unknown
from solrouter.services.completions.tally import Tally
from solrouter.services.routing import Offer

log = logging.getLogger(__name__)

CONTEXT_CODES = frozenset(("context_length_exceeded",))
# The longest Retry-After that is waited for, when nobody else is left to ask.
RETRY_AFTER_S_MAX = 5


@dataclass(slots=True)
class Running:
    """The attempt that brought content. `come` are the chunks until then, the last one first."""

    upstream: Upstream
    come: list[Chunk]
    chunks: Iterator[Chunk]
    first_content_ms: int


class Opening:
    """One request on its way to its first content: who was tried, and how it went.

    `is_asking` while somebody has been sent the request and has not failed.

    `admitted` may grow on the way, for a dearer candidate. `attempts` are what the receipt keeps,
    `costs_nanos` what each of them is known to have cost us.
    """

    def __init__(
        self,
        plan: Plan,
        request: ChatRequest,
        admitted: Admitted,
        wait: Wait,
        tally: Tally,
        *,
        quiet_s: float | None,
    ) -> None:
        self._tally = tally
        self.admitted = self._first = admitted
        self.is_asking = False
        self.attempts: list[dict[str, Any]] = []
        self.costs_nanos: list[int] = []
        self.candidate = plan.candidates[0]
        # How to wait for it: see `_patience_for`.
        self.patience: AbstractContextManager[None] = wait
        self._plan = plan
        self._request = request
        self._wait = wait
        self._quiet_s = quiet_s
        self._settings = config.current()
        self._began_s = self._asked_s = self._spoke_s = monotonic_s()
        self._upstream: Upstream | None = None
        # Whose replaced calls have no attempts of their own yet.
        self._unnoted: Upstream | None = None
        # How many candidates were asked: an attempt may be one of several calls to one of them.
        self._asked = 0
        self.running: Running | None = None

    def silences(self) -> Iterator[Chunk]:
        """SILENCE, now and then, until somebody has brought content.

        Raises BadRequest when the request is refused, NoProviderAvailable when everybody failed.
        """
        failure: ProviderError | None = None
        waiting = deque(self._plan.candidates)
        busy: list[tuple[int, Candidate]] = []
        while not self._is_spent():
            candidate = self._next_candidate(waiting)
            if candidate is None:
                if not busy:
                    break
                # Nobody else is left, and one of them has said when it will have time.
                pause_s, candidate = min(busy, key=itemgetter(0))
                busy.clear()
                yield from self._pause(pause_s)
                waiting.append(candidate)
                continue
            try:
                yield from self._attempt(candidate, is_last=not waiting)
                return
            except UpstreamRefused as error:
                if not _is_its_own(waiting, candidate, error):
                    raise callers_fault(error) from error
                failure = error
            except ProviderError as error:
                self._warn(candidate, error)
                failure = error
                if 0 < (error.retry_after_s or 0) <= RETRY_AFTER_S_MAX:
                    busy.append((error.retry_after_s or 0, candidate))
        assert failure is not None, "the first candidate is always asked"
        if isinstance(failure, UpstreamRefused):
            raise callers_fault(failure) from failure
        raise _all_failed(failure, self.attempts) from failure

    def _warn(self, candidate: Candidate, error: ProviderError) -> None:
        """A line for the operator, without what the provider repeats of the caller's words."""
        words = redaction.without_echo(error.detail or error.message, self._request.body)
        name, kind = candidate.offer.provider_slug, type(error).__name__
        log.warning("%s failed before content: %s: %s", name, kind, words)

    def close(self) -> None:
        """Lets go of whoever is being asked."""
        if self._upstream is not None:
            self._upstream.close()

    def note_fault(self, error: ProviderError) -> None:
        """Tells what we know of the offer's health that it has failed."""
        if isinstance(error, UpstreamOverloaded):
            self._note(health.OVERLOADED, retry_after_s=error.retry_after_s)
        elif not isinstance(error, UpstreamTimedOut):
            self._note(health.FAULT)
        else:
            # How long a whole answer may take is our own limit, and no fault of the provider.
            self._note(health.UNDECIDED if error.phase == "total" else health.STALL)

    def note_undecided(self) -> None:
        """Tells that an attempt has ended that says nothing of the offer's health."""
        self._note(health.UNDECIDED)

    def note_finished(self, output_tokens: int) -> None:
        """Tells that the offer has answered to the end."""
        assert self.running is not None, "only an answer can finish"
        first_content_ms = self.running.first_content_ms
        self._note(health.OK, first_content_ms=first_content_ms, output_tokens=output_tokens)

    def note_replaced(self) -> None:
        """Gives each call that was replaced among several an attempt of its own, with its cost.

        To be called when all have ended; they stand before whoever took their place.
        """
        upstream, self._unnoted = self._unnoted, None
        for one in upstream.replaced if upstream else ():
            attempt = {**self.attempts[-1], "error": one.error.code, "ms": one.ms}
            self.attempts.insert(-1, attempt)
            self.costs_nanos.insert(-1, self._cost_of(self.candidate.offer, one.usage))
            self.note_fault(one.error)

    def _note(self, outcome: health.Outcome, **how: Any) -> None:
        took_ms = int((monotonic_s() - self._asked_s) * 1000)
        offer = self.candidate.offer
        # Alive, it goes on.
        if outcome != health.ALIVE:
            counters.note_attempt(offer.provider_slug, outcome)
        health.note(offer.id, outcome, duration_ms=took_ms, **how)

    def _is_spent(self) -> bool:
        """Whether so many have been asked, or for so long, that it ends here."""
        if not self.attempts:
            return False
        if self._asked >= self._settings["SOLROUTER_ATTEMPTS_MAX"]:
            return True
        return monotonic_s() - self._began_s > float(self._settings["SOLROUTER_FAILOVER_S"])

    def _next_candidate(self, waiting: deque[Candidate]) -> Candidate | None:
        """Who is asked next; None when everybody has been."""
        while waiting:
            candidate = waiting.popleft()
            if self._may_open(candidate, is_last=not waiting):
                return candidate
        # All are down or too dear: the first, which is payable, after all.
        return None if self.attempts else self._plan.candidates[0]

    def _may_open(self, candidate: Candidate, *, is_last: bool) -> bool:
        """Whether a candidate may be asked: the hold pays for it, and it is not known to be down.

        A hold that does not is raised first, for a dearer one that the caller allowed.
        """
        is_first = candidate is self._plan.candidates[0] and not self.attempts
        if not is_first and not self._is_covered(candidate):
            return False
        is_down = candidate.why == routing.COOLING and not is_last
        return not is_down or health.may_try(candidate.offer.id)

    def _is_covered(self, candidate: Candidate) -> bool:
        """Turns what was admitted to another candidate; False where the balance cannot follow.

        Each begins from what was admitted at first: its own limits and prices count, and nothing
        of those who were asked before it but the money that is held.
        """
        ask = self._plan.ask_for(candidate)
        output_limit = min(self._first.output_limit, ask.output_limit)
        wanted = replace(
            self._first,
            ask=ask,
            output_limit=output_limit,
            covered_tokens=min(self._first.covered_tokens, output_limit),
            held_nanos=self.admitted.held_nanos,
        )
        try:
            admitted = admission.cover(wanted)
        except DatabaseUnavailable:
            return False
        self.admitted = admitted or self.admitted
        return admitted is not None

    def _attempt(self, candidate: Candidate, *, is_last: bool) -> Iterator[Chunk]:
        offer = candidate.offer
        self.candidate = candidate
        attempt: dict[str, Any] = {
            "provider": offer.provider_slug,
            "model": offer.upstream_model,
            "why": candidate.why,
            "error": None,
        }
        self.attempts.append(attempt)
        self.costs_nanos.append(0)
        self._asked += 1
        self._asked_s = monotonic_s()
        try:
            yield from self._open(candidate, is_last=is_last)
        except ProviderError as error:
            attempt["error"] = error.code
            self.note_replaced()
            if isinstance(error, UpstreamRefused):
                self.note_undecided()
            else:
                self.note_fault(error)
            raise
        except BaseException:
            self.note_undecided()
            raise
        finally:
            attempt["ms"] = int((monotonic_s() - self._asked_s) * 1000)
        if candidate.why == routing.COOLING:
            # It serves again: nobody else need wait until this answer is over.
            self._note(health.ALIVE)

    def _open(self, candidate: Candidate, *, is_last: bool) -> Iterator[Chunk]:
        """Opens one candidate and waits for its first content. Raises ProviderError."""
        offer = candidate.offer
        request = for_offer(self._request, offer)
        if not self.admitted.is_whole:
            # A hold that must grow ahead of the output has to see it.
            request = replace(request, stream=True)
        patience = self.patience = self._patience_for(offer)
        with patience:
            call = self._call(candidate, request, is_last=is_last)
            with writing(offer.provider_slug):
                upstream = self._upstream = self._unnoted = ADAPTERS[offer.kind].open(call)
        self.is_asking = True
        self._tally.silent_s = 0.0
        seen: list[Chunk] = []
        try:
            chunks = iter(upstream)
            while chunk := self._waited_for(chunks):
                if chunk is not SILENCE:
                    seen.append(chunk)
                if chunk.has_content or chunk.finish:
                    first_content_ms = int((monotonic_s() - self._asked_s) * 1000)
                    self.running = Running(upstream, seen[::-1], chunks, first_content_ms)
                    return
                if chunk is SILENCE or self._is_quiet():
                    yield self._silence()
            raise UpstreamEmpty("The provider ended its answer without saying anything.")
        except BaseException as error:
            upstream.close()
            self.is_asking = not isinstance(error, Exception)
            self.costs_nanos[-1] = self._cost(offer, upstream, seen)
            if isinstance(error, ProviderError) or not isinstance(error, Exception):
                raise
            log.exception("the adapter %s failed", offer.kind)
            raise UpstreamBroken("The provider's answer could not be read.") from error

    def pull(self, running: Running) -> Chunk | None:
        """The next chunk of an answer that has brought content; None at its end.

        A time in which nothing came counts as silence of the upstream. What comes ends it.
        """
        if running.come:
            return running.come.pop()
        began_s = monotonic_s()
        chunk: Chunk | None = SILENCE
        try:
            with self.patience:
                chunk = next(running.chunks, None)
        finally:
            if chunk is SILENCE:
                self._tally.silent_s += monotonic_s() - began_s
        return chunk

    def _waited_for(self, chunks: Iterator[Chunk]) -> Chunk | None:
        """The next of the chunks before content: until that is there, all of it is silence."""
        began_s = monotonic_s()
        try:
            with self.patience:
                return next(chunks, None)
        finally:
            self._tally.silent_s += monotonic_s() - began_s

    def _cost(self, offer: Offer, upstream: Upstream, seen: Iterable[Chunk]) -> int:
        """What an attempt that brought no content has cost us, as far as it has told."""
        told = [chunk.usage for chunk in seen if chunk.usage is not None]
        return self._cost_of(offer, told[-1] if told else upstream.told)

    def _cost_of(self, offer: Offer, usage: Usage | None) -> int:
        if usage is None:
            return 0
        return pricing.cost_nanos(usage, offer.cost, at=self.admitted.ask.at)

    def _patience_for(self, offer: Offer) -> AbstractContextManager[None]:
        """How to wait for this offer: ready to be called away, unless leaving helps nobody.

        Where a cancelled call is billed to its end, and the account has used up its allowance, the
        answer is read on without its client.
        """
        account_id = self.admitted.ask.principal.account_id
        if offer.bills_after_cancel and admission.allowance_is_spent(account_id):
            return nullcontext()
        return self._wait

    def _call(self, candidate: Candidate, request: ChatRequest, *, is_last: bool) -> UpstreamCall:
        offer, settings = candidate.offer, self._settings
        connection = catalogue.current().connections[offer.provider_slug]
        named = {
            "connect_s": settings["SOLROUTER_CONNECT_S"],
            "first_token_s": settings["SOLROUTER_FIRST_TOKEN_S"],
            "between_chunks_s": settings["SOLROUTER_BETWEEN_CHUNKS_S"],
            "pings_s": settings["SOLROUTER_PINGS_S"],
            "total_s": settings["SOLROUTER_TOTAL_S"],
            **offer.deadlines,
        }
        # What is left of the whole: attempts share one deadline, and one hold.
        passed_s = monotonic_s() - self._began_s
        left_s = min(named.pop("total_s"), settings["SOLROUTER_TOTAL_S"]) - passed_s
        if not request.stream and not is_last:
            # In one piece nothing is seen before the end, so that is the first content.
            left_s = min(left_s, named["first_token_s"])
        return UpstreamCall(
            request=request,
            provider=offer.provider_slug,
            upstream_model=offer.upstream_model,
            base_url=connection.base_url,
            api_key=connection.api_key,
            output_limit=self.admitted.output_limit,
            deadlines=Deadlines(**named, total_s=max(left_s, 0.1)),
            capabilities=offer.capabilities,
            model_facts=candidate.model.facts,
            quiet_s=self._quiet_s,
            # What must be remembered, or put together, has to come word by word.
            allows_runs=self._may_run(),
            shelf=keepsakes.shelf_of(self.admitted.ask.principal.account_id, self._wait.aside),
        )

    def _may_run(self) -> bool:
        asked = self._request
        ask = self.admitted.ask
        is_remembered = ask.repeat is not None or ask.principal.content_days is not None
        return asked.stream and asked.choices == 1 and not is_remembered

    def _pause(self, seconds: float) -> Iterator[Chunk]:
        """Waits, ready to be called away."""
        until_s = monotonic_s() + seconds
        while (left_s := until_s - monotonic_s()) > 0:
            with self._wait:
                sleep(left_s if self._quiet_s is None else min(left_s, self._quiet_s))
            if self._is_quiet():
                yield self._silence()

    def _is_quiet(self) -> bool:
        return self._quiet_s is not None and monotonic_s() - self._spoke_s >= self._quiet_s

    def _silence(self) -> Chunk:
        self._spoke_s = monotonic_s()
        return SILENCE


def for_offer(request: ChatRequest, offer: Offer) -> ChatRequest:
    """The request as this provider is to see it: unknown fields only where they are taken."""
    if request.unknown and passes_unknown(offer.capabilities):
        return replace(request, body={**request.body, **request.unknown})
    return request


def _is_its_own(waiting: Iterable[Candidate], candidate: Candidate, error: UpstreamRefused) -> bool:
    """Whether others who wait may take what this candidate refused.

    Its dialect could not say it, so nothing was sent; or the prompt was too long for it alone.
    """
    if error.status is None:
        return any(True for _ in waiting)
    if error.upstream_code not in CONTEXT_CODES:
        return False
    return any(other.context_tokens > candidate.context_tokens for other in waiting)


def callers_fault(error: UpstreamRefused) -> BadRequest:
    """The upstream's refusal in our words: the request is wrong wherever it is sent."""
    kind = ContextTooLong if error.upstream_code in CONTEXT_CODES else BadRequest
    return kind(error.message, code=error.upstream_code or kind.code, param=error.param)


def _all_failed(error: ProviderError, attempts: list[dict[str, Any]]) -> NoProviderAvailable:
    last = attempts[-1]["provider"]
    return NoProviderAvailable(
        f"The provider {last} failed: {error.message} Try again, or try an equivalent model "
        "from another provider.",
        code=error.code,
        retry_after_s=error.retry_after_s,
        metadata={"provider": last, "upstream_status": error.status, "attempts": attempts},
    )
