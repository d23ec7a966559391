"""The conductor of a request: resolve, rank, admit, open, relay, settle. Nothing else calls so
many.

Before the first content any fault moves on to the next offer, unseen by the caller. After it there
is
only an honest end: finished, or an error. However it ends, `settle` runs exactly once; the books'
side of it is admission's, the reasons are here.

    ended                                   charged                         outcome, reason
    with a finish reason                    its usage, or our estimate      finished, finish_reason
    with the client gone                    usage seen, or our estimate     cancelled, client_left
    by our total deadline, after content    our estimate                    stopped, total_deadline
    by a fault of the upstream or ours      nothing                         failed, its code
"""

import contextvars
import itertools
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from solrouter import config, process, tokens
from solrouter.chat import ChatRequest, Chunk, Usage
from solrouter.clock import monotonic_s, utcnow
from solrouter.errors import (
    BadRequest,
    ContextTooLong,
    Forbidden,
    ModelUnavailable,
    NoProviderAvailable,
    ShuttingDown,
    SolRouterError,
)
from solrouter.money import decimal_usd, float_usd
from solrouter.providers import ADAPTERS
from solrouter.providers.base import Deadlines, Upstream, UpstreamCall
from solrouter.providers.errors import (
    ProviderError,
    UpstreamBroken,
    UpstreamEmpty,
    UpstreamRefused,
    UpstreamTimedOut,
)
from solrouter.services import activity, admission, catalogue, pricing, routing
from solrouter.services.admission import CANCELLED, FAILED, FINISHED, Admitted, Ask, Ending
from solrouter.services.catalogue import Model, Resolution, Snapshot
from solrouter.services.keys import SCOPE_INFERENCE, Principal
from solrouter.services.limits import RateState
from solrouter.services.routing import Offer

log = logging.getLogger(__name__)

STOPPED = "stopped"
UPSTREAM, ESTIMATED, NONE = "upstream", "estimated", "none"
# A hold outlives the longest answer by this much, so that a live one never expires.
HOLD_MARGIN_S = 60
CONTEXT_CODES = frozenset(("context_length_exceeded",))


@dataclass(slots=True)
class _Tally:
    """What has been seen of an answer so far."""

    started_s: float
    usage: Usage | None = None
    output_bytes: int = 0
    finish_reason: str | None = None
    first_content_ms: int | None = None
    warnings: list[str] = field(default_factory=list)

    def note(self, chunk: Chunk) -> None:
        """Counts one chunk. Usage is the latest told, never a sum."""
        if chunk.usage is not None:
            self.usage = chunk.usage
        self.output_bytes += chunk.output_bytes
        self.warnings.extend(chunk.warnings)
        if chunk.has_content and self.first_content_ms is None:
            self.first_content_ms = self.elapsed_ms()
        if chunk.finish:
            choices = chunk.payload["choices"]
            self.finish_reason = next(
                (c["finish_reason"] for c in choices if c.get("finish_reason")), self.finish_reason
            )

    def elapsed_ms(self) -> int:
        """Milliseconds since the request came."""
        return int((monotonic_s() - self.started_s) * 1000)


@dataclass(slots=True)
class _Running:
    """The attempt that brought content: who serves, and what is still to come."""

    offer: Offer
    upstream: Upstream
    chunks: Iterator[Chunk]
    request: ChatRequest


class Completion:
    """An answer under way. Read `answer()` or `chunks()`, then `close()`, which settles once.

    `close` may be called at any moment and from any greenlet; before the end it means that the
    client has left.
    """

    def __init__(
        self, admitted: Admitted, resolution: Resolution, running: _Running, tally: _Tally,
        attempts: list[dict[str, Any]],
    ) -> None:  # fmt: skip
        self.id = activity.public_id(admitted.id)
        self.created = int(admitted.ask.at.timestamp())
        self.model = resolution.model.id
        self.output_limit = admitted.output_limit
        self.rates: tuple[RateState, ...] = admitted.rates
        self._admitted = admitted
        self._running = running
        self._tally = tally
        self._attempts = attempts
        self._warnings = [*resolution.warnings, *running.request.warnings]
        self._usage: dict[str, Any] | None = None
        self._settled = False
        # Settling needs the app's database, and a stream outlives the request that made it.
        self._context = contextvars.copy_context()

    def answer(self) -> dict[str, Any]:
        """The whole `chat.completion`, settled. For a request that is not streamed."""
        chunk = next(self._running.chunks)
        self._tally.note(chunk)
        self._finish()
        body = {
            **self._stamp("chat.completion"),
            **_without(chunk.payload),
            "usage": self._usage,
        }
        return self._told(body)

    def chunks(self) -> Iterator[dict[str, Any]]:
        """`chat.completion.chunk` objects in order; the last of them once settled.

        A fault after the first content is one more chunk, with `error` and `finish_reason:
        "error"`.
        """
        waiting: list[dict[str, Any]] = []
        try:
            for chunk in self._running.chunks:
                self._tally.note(chunk)
                if not chunk.payload.get("choices"):
                    continue
                if not chunk.finish:
                    yield from waiting
                    waiting.clear()
                    yield self._stamped(chunk.payload)
                    continue
                # The finish chunk waits for the usage, which many upstreams send after it.
                waiting.append(self._stamped(chunk.payload))
        except ProviderError as error:
            yield from waiting
            yield self._broken_off(error)
            return
        self._finish()
        yield from self._last_chunks(waiting)

    def close(self) -> None:
        """Lets go of the upstream, and settles if nothing has yet."""
        self._running.upstream.close()
        if not self._settled:
            usage, source = self._used()
            self._settle(CANCELLED, "client_left", usage=usage, source=source)

    def _last_chunks(self, waiting: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        if not waiting:
            return
        last = self._told(waiting.pop())
        yield from waiting
        if not self._running.request.include_usage:
            yield {**last, "usage": self._usage}
            return
        yield last
        yield {**self._stamp("chat.completion.chunk"), "choices": [], "usage": self._usage}

    def _finish(self) -> None:
        usage, source = self._used()
        reason = self._tally.finish_reason or "stop"
        self._settle(FINISHED, reason, usage=usage, source=source)

    def _broken_off(self, error: ProviderError) -> dict[str, Any]:
        """The last chunk of an answer that broke: an error, or `length` when time was up."""
        if isinstance(error, UpstreamTimedOut) and error.phase == "total":
            usage, source = self._used()
            self._settle(STOPPED, "total_deadline", usage=usage, source=source)
            return self._told({**self._end_chunk("length"), "usage": self._usage})
        self._attempts[-1]["error"] = error.code
        self._settle(FAILED, error.code, usage=Usage(), source=NONE, error_code=error.code)
        said = {
            "message": f"The provider failed in the middle of its answer: {error.message}",
            "type": "upstream_error",
            "code": error.code,
            "param": None,
            "metadata": {"provider": self._running.offer.provider_slug, "charged": "0"},
        }
        return {**self._end_chunk("error"), "error": said}

    def _end_chunk(self, finish_reason: str) -> dict[str, Any]:
        choice = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": finish_reason}
        return {**self._stamp("chat.completion.chunk"), "choices": [choice]}

    def _used(self) -> tuple[Usage, str]:
        """What the answer used: as the upstream says, else by our own count."""
        if self._tally.usage is not None:
            return self._tally.usage, UPSTREAM
        limit = self._admitted.output_limit * self._admitted.ask.choices
        output = min(tokens.estimate(self._tally.output_bytes), limit)
        prompt = tokens.estimate(self._running.request.prompt_bound)
        return Usage(input=prompt, output=output), ESTIMATED

    def _settle(
        self, outcome: str, reason: str, *, usage: Usage, source: str, error_code: str | None = None
    ) -> None:
        """Settles once. A database that does not answer leaves the hold to expire, uncharged."""
        if self._settled:
            return
        self._settled = True
        ending = self._ending(outcome, reason, usage=usage, source=source, error_code=error_code)
        try:
            charge = self._context.run(admission.settle, self._admitted, ending)
        except SolRouterError:
            log.exception("request %s could not be settled; its hold will expire", self.id)
            self._usage = usage_object(usage, 0)
            return
        self._usage = usage_object(usage, charge.total_nanos)

    def _ending(
        self, outcome: str, reason: str, *, usage: Usage, source: str, error_code: str | None
    ) -> Ending:
        offer, at = self._running.offer, self._admitted.ask.at
        return Ending(
            model=self.model,
            offer=offer,
            outcome=outcome,
            reason=reason,
            usage=usage,
            usage_source=source,
            cost_nanos=pricing.cost_nanos(usage, offer.sale, at=at),
            upstream_cost_nanos=pricing.cost_nanos(usage, offer.cost, at=at),
            attempts=self._attempts,
            duration_ms=self._tally.elapsed_ms(),
            first_content_ms=self._tally.first_content_ms,
            finish_reason=self._tally.finish_reason,
            error_code=error_code,
            upstream_id=(self._running.upstream.upstream_id or "")[:200] or None,
        )

    def _stamp(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def _stamped(self, payload: dict[str, Any]) -> dict[str, Any]:
        body = {**self._stamp("chat.completion.chunk"), **_without(payload)}
        if self._running.request.include_usage:
            body["usage"] = None
        return body

    def _told(self, body: dict[str, Any]) -> dict[str, Any]:
        warnings = list(dict.fromkeys((*self._warnings, *self._tally.warnings)))
        return {**body, "warnings": warnings} if warnings else body


def start(principal: Principal, request: ChatRequest) -> Completion:
    """Admits a request and opens an upstream that has begun to answer.

    Raises SolRouterError for whatever happens before the first content; then nothing was charged.
    """
    if process.is_draining():
        raise ShuttingDown("This server is restarting. Please try again.")
    principal.require(SCOPE_INFERENCE)
    tally = _Tally(monotonic_s())
    resolution, offers, admitted = _admitted(principal, request)
    attempts: list[dict[str, Any]] = []
    try:
        running = _first_content(resolution.model, offers, request, admitted, attempts)
    except SolRouterError as error:
        _settle_unserved(admitted, offers[0], error, attempts, tally)
        raise
    return Completion(admitted, resolution, running, tally, attempts)


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


def _admitted(
    principal: Principal, request: ChatRequest
) -> tuple[Resolution, list[Offer], Admitted]:
    """Ranks and admits; once more if the catalogue turned out to have changed."""
    snapshot = catalogue.current()
    try:
        return _admit(snapshot, principal, request)
    except admission.CatalogueChanged:
        return _admit(catalogue.reload(), principal, request)


def _admit(
    snapshot: Snapshot, principal: Principal, request: ChatRequest
) -> tuple[Resolution, list[Offer], Admitted]:
    resolution = catalogue.resolve(snapshot, request.model)
    model, at = resolution.model, utcnow()
    _require_allowed(principal, request.model, model)
    offers = routing.rank(model.offers, at=at)
    if not offers:
        raise ModelUnavailable(f"No provider can serve “{model.id}” right now.", param="model")
    most = model.output_tokens_max or model.context_tokens
    ask = Ask(
        principal=principal,
        requested_model=request.model,
        offer=offers[0],
        catalogue_version=snapshot.version,
        # Text beyond the context is refused by the upstream, so it cannot be billed.
        prompt_bound=min(request.prompt_bound, model.context_tokens),
        output_limit=min(request.output_limit or most, most),
        is_named=request.output_limit is not None,
        choices=request.choices,
        streamed=request.stream,
        worker_id=process.worker_id(),
        lifetime_s=int(config.current()["SOLROUTER_TOTAL_S"]) + HOLD_MARGIN_S,
        at=at,
    )
    return resolution, offers, admission.admit(ask)


def _require_allowed(principal: Principal, requested: str, model: Model) -> None:
    allowed = principal.models_allowed
    if allowed is not None and requested not in allowed and model.id not in allowed:
        raise Forbidden(
            f"This API key may not use the model “{requested}”.",
            code="model_not_allowed",
            metadata={"models_allowed": list(allowed)},
        )


def _first_content(
    model: Model,
    offers: list[Offer],
    request: ChatRequest,
    admitted: Admitted,
    attempts: list[dict[str, Any]],
) -> _Running:
    """Tries offers until one brings content. Raises BadRequest and NoProviderAvailable."""
    failure: ProviderError | None = None
    for offer in _payable(offers, admitted)[: config.current()["SOLROUTER_ATTEMPTS_MAX"]]:
        attempt: dict[str, Any] = {
            "provider": offer.provider_slug,
            "model": offer.upstream_model,
            "error": None,
        }
        attempts.append(attempt)
        began_s = monotonic_s()
        try:
            return _open(model, offer, request, admitted)
        except UpstreamRefused as error:
            attempt["error"] = error.code
            raise _callers_fault(error) from error
        except ProviderError as error:
            attempt["error"] = error.code
            failure = error
            log.warning("%s failed before content: %s", offer.provider_slug, error.code)
        finally:
            attempt["ms"] = int((monotonic_s() - began_s) * 1000)
    assert failure is not None
    raise _all_failed(failure, attempts) from failure


def _payable(offers: list[Offer], admitted: Admitted) -> list[Offer]:
    """The offers that the hold covers; a dearer fallback is skipped."""
    return [
        offer
        for offer in offers
        if admission.with_offer(admitted.ask, offer).cost_bound(admitted.output_limit)
        <= admitted.held_nanos
    ]


def _open(model: Model, offer: Offer, request: ChatRequest, admitted: Admitted) -> _Running:
    """Opens one offer and waits for its first content. Raises ProviderError."""
    request = _for_offer(request, offer)
    upstream = ADAPTERS[offer.kind].open(_call(model, offer, request, admitted))
    seen: list[Chunk] = []
    try:
        chunks = iter(upstream)
        for chunk in chunks:
            seen.append(chunk)
            if chunk.has_content or chunk.finish:
                return _Running(offer, upstream, itertools.chain(seen, chunks), request)
        raise UpstreamEmpty("The provider ended its answer without saying anything.")
    except BaseException as error:
        upstream.close()
        if isinstance(error, ProviderError) or not isinstance(error, Exception):
            raise
        log.exception("adapter %s failed", offer.kind)
        raise UpstreamBroken("The provider's answer could not be read.") from error


def _for_offer(request: ChatRequest, offer: Offer) -> ChatRequest:
    """Fields that we do not know go only to providers that take them; else the caller is told."""
    if not request.unknown:
        return request
    if offer.capabilities.get("passes_unknown_fields"):
        return replace(request, body={**request.body, **request.unknown})
    told = tuple(f"{name}: not known here, and not passed on" for name in request.unknown)
    return replace(request, warnings=(*request.warnings, *told))


def _call(model: Model, offer: Offer, request: ChatRequest, admitted: Admitted) -> UpstreamCall:
    settings = config.current()
    connection = catalogue.current().connections[offer.provider_slug]
    return UpstreamCall(
        request=request,
        provider=offer.provider_slug,
        upstream_model=offer.upstream_model,
        base_url=connection.base_url,
        api_key=connection.api_key,
        output_limit=admitted.output_limit,
        deadlines=Deadlines(
            connect_s=settings["SOLROUTER_CONNECT_S"],
            first_token_s=settings["SOLROUTER_FIRST_TOKEN_S"],
            between_chunks_s=settings["SOLROUTER_BETWEEN_CHUNKS_S"],
            total_s=settings["SOLROUTER_TOTAL_S"],
        ),
        capabilities=offer.capabilities,
        model_facts=model.facts,
    )


def _callers_fault(error: UpstreamRefused) -> BadRequest:
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


def _settle_unserved(
    admitted: Admitted,
    offer: Offer,
    error: SolRouterError,
    attempts: Iterable[dict[str, Any]],
    tally: _Tally,
) -> None:
    """A request that nobody served: a receipt that says why, and no charge."""
    ending = Ending(
        model=offer.model_id,
        offer=offer,
        outcome=FAILED,
        reason=error.code[:60],
        usage=Usage(),
        usage_source=NONE,
        cost_nanos=0,
        upstream_cost_nanos=0,
        attempts=list(attempts),
        duration_ms=tally.elapsed_ms(),
        error_code=error.code[:60],
    )
    try:
        admission.settle(admitted, ending)
    except SolRouterError:
        log.exception("request %s could not be released; its hold will expire", admitted.id)


def _without(payload: dict[str, Any]) -> dict[str, Any]:
    """The payload less what the conductor writes itself."""
    return {k: v for k, v in payload.items() if k not in ("id", "object", "created", "model")}
