"""Whether a provider answers: one short question, asked with the key that it has, past the router.

Nobody is charged for it but the operator, by the provider. It counts for nobody's health: an
operator who mends a provider asks many times.
"""

from dataclasses import dataclass

from solrouter import config, database
from solrouter.chat import SILENCE, ChatRequest, Usage
from solrouter.clock import monotonic_s
from solrouter.errors import Refused
from solrouter.providers import ADAPTERS
from solrouter.providers.base import Deadlines, UpstreamCall
from solrouter.providers.errors import ProviderError
from solrouter.services import audit, catalogue
from solrouter.services.catalogue import Model
from solrouter.services.routing import Offer

QUESTION = "Say OK."
OUTPUT_TOKENS_MAX = 64
PROMPT_BOUND = 64
# Somebody waits in front of a page.
FIRST_CONTENT_S, WHOLE_S = 20.0, 25.0


@dataclass(frozen=True, slots=True)
class Trial:
    """How it went. `problem` is empty where an answer came; `detail` is what the provider said."""

    provider_slug: str
    model_id: str
    upstream_model: str
    problem: str
    detail: str
    first_content_ms: int | None
    total_ms: int
    usage: Usage | None


def offers_of(provider_slug: str) -> list[tuple[Model, Offer]]:
    """The models that this provider serves, by id."""
    return [
        (model, offer)
        for model in catalogue.listing()
        if model.status == "live"
        for offer in model.offers
        if offer.provider_slug == provider_slug
    ]


def run(provider_slug: str, model_id: str, *, actor: str) -> Trial:
    """Asks the provider by this model. Raises Refused where it does not serve it, or has no key."""
    served = [pair for pair in offers_of(provider_slug) if pair[0].id == model_id]
    if not served:
        raise Refused("Choose one of the provider’s models.", param="model")
    model, offer = served[0]
    if not offer.is_available:
        raise Refused("It has no key, or is switched off: there is nothing to try.", param="model")
    trial = _asked(model, offer)
    details = {"model": model_id, "result": trial.problem or "answered", "ms": trial.total_ms}
    event = audit.event(
        actor=actor, action="provider.tried", subject=provider_slug, details=details
    )
    database.transact(lambda connection: connection.execute(event).rowcount)
    return trial


def _asked(model: Model, offer: Offer) -> Trial:
    began_s = monotonic_s()
    first_content_ms: int | None = None
    usage: Usage | None = None
    problem = detail = ""
    try:
        upstream = ADAPTERS[offer.kind].open(_call(model, offer))
        try:
            for chunk in upstream:
                if chunk is SILENCE:
                    continue
                if chunk.has_content and first_content_ms is None:
                    first_content_ms = _since_ms(began_s)
                usage = chunk.usage or usage
        finally:
            upstream.close()
    except ProviderError as error:
        problem, detail = error.message, error.detail
    return Trial(
        offer.provider_slug,
        model.id,
        offer.upstream_model,
        problem,
        detail,
        first_content_ms,
        _since_ms(began_s),
        usage,
    )


def _call(model: Model, offer: Offer) -> UpstreamCall:
    connection = catalogue.current().connections[offer.provider_slug]
    body = {"model": model.id, "messages": [{"role": "user", "content": QUESTION}], "stream": True}
    settings = config.current()
    return UpstreamCall(
        request=ChatRequest(
            model=model.id,
            body=body,
            stream=True,
            include_usage=True,
            output_limit=OUTPUT_TOKENS_MAX,
            choices=1,
            prompt_bound=PROMPT_BOUND,
        ),
        provider=offer.provider_slug,
        upstream_model=offer.upstream_model,
        base_url=connection.base_url,
        api_key=connection.api_key,
        output_limit=OUTPUT_TOKENS_MAX,
        deadlines=Deadlines(
            connect_s=settings["SOLROUTER_CONNECT_S"],
            first_token_s=FIRST_CONTENT_S,
            between_chunks_s=FIRST_CONTENT_S,
            total_s=WHOLE_S,
        ),
        capabilities=offer.capabilities,
        model_facts=model.facts,
    )


def _since_ms(began_s: float) -> int:
    return round((monotonic_s() - began_s) * 1000)
