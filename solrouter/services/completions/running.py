"""An answer under way: relayed as it comes, metered, and settled once, however it ends."""

import contextvars
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from solrouter.assembly import Assembly
from solrouter.chat import CHAT_COMPLETION, CHAT_COMPLETION_CHUNK, ChatRequest, Chunk, Usage
from solrouter.clock import monotonic_s
from solrouter.errors import (
    DatabaseUnavailable,
    NoProviderAvailable,
    ShuttingDown,
)
from solrouter.interruptions import ClientLeft, Interruption, ServerStopping, Wait
from solrouter.money import decimal_usd, float_usd
from solrouter.providers.base import Upstream
from solrouter.providers.errors import ProviderError, UpstreamBroken, UpstreamTimedOut
from solrouter.services import activity, admission, pricing
from solrouter.services.admission import CANCELLED, FAILED, FINISHED, STOPPED, Admitted, Ending
from solrouter.services.billing import Charge
from solrouter.services.catalogue import Resolution
from solrouter.services.completions.tally import Tally
from solrouter.services.limits import RateState
from solrouter.services.routing import Offer

log = logging.getLogger(__name__)

# The hold grows once this share of what it covers has been said, so that it stays ahead.
GROW_AT = 2
# How long to wait before asking again for a hold that the database could not take.
GROW_AGAIN_S = 2.0
# The last payloads of an answer, which are known once it is settled.
Tail = Callable[[], Iterable[dict[str, Any]]]
FAULT = "The provider failed in the middle of its answer: "
STOPPING = "This server is restarting and could not finish the answer. Please try again."


@dataclass(slots=True)
class Running:
    """The attempt that brought content: who serves, and what is still to come."""

    offer: Offer
    upstream: Upstream
    chunks: Iterator[Chunk]
    request: ChatRequest
    patience: AbstractContextManager[None]


class _OutOfMoney(Exception):
    """The hold could not grow: the answer ends here, as if it had reached its limit."""


class Completion:
    """An answer under way. Read `answer()` or `chunks()`, then `close()`, which settles once.

    `close` before the end means that the client has left.
    """

    def __init__(
        self,
        *,
        admitted: Admitted,
        resolution: Resolution,
        running: Running,
        tally: Tally,
        attempts: list[dict[str, Any]],
        wait: Wait,
    ) -> None:
        self.id = activity.public_id(admitted.id)
        self.created = int(admitted.ask.at.timestamp())
        self.model = resolution.model.id
        self.output_limit = admitted.output_limit
        self.rates: tuple[RateState, ...] = admitted.rates
        self._admitted = admitted
        self._running = running
        self._tally = tally
        self._attempts = attempts
        self._wait = wait
        self._warnings = [*resolution.warnings, *running.request.warnings]
        self._usage: dict[str, Any] | None = None
        self._said: list[dict[str, Any]] = []
        self._keeps_what_it_says = admitted.ask.repeat is not None
        self._settled = False
        self._stopped_by: str | None = None
        self._grows_from_s = 0.0
        # Settling needs the app's database, and a stream outlives the request that made it.
        self._context = contextvars.copy_context()

    def answer(self) -> dict[str, Any]:
        """The whole `chat.completion`, settled. For a request that is not streamed.

        Raises NoProviderAvailable when the upstream fails on the way, ShuttingDown and ClientLeft.
        """
        try:
            payload = self._whole()
        except ProviderError as error:
            if not self._is_out_of_time(error):
                self._fail(error.code)
                raise self._failed_answer(error) from error
            payload = self._cut_short("total_deadline")
        except _OutOfMoney:
            payload = self._cut_short("balance")
        except ServerStopping as stopping:
            self._fail(ShuttingDown.code)
            raise ShuttingDown(STOPPING) from stopping
        self._finish(lambda: [self._body(payload)])
        return self._body(payload)

    def chunks(self) -> Iterator[dict[str, Any]]:
        """`chat.completion.chunk` objects in order; the last of them once settled.

        A fault after the first content is one more chunk, with `error` and the finish reason
        `error`.
        """
        waiting: list[dict[str, Any]] = []
        try:
            yield from self._relayed(waiting)
        except ProviderError as error:
            yield from waiting
            if not self._is_out_of_time(error):
                yield self._error_chunk(error.code, FAULT + error.message, "upstream_error")
                return
            waiting = [self._stopped_chunk("total_deadline")]
        except _OutOfMoney:
            yield from waiting
            waiting = [self._stopped_chunk("balance")]
        except ServerStopping:
            yield from waiting
            yield self._error_chunk(ShuttingDown.code, STOPPING, "service_unavailable")
            return
        except Interruption:
            self.close()
            return
        self._finish(lambda: self._last_chunks(waiting))
        yield from self._last_chunks(waiting)

    def close(self) -> None:
        """Lets go of the upstream, and settles if nothing has yet."""
        if self._must_be_read_on():
            self._read_on()
        self._running.upstream.close()
        usage, source = self._used(is_cut=True)
        self._settle(CANCELLED, "client_left", usage=usage, source=source)

    def _must_be_read_on(self) -> bool:
        """Whether leaving now would cost us the whole answer, once too often today."""
        return not self._settled and self._running.patience is not self._wait

    def _read_on(self) -> None:
        """Reads the answer of a client who left to its end, for the usage that we are billed by."""
        try:
            for chunk in self._running.chunks:
                self._tally.note(chunk)
        except ProviderError:
            log.info("request %s broke off after its client had left", self.id)

    def _next(self) -> Chunk | None:
        chunk = self._pulled()
        if chunk is not None:
            self._tally.note(chunk)
            self._keep_covered()
        return chunk

    def _pulled(self) -> Chunk | None:
        try:
            with self._running.patience:
                chunk = next(self._running.chunks, None)
            if self._wait.has_left:
                if chunk is not None:
                    self._tally.note(chunk)
                raise ClientLeft
            return chunk
        except ProviderError:
            raise
        except Exception as error:
            log.exception("the adapter %s failed", self._running.offer.kind)
            raise UpstreamBroken("The provider's answer could not be read.") from error

    def _relayed(self, waiting: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Chunks as they come. The finish chunk stays in `waiting`, since usage may follow it."""
        while chunk := self._next():
            if not chunk.payload.get("choices"):
                continue
            if chunk.finish:
                waiting.append(self._stamped(chunk.payload))
                continue
            yield from self._saying(waiting)
            waiting.clear()
            yield from self._saying([self._stamped(chunk.payload)])

    def _saying(self, chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Remembers what is sent, where a repetition may ask for it."""
        if self._keeps_what_it_says:
            self._said.extend(chunks)
        return chunks

    def _whole(self) -> dict[str, Any]:
        """What the upstream answered, put together if it came as a stream."""
        if self._admitted.is_whole:
            chunk = self._next()
            assert chunk is not None, "the first content was there"
            return chunk.payload
        self._assembly = Assembly()
        while chunk := self._next():
            self._assembly.take(chunk.payload)
        return self._assembly.payload()

    def _keep_covered(self) -> None:
        """Grows the hold ahead of the output. Raises _OutOfMoney when the balance cannot follow."""
        admitted = self._admitted
        said = self._tally.output_tokens * GROW_AT
        if admitted.is_whole or said < admitted.covered_tokens * admitted.ask.choices:
            return
        if monotonic_s() < self._grows_from_s:
            return
        try:
            grown = self._context.run(admission.grow, admitted)
        except DatabaseUnavailable:
            # An answer outlives a restart of the database; what it says meanwhile is our risk.
            self._grows_from_s = monotonic_s() + GROW_AGAIN_S
            return
        if grown is None:
            self._running.upstream.close()
            raise _OutOfMoney
        self._admitted = grown

    def _finish(self, tail: Tail) -> None:
        if self._settled:
            return
        usage, source = self._used(is_cut=False)
        outcome, reason = FINISHED, self._tally.finish_reason or "stop"
        if self._stopped_by is not None:
            outcome, reason = STOPPED, self._stopped_by
        self._settle(outcome, reason, usage=usage, source=source, tail=tail)

    def _fail(self, code: str) -> None:
        """Ends it by a fault that is not the caller's: nothing is charged, within the allowance."""
        self._running.upstream.close()
        self._attempts[-1]["error"] = code
        usage, source = self._used(is_cut=False)
        self._settle(FAILED, code, usage=usage, source=source, error_code=code)

    def _stop(self, reason: str) -> None:
        """Ends it by a limit of ours: what was served is charged."""
        self._running.upstream.close()
        self._tally.finish_reason = "length"
        self._stopped_by = reason

    def _is_out_of_time(self, error: ProviderError) -> bool:
        """Whether our own total deadline cut an answer that was being shown."""
        shown = self._admitted.ask.streamed or not self._admitted.is_whole
        return shown and isinstance(error, UpstreamTimedOut) and error.phase == "total"

    def _stopped_chunk(self, reason: str) -> dict[str, Any]:
        self._stop(reason)
        return self._end_chunk("length")

    def _cut_short(self, reason: str) -> dict[str, Any]:
        self._stop(reason)
        payload = self._assembly.payload()
        for choice in payload["choices"]:
            choice["finish_reason"] = choice["finish_reason"] or "length"
        return payload

    def _error_chunk(self, code: str, message: str, kind: str) -> dict[str, Any]:
        self._fail(code)
        provider = self._running.offer.provider_slug
        metadata = {"provider": provider, "charged": "0"}
        error = {"message": message, "type": kind, "code": code, "param": None}
        return {**self._end_chunk("error"), "error": {**error, "metadata": metadata}}

    def _failed_answer(self, error: ProviderError) -> NoProviderAvailable:
        provider = self._running.offer.provider_slug
        metadata = {"provider": provider, "attempts": self._attempts}
        return NoProviderAvailable(FAULT + error.message, code=error.code, metadata=metadata)

    def _end_chunk(self, finish_reason: str) -> dict[str, Any]:
        choice = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": finish_reason}
        return {**self._stamp(CHAT_COMPLETION_CHUNK), "choices": [choice]}

    def _last_chunks(self, waiting: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        if not waiting:
            return
        last = self._told(waiting[-1])
        yield from waiting[:-1]
        if not self._running.request.include_usage:
            yield {**last, "usage": self._usage}
            return
        yield last
        yield {**self._stamp(CHAT_COMPLETION_CHUNK), "choices": [], "usage": self._usage}

    def _used(self, *, is_cut: bool) -> tuple[Usage, str]:
        output_max = self._admitted.output_limit * self._admitted.ask.choices
        return self._tally.used(self._running.request, output_max=output_max, is_cut=is_cut)

    def _settle(
        self,
        outcome: str,
        reason: str,
        *,
        usage: Usage,
        source: str,
        error_code: str | None = None,
        tail: Tail | None = None,
    ) -> None:
        """Settles once; later, if the database does not answer now."""
        if self._settled:
            return
        ending = self._ending(outcome, reason, usage=usage, source=source, error_code=error_code)
        self._settled = True

        def transcript(charge: Charge) -> bytes:
            self._usage = usage_object(usage, charge.total_nanos)
            return orjson.dumps([*self._said, *(tail() if tail else ())])

        settle = partial(admission.settle, transcript=transcript if tail else None)
        # What it will come to, as far as anybody can know before it is settled.
        charged_nanos = ending.cost_nanos
        try:
            charged_nanos = self._context.run(settle, self._admitted, ending).total_nanos
        except DatabaseUnavailable:
            log.warning("request %s will be settled when the database answers", self.id)
        self._usage = usage_object(usage, charged_nanos)

    def _ending(
        self, outcome: str, reason: str, *, usage: Usage, source: str, error_code: str | None
    ) -> Ending:
        offer, at = self._running.offer, self._admitted.ask.at
        return Ending(
            model=self.model,
            offer=offer,
            outcome=outcome,
            reason=reason[:60],
            usage=usage,
            usage_source=source,
            cost_nanos=(
                0 if reason == ShuttingDown.code else pricing.cost_nanos(usage, offer.sale, at=at)
            ),
            upstream_cost_nanos=pricing.cost_nanos(usage, offer.cost, at=at),
            attempts=self._attempts,
            duration_ms=self._tally.elapsed_ms(),
            first_content_ms=self._tally.first_content_ms,
            finish_reason=self._tally.finish_reason,
            error_code=error_code,
            # The daily allowance is for providers' faults; a restart of ours costs nothing ever.
            is_forgivable=outcome == FAILED and reason != ShuttingDown.code,
            upstream_id=(self._running.upstream.upstream_id or "")[:200] or None,
        )

    def _body(self, payload: dict[str, Any]) -> dict[str, Any]:
        return self._told({**self._stamp(CHAT_COMPLETION), **_own(payload), "usage": self._usage})

    def _stamp(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def _stamped(self, payload: dict[str, Any]) -> dict[str, Any]:
        body = {**self._stamp(CHAT_COMPLETION_CHUNK), **_own(payload)}
        if self._running.request.include_usage:
            body["usage"] = None
        return body

    def _told(self, body: dict[str, Any]) -> dict[str, Any]:
        warnings = list(dict.fromkeys((*self._warnings, *self._tally.warnings)))
        return {**body, "warnings": warnings} if warnings else body


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


def _own(payload: dict[str, Any]) -> dict[str, Any]:
    """The payload less what the conductor writes itself."""
    return {k: v for k, v in payload.items() if k not in ("id", "object", "created", "model")}
