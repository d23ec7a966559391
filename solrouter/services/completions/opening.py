"""From a request to its first content: what it means, what it may cost, who answers."""

import itertools
import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

from solrouter import config, process, tokens
from solrouter.chat import ChatRequest, Chunk, Usage
from solrouter.clock import monotonic_s, utcnow
from solrouter.errors import (
    BadRequest,
    ContextTooLong,
    DatabaseUnavailable,
    ExceedsLimit,
    Forbidden,
    InsufficientCredit,
    KeyLimitReached,
    ModelRetired,
    ModelUnavailable,
    NoProviderAvailable,
    ShuttingDown,
    SolRouterError,
    Unavailable,
    UnknownModel,
)
from solrouter.interruptions import Interruption, ServerStopping, Wait
from solrouter.providers import ADAPTERS
from solrouter.providers.base import Deadlines, UpstreamCall
from solrouter.providers.errors import (
    ProviderError,
    UpstreamBroken,
    UpstreamEmpty,
    UpstreamRefused,
)
from solrouter.services import admission, catalogue, pricing, routing
from solrouter.services.admission import CANCELLED, FAILED, Admitted, Ask, Ending
from solrouter.services.catalogue import Model, Resolution, Snapshot
from solrouter.services.completions.running import Completion, Running
from solrouter.services.completions.tally import NONE, Tally
from solrouter.services.keys import SCOPE_INFERENCE, Principal
from solrouter.services.repeats import Repeat
from solrouter.services.routing import Offer

log = logging.getLogger(__name__)

# A hold outlives the longest answer by this much, so that a live one never expires.
HOLD_MARGIN_S = 60
# Other vendors' tokenizers make up to this much of our count of a prompt.
COUNT_MARGIN_PERCENT = 150
CATALOGUE_TRIES_MAX = 4
STALE = (admission.CatalogueChanged, UnknownModel, ModelUnavailable, ModelRetired)
CONTEXT_CODES = frozenset(("context_length_exceeded",))
STOPPING = "This server is restarting. Please try again."


def start(
    principal: Principal, request: ChatRequest, wait: Wait, repeat: Repeat | None = None
) -> Completion:
    """Admits a request and opens an upstream that has begun to answer.

    Raises SolRouterError for whatever happens before the first content; then nothing was charged.
    Raises ClientLeft when `wait` says so; then what was made until then was charged. Raises
    Answered when `repeat` names a request that has been answered.
    """
    if process.is_draining():
        raise ShuttingDown(STOPPING)
    principal.require(SCOPE_INFERENCE)
    tally = Tally.begin()
    resolution, offers, admitted = _admitted(principal, request, repeat)
    opening = _Opening(resolution.model, request, admitted, tally, wait)
    try:
        running = opening.first_content(offers)
    except SolRouterError as error:
        opening.settle(FAILED, error.code, offers[0])
        raise
    except ServerStopping as stopping:
        opening.settle(FAILED, ShuttingDown.code, offers[0])
        raise ShuttingDown(STOPPING) from stopping
    except Interruption:
        opening.settle(CANCELLED, "client_left", opening.offer or offers[0])
        raise
    except Exception:
        opening.settle(FAILED, SolRouterError.code, offers[0])
        raise
    # From here on the prices are those of the offer that serves.
    admitted = replace(admitted, ask=admission.with_offer(admitted.ask, running.offer))
    return Completion(
        admitted=admitted,
        resolution=resolution,
        running=running,
        tally=tally,
        attempts=opening.attempts,
        wait=wait,
    )


class _Opening:
    """One request on its way to its first content: who was tried, and how it went."""

    def __init__(
        self, model: Model, request: ChatRequest, admitted: Admitted, tally: Tally, wait: Wait
    ) -> None:
        self.attempts: list[dict[str, Any]] = []
        self.offer: Offer | None = None
        self._model = model
        self._request = request
        self._admitted = admitted
        self._tally = tally
        self._wait = wait

    def first_content(self, offers: list[Offer]) -> Running:
        """Tries offers until one brings content. Raises BadRequest and NoProviderAvailable."""
        failure: ProviderError | None = None
        most = config.current()["SOLROUTER_ATTEMPTS_MAX"]
        for offer in self._payable(offers)[:most]:
            self.offer = offer
            attempt: dict[str, Any] = {
                "provider": offer.provider_slug,
                "model": offer.upstream_model,
                "error": None,
            }
            self.attempts.append(attempt)
            began_s = monotonic_s()
            try:
                return self._open(offer)
            except UpstreamRefused as error:
                attempt["error"] = error.code
                raise _callers_fault(error) from error
            except ProviderError as error:
                attempt["error"] = error.code
                failure = error
                log.warning("%s failed before content: %s", offer.provider_slug, error.code)
            finally:
                attempt["ms"] = int((monotonic_s() - began_s) * 1000)
        assert failure is not None, "the first offer is always payable"
        raise _all_failed(failure, self.attempts) from failure

    def settle(self, outcome: str, reason: str, offer: Offer) -> None:
        """The receipt of a request that showed nothing; only one that was cancelled costs."""
        usage, source = Usage(), NONE
        if outcome == CANCELLED:
            output_max = self._admitted.output_limit * self._request.choices
            usage, source = self._tally.used(self._request, output_max=output_max, is_cut=True)
        at = self._admitted.ask.at
        ending = Ending(
            model=offer.model_id,
            offer=offer,
            outcome=outcome,
            reason=reason[:60],
            usage=usage,
            usage_source=source,
            cost_nanos=pricing.cost_nanos(usage, offer.sale, at=at),
            upstream_cost_nanos=pricing.cost_nanos(usage, offer.cost, at=at),
            attempts=self.attempts,
            duration_ms=self._tally.elapsed_ms(),
            error_code=reason[:60] if outcome == FAILED else None,
        )
        try:
            admission.settle(self._admitted, ending)
        except DatabaseUnavailable:
            log.warning("request %s will be settled when the database answers", self._admitted.id)

    def _payable(self, offers: list[Offer]) -> list[Offer]:
        """The offers that the hold covers; a dearer fallback is skipped."""
        covered, ask = self._admitted.covered_tokens, self._admitted.ask
        held = self._admitted.held_nanos
        return [o for o in offers if admission.with_offer(ask, o).cost_bound(covered) <= held]

    def _open(self, offer: Offer) -> Running:
        """Opens one offer and waits for its first content. Raises ProviderError."""
        request = _for_offer(self._request, offer)
        upstream_request = request
        if not self._admitted.is_whole:
            # The hold must be able to grow ahead of the output, so the output must be seen.
            upstream_request = replace(request, stream=True)
        call = self._call(offer, upstream_request)
        patience = self._patience(offer)
        with patience:
            upstream = ADAPTERS[offer.kind].open(call)
        seen: list[Chunk] = []
        try:
            chunks = iter(upstream)
            while chunk := _next(chunks, patience):
                seen.append(chunk)
                if chunk.has_content or chunk.finish:
                    chain = itertools.chain(seen, chunks)
                    return Running(offer, upstream, chain, request, patience)
            raise UpstreamEmpty("The provider ended its answer without saying anything.")
        except BaseException as error:
            upstream.close()
            if isinstance(error, ProviderError) or not isinstance(error, Exception):
                raise
            log.exception("the adapter %s failed", offer.kind)
            raise UpstreamBroken("The provider's answer could not be read.") from error

    def _patience(self, offer: Offer) -> AbstractContextManager[None]:
        """How to wait for this offer: ready to be called away, unless leaving helps nobody.

        Where a cancelled call is billed to its end, and the account has used up its allowance, the
        answer is read on without its client.
        """
        account_id = self._admitted.ask.principal.account_id
        if offer.bills_after_cancel and admission.allowance_is_spent(account_id):
            return nullcontext()
        return self._wait

    def _call(self, offer: Offer, request: ChatRequest) -> UpstreamCall:
        settings = config.current()
        connection = catalogue.current().connections[offer.provider_slug]
        return UpstreamCall(
            request=request,
            provider=offer.provider_slug,
            upstream_model=offer.upstream_model,
            base_url=connection.base_url,
            api_key=connection.api_key,
            output_limit=self._admitted.output_limit,
            deadlines=Deadlines(
                connect_s=settings["SOLROUTER_CONNECT_S"],
                first_token_s=settings["SOLROUTER_FIRST_TOKEN_S"],
                between_chunks_s=settings["SOLROUTER_BETWEEN_CHUNKS_S"],
                # What is left of the whole: attempts share one deadline, and one hold.
                total_s=max(settings["SOLROUTER_TOTAL_S"] - self._tally.elapsed_ms() / 1000, 0.1),
            ),
            capabilities=offer.capabilities,
            model_facts=self._model.facts,
        )


def _next(chunks: Iterator[Chunk], patience: AbstractContextManager[None]) -> Chunk | None:
    with patience:
        return next(chunks, None)


def _admitted(
    principal: Principal, request: ChatRequest, repeat: Repeat | None
) -> tuple[Resolution, list[Offer], Admitted]:
    """Ranks and admits; anew whenever the catalogue turns out to have changed."""
    snapshot = catalogue.current()
    for _ in range(CATALOGUE_TRIES_MAX):
        try:
            return _admit(snapshot, principal, request, repeat)
        except STALE as error:
            # What memory does not know may just have been added.
            newer = catalogue.fresh()
            if newer is snapshot and not isinstance(error, admission.CatalogueChanged):
                raise
            snapshot = newer
    raise Unavailable("The catalogue is changing. Please try again.")


def _admit(
    snapshot: Snapshot, principal: Principal, request: ChatRequest, repeat: Repeat | None
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
        repeat=repeat,
        input_classes=(*pricing.TEXT_INPUT_CLASSES, *request.input_classes),
    )
    try:
        admitted = admission.admit(ask)
    except KeyLimitReached:
        raise
    except (InsufficientCredit, ExceedsLimit):
        admitted = _admit_counted(ask, request)
    return resolution, offers, admitted


def _admit_counted(ask: Ask, request: ChatRequest) -> Admitted:
    """Once more with the prompt counted, when only its bound in bytes may stand in the way."""
    counted = tokens.count_prompt(request.body) * COUNT_MARGIN_PERCENT // 100
    return admission.admit(replace(ask, prompt_bound=min(counted, ask.prompt_bound)))


def _require_allowed(principal: Principal, requested: str, model: Model) -> None:
    allowed = principal.models_allowed
    if allowed is not None and requested not in allowed and model.id not in allowed:
        raise Forbidden(
            f"This API key may not use the model “{requested}”.",
            code="model_not_allowed",
            metadata={"models_allowed": list(allowed)},
        )


def _for_offer(request: ChatRequest, offer: Offer) -> ChatRequest:
    """Fields that we do not know go only to providers that take them; else the caller is told."""
    if not request.unknown:
        return request
    if offer.capabilities.get("passes_unknown_fields"):
        return replace(request, body={**request.body, **request.unknown})
    told = tuple(f"{name}: not known here, and not passed on" for name in request.unknown)
    return replace(request, warnings=(*request.warnings, *told))


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
