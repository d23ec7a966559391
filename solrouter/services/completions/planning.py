"""From a request to a plan: which models it may mean, who could serve them, what it may cost.

Nothing is opened and nothing is held here, so an estimate makes the same plan as a request.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from solrouter import config, media_tokens, process, tokens
from solrouter.chat import ChatRequest, recalled_bytes_max
from solrouter.clock import utcnow
from solrouter.errors import (
    BadRequest,
    ContextTooLong,
    Forbidden,
    ModelUnavailable,
    SolRouterError,
    UnknownModel,
    UnsupportedParameter,
)
from solrouter.money import decimal_usd
from solrouter.providers.choices import calls_needed
from solrouter.services import catalogue, health, key_rules, pricing, routing
from solrouter.services.admission import Ask
from solrouter.services.catalogue import Model, Snapshot
from solrouter.services.principals import Principal
from solrouter.services.repeats import Repeat
from solrouter.services.routing import Choice, Offer, Ranking, Skipped

# A hold outlives the longest answer by this much, so that a live one never expires.
HOLD_MARGIN_S = 60
# Other vendors' tokenizers make up to this much of our count of a prompt.
COUNT_MARGIN_PERCENT = 150
# … and hardly ever less than this much.
LEAST_PERCENT = 85
# Fields that every provider reads into the model's context.
SAID = ("messages", "tools")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to serve the request; `why` it stands where it does."""

    model: Model
    offer: Offer
    why: str
    warnings: tuple[str, ...]

    @property
    def context_tokens(self) -> int:
        """How long prompt and answer may be together, here."""
        return self.offer.context_tokens or self.model.context_tokens


@dataclass(frozen=True, slots=True)
class Plan:
    """Who could serve a request, in the order in which they are tried; never empty.

    `ask_for` says what a request to one of them needs in order to be admitted.
    """

    candidates: tuple[Candidate, ...]
    skipped: tuple[Skipped, ...]
    ask_for: Callable[[Candidate], Ask]

    def counted(self, request: ChatRequest) -> "Plan":
        """The same plan with the prompt counted, where only its bound in bytes was known.

        Other vendors' tokenizers may make more of it than ours, hence the margin. Counting makes no
        bound where there is none.
        """
        body = {**request.body, **request.unknown}
        counted = tokens.count_prompt(body, media=media_tokens.most)
        prompt = counted * COUNT_MARGIN_PERCENT // 100 + recalled_bytes_max(body)

        def ask_for(candidate: Candidate) -> Ask:
            ask, calls = self.ask_for(candidate), calls_of(candidate, request)
            taken = min(prompt * calls, ask.prompt_taken)
            if request.is_bounded:
                return replace(ask, prompt_bound=taken)
            return replace(ask, usual_prompt=taken)

        return replace(self, ask_for=ask_for)

    def explain(self) -> str:
        """One line for people: who is tried in which order and why, and who is not."""
        choices = tuple(Choice(c.offer, c.why) for c in self.candidates)
        return routing.explain(Ranking(choices, self.skipped))


def plan(
    snapshot: Snapshot,
    principal: Principal,
    request: ChatRequest,
    repeat: Repeat | None = None,
) -> Plan:
    """The plan for a request.

    Raises UnknownModel, ModelUnavailable, ModelRetired, Forbidden, UnsupportedParameter and
    BadRequest.
    """
    candidates: list[Candidate] = []
    skipped: list[Skipped] = []
    failure: SolRouterError | None = None
    for place, name in enumerate((request.model, *request.fallback_models)):
        try:
            found, passed_over = _candidates(snapshot, principal, request, name)
        except (ModelUnavailable, UnsupportedParameter) as error:
            # The next of `models` may be there; if none is, the first one's reason is told.
            failure = failure or error
            continue
        except UnknownModel as error:
            error.param = f"models[{place - 1}]" if place else error.param
            raise
        candidates += found
        skipped += passed_over
    if not candidates:
        raise failure or _nobody(request, skipped)
    ask_for = partial(
        _ask,
        version=snapshot.version,
        principal=principal,
        request=request,
        repeat=repeat,
        at=utcnow(),
    )
    if request.max_cost_nanos is not None:
        within = [c for c in candidates if _is_within(request.max_cost_nanos, ask_for(c))]
        if not within:
            raise _too_dear(request, ask_for(candidates[0]))
        skipped += [Skipped(c.offer, "above max_cost") for c in candidates if c not in within]
        candidates = within
    if not candidates[0].offer.is_free:
        # What is free has an allowance of its own; whoever is admitted for another took none of it.
        skipped += [Skipped(c.offer, "free fallback") for c in candidates if c.offer.is_free]
        candidates = [c for c in candidates if not c.offer.is_free]
    return Plan(tuple(candidates), tuple(skipped), ask_for)


def _candidates(
    snapshot: Snapshot, principal: Principal, request: ChatRequest, name: str
) -> tuple[list[Candidate], tuple[Skipped, ...]]:
    """The candidates of one model name, best first, and who was passed over."""
    base, variant = (name, None) if name in snapshot.models else routing.variant(name)
    resolution = catalogue.resolve(snapshot, base)
    model = resolution.model
    ranking = routing.rank(
        _allowed_offers(principal, base, model),
        at=utcnow(),
        preferences=routing.with_variant(request.preferences, variant),
        health=health.conditions(),
        parameters=frozenset((*request.body, *request.unknown)),
        prompt_tokens=_prompt_tokens(model, request),
        prompt_bound=request.prompt_bound,
        input_classes=input_classes(request),
    )
    found, skipped = [], list(ranking.skipped)
    for choice in ranking.choices:
        told = (*resolution.warnings, *request.warnings, *_not_passed(request, choice.offer))
        if told and request.is_strict:
            failure = _not_strictly(told[0])
            skipped.append(Skipped(choice.offer, f"strict: {failure.param}"))
        else:
            found.append(Candidate(model, choice.offer, choice.why, told))
    if ranking.choices and not found:
        raise failure
    return found, tuple(skipped)


def _prompt_tokens(model: Model, request: ChatRequest) -> int:
    """How long the prompt is, at the least; 0 while it fits everywhere even by its bound.

    Counted only where it may be too long for somebody; others count a little differently.
    """
    contexts = [offer.context_tokens or model.context_tokens for offer in model.offers]
    if request.prompt_bound <= min(contexts, default=0):
        return 0
    said = {name: request.body[name] for name in SAID if name in request.body}
    return tokens.count_prompt(said, media=lambda _: 0) * LEAST_PERCENT // 100


def _ask(
    candidate: Candidate,
    *,
    version: int,
    principal: Principal,
    request: ChatRequest,
    repeat: Repeat | None,
    at: datetime,
) -> Ask:
    model, offer, context = candidate.model, candidate.offer, candidate.context_tokens
    prompt, calls = request.prompt_bound, calls_of(candidate, request)
    most = offer.output_tokens_max or model.output_tokens_max or context
    ask = Ask(
        principal=principal,
        requested_model=request.model,
        offer=offer,
        catalogue_version=version,
        # What goes beyond the context is refused by the upstream, so it cannot be billed.
        prompt_bound=(min(prompt, context) if request.is_bounded else context) * calls,
        usual_prompt=None if request.is_bounded else min(prompt, context) * calls,
        output_limit=min(request.output_limit or most, most),
        is_named=request.output_limit is not None,
        choices=request.choices,
        streamed=request.stream,
        worker_id=process.worker_id(),
        lifetime_s=int(config.current()["SOLROUTER_TOTAL_S"]) + HOLD_MARGIN_S,
        at=at,
        repeat=repeat,
        input_classes=input_classes(request),
    )
    if request.max_cost_nanos is None:
        return ask
    affordable = ask.affordable(request.max_cost_nanos)
    return replace(ask, output_limit=max(min(ask.output_limit, affordable), ask.floor))


def input_classes(request: ChatRequest) -> tuple[str, ...]:
    """The priced classes of input that a request can cause."""
    return (*pricing.TEXT_INPUT_CLASSES, *request.input_classes)


def calls_of(candidate: Candidate, request: ChatRequest) -> int:
    """How many calls this candidate takes, each with the whole prompt."""
    if request.choices == 1:
        return 1
    offer = candidate.offer
    return calls_needed(
        offer.kind, offer.capabilities, request.choices, upstream_model=offer.upstream_model
    )


def _is_within(max_cost_nanos: int, ask: Ask) -> bool:
    return ask.cost_bound(ask.output_limit) <= max_cost_nanos


def _allowed_offers(principal: Principal, requested: str, model: Model) -> tuple[Offer, ...]:
    """The offers that the key may use. Raises Forbidden when there is none."""
    allowed = principal.models_allowed
    if key_rules.allows_model(allowed, requested, model.id):
        return model.offers
    free = tuple(offer for offer in model.offers if offer.is_free)
    if free and key_rules.allows_free(allowed):
        return free
    raise Forbidden(
        f"This API key may not use the model “{requested}”.",
        code="model_not_allowed",
        metadata={"models_allowed": list(allowed or ())},
    )


def _not_passed(request: ChatRequest, offer: Offer) -> tuple[str, ...]:
    """What the caller is told about fields that we do not know and this provider never sees."""
    if passes_unknown(offer.capabilities):
        return ()
    return tuple(f"{name}: not known here, and not passed on" for name in request.unknown)


def passes_unknown(capabilities: Mapping[str, object]) -> bool:
    """Whether a provider takes fields that we do not know."""
    return bool(capabilities.get("passes_unknown_fields"))


def _not_strictly(warning: str) -> UnsupportedParameter:
    name, _, why = warning.partition(": ")
    return UnsupportedParameter(
        f"'{name}' cannot be honoured to the letter, as “strict” asks: {why}.", param=name
    )


def _nobody(request: ChatRequest, skipped: list[Skipped]) -> BadRequest:
    if skipped and all(one.why == routing.TOO_LONG for one in skipped):
        return ContextTooLong(
            f"The prompt is longer than the context of “{request.model}”. Shorten the "
            "conversation, or use a model with a longer context.",
            param="messages",
        )
    reasons = sorted({f"{s.offer.provider_slug}: {s.why}" for s in skipped})
    return ModelUnavailable(
        f"No provider of “{request.model}” fits what you asked of the route"
        + (f" ({'; '.join(reasons)})." if reasons else "."),
        param="provider",
        metadata={"skipped": reasons},
    )


def _too_dear(request: ChatRequest, ask: Ask) -> BadRequest:
    assert request.max_cost_nanos is not None
    needed = decimal_usd(ask.cost_bound(ask.floor))
    return BadRequest(
        f"This request can cost up to ${needed} even with a short answer, more than its max_cost "
        f"of ${decimal_usd(request.max_cost_nanos)}. Raise max_cost or shorten the prompt.",
        code="max_cost_too_low",
        param="max_cost",
        metadata={"required": needed},
    )
