"""What a request would do, without doing it: who would serve it, and what it may cost."""

from dataclasses import dataclass, replace

from solrouter import tokens
from solrouter.chat import ChatRequest, Usage
from solrouter.providers import support
from solrouter.providers.base import Deadlines, UpstreamCall
from solrouter.providers.errors import UpstreamRefused
from solrouter.providers.failures import writing
from solrouter.services import activity, admission, billing, catalogue, pricing
from solrouter.services.billing import Balance
from solrouter.services.catalogue import Snapshot
from solrouter.services.completions import planning
from solrouter.services.completions.opening import callers_fault, for_offer
from solrouter.services.completions.planning import Candidate, Plan
from solrouter.services.keys import SCOPE_INFERENCE
from solrouter.services.principals import Principal
from solrouter.services.routing import Skipped

# What an answer is taken to be long while the account has none of this model.
OUTPUT_TOKENS_LIKELY = 500
# For a call that is written and never sent.
NEVER = Deadlines(connect_s=0, first_token_s=0, between_chunks_s=0, total_s=0)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A dry run. Costs are nanodollars, each with the output tokens of each choice behind it.

    `least` is the prompt as counted and one token of answer; `likely` an answer as long as the
    account's own last ones by this model; `most` what would be held at the outset, or more if a
    dearer fallback that was allowed had to serve.
    """

    candidates: tuple[Candidate, ...]
    skipped: tuple[Skipped, ...]
    prompt_tokens: int
    prompt_tokens_max: int
    least_nanos: int
    likely_nanos: int
    most_nanos: int
    output_tokens_likely: int
    output_tokens_max: int
    balance: Balance

    @property
    def is_affordable(self) -> bool:
        """Whether the balance could pay for the dearest way that it may go."""
        return self.most_nanos <= self.balance.available_nanos


def estimate(principal: Principal, request: ChatRequest) -> Estimate:
    """The dry run of a request, which counts as one against the key's limits and costs nothing.

    Raises what the request itself would raise before its admission, and RateLimited.
    """
    principal.require(SCOPE_INFERENCE)
    snapshot = catalogue.fresh()
    plan = _sayable(planning.plan(snapshot, principal, request), request, snapshot)
    admission.count_request(principal)
    counted = min(tokens.count_prompt(request.body), request.prompt_bound)
    ask = plan.ask_for(plan.candidates[0])
    usual = activity.usual_output_tokens(principal.account_id, plan.candidates[0].model.id)
    likely = min(usual or OUTPUT_TOKENS_LIKELY, ask.output_limit)
    return Estimate(
        candidates=plan.candidates,
        skipped=plan.skipped,
        prompt_tokens=counted,
        prompt_tokens_max=ask.prompt_bound,
        least_nanos=_cost(plan, request, counted, 1),
        likely_nanos=_cost(plan, request, counted, likely),
        most_nanos=max(_bound(plan, candidate) for candidate in plan.candidates),
        output_tokens_likely=likely,
        output_tokens_max=ask.output_limit,
        balance=billing.balance(principal.account_id),
    )


def _sayable(plan: Plan, request: ChatRequest, snapshot: Snapshot) -> Plan:
    """The plan less those whose dialect cannot say the request, with what the others leave out.

    Raises BadRequest when none can say it.
    """
    candidates: list[Candidate] = []
    skipped = list(plan.skipped)
    refusal: UpstreamRefused | None = None
    for candidate in plan.candidates:
        ask, connection = (
            plan.ask_for(candidate),
            snapshot.connections[candidate.offer.provider_slug],
        )
        call = UpstreamCall(
            request=for_offer(request, candidate.offer),
            provider=candidate.offer.provider_slug,
            upstream_model=candidate.offer.upstream_model,
            base_url=connection.base_url,
            api_key=None,
            output_limit=ask.output_limit,
            deadlines=NEVER,
            capabilities=candidate.offer.capabilities,
            model_facts=candidate.model.facts,
        )
        try:
            with writing(candidate.offer.provider_slug):
                told = support.warnings_of(candidate.offer.kind, call)
        except UpstreamRefused as error:
            refusal = refusal or error
            skipped.append(Skipped(candidate.offer, f"cannot say {error.param or 'the request'}"))
        else:
            warnings = tuple(dict.fromkeys((*candidate.warnings, *told)))
            candidates.append(replace(candidate, warnings=warnings))
    if refusal is not None and not candidates:
        raise callers_fault(refusal)
    return replace(plan, candidates=tuple(candidates), skipped=tuple(skipped))


def _cost(plan: Plan, request: ChatRequest, prompt_tokens: int, output_tokens: int) -> int:
    """What it costs at the first candidate, with nothing read from a cache."""
    ask = plan.ask_for(plan.candidates[0])
    calls = planning.calls_of(plan.candidates[0], request)
    usage = Usage(input=prompt_tokens * calls, output=output_tokens * request.choices)
    return pricing.cost_nanos(usage, ask.offer.sale, at=ask.at)


def _bound(plan: Plan, candidate: Candidate) -> int:
    ask = plan.ask_for(candidate)
    return ask.cost_bound(ask.output_limit)
