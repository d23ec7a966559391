"""Which request fields an offer honours: what the catalogue knows of the model, and what the
adapters do.

A catalogue lists the fields that a model honours at a provider. What the list lacks is left out of
requests with a warning (`narrowed`), or refused where ignoring it would answer another question.
An operator's own offer has no list: there the dialect alone decides.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from solrouter.models.catalogue import OPERATOR
from solrouter.providers import support
from solrouter.services.catalogue.words import Model
from solrouter.services.routing import Offer

# Fields that a provider of OpenAI's dialect may refuse, or silently ignore, for some of its models.
OPTIONAL = frozenset(
    (
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "parallel_tool_calls",
        "presence_penalty",
        "reasoning_effort",
        "seed",
        "stop",
        "temperature",
        "top_logprobs",
        "top_p",
        "verbosity",
    )
)
# Fields beyond OpenAI's schema that a list may hold.
EXTRA = frozenset(("top_k",))
# Another spelling of a field that lists name.
SPELLINGS = {
    "function_call": "tool_choice",
    "functions": "tools",
    "reasoning": "reasoning_effort",
}
NAMES = support.NAMES
VARIES = "varies"
HONOURED, PARTLY, IGNORED, REFUSED = (
    support.HONOURED,
    support.PARTLY,
    support.IGNORED,
    support.REFUSED,
)


def known(offer: Row[*tuple[Any, ...]], model: Row[*tuple[Any, ...]]) -> frozenset[str] | None:
    """The fields that the catalogue lists for an offer; None for an operator's own."""
    if offer.parameters is not None:
        return frozenset(offer.parameters)
    return None if offer.source == OPERATOR else frozenset(model.parameters)


def narrowed(
    kind: str, capabilities: Mapping[str, Any], listed: frozenset[str] | None
) -> Mapping[str, Any]:
    """The provider's capabilities, less what this offer does not honour.

    Several choices that nobody promises become as many calls. The native dialects know their models
    and need no list.
    """
    if listed is None or kind != "openai":
        return capabilities
    lacking = OPTIONAL - listed
    if "reasoning_effort" in lacking:
        lacking |= {"reasoning"}
    drop = [*capabilities.get("drop_params", ())]
    extra = [*capabilities.get("extra_params", ())]
    flags: dict[str, Any] = {
        **capabilities,
        "drop_params": drop + sorted(lacking.difference(drop)),
        "extra_params": extra + sorted((EXTRA & listed).difference(extra)),
    }
    if "n" not in listed:
        flags.setdefault("max_choices", 1)
    return flags


def states(
    kind: str,
    upstream_model: str,
    capabilities: Mapping[str, Any],
    facts: Mapping[str, Any],
    listed: frozenset[str] | None,
) -> Mapping[str, str]:
    """What becomes of each field: `honoured`, `partly`, `ignored` or `refused`."""
    found = support.support(kind, upstream_model, capabilities, facts)
    if found is None:
        # The provider in our own process: it honours its list and has no use for the rest.
        listed = listed or frozenset()
        return {name: HONOURED if _is_listed(name, listed) else IGNORED for name in NAMES}
    if listed is None:
        return found
    return {
        name: REFUSED if support.must_be_honoured(name) and not _is_listed(name, listed) else word
        for name, word in found.items()
    }


def of_offer(offer: Offer, facts: Mapping[str, Any]) -> Mapping[str, str]:
    """What becomes of each field at an offer of a snapshot; `facts` are its model's."""
    return states(
        offer.kind, offer.upstream_model, offer.capabilities, facts, offer.parameters or frozenset()
    )


def honoured(states: Mapping[str, str]) -> frozenset[str]:
    """The fields that are honoured, at least in part."""
    return frozenset(name for name, word in states.items() if word in support.SUPPORTED)


def of_all(offers: Iterable[Offer]) -> tuple[str, ...]:
    """The fields that are honoured whichever of these offers answers: those that can serve here, or
    all where none can.
    """
    everyone = list(offers)
    serving = [offer for offer in everyone if offer.is_available] or everyone
    sets = [offer.parameters or frozenset() for offer in serving]
    return tuple(sorted(frozenset.intersection(*sets))) if sets else ()


@dataclass(frozen=True, slots=True)
class Support:
    """What becomes of each field at those providers of a model that treat all of them alike."""

    providers: tuple[str, ...]
    words: Mapping[str, str]

    def names(self, word: str) -> list[str]:
        """The fields that a word holds for."""
        return [name for name, said in self.words.items() if said == word]


def by_provider(model: Model) -> list[Support]:
    """What becomes of each field of a request to a model, providers that agree together."""
    groups: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for offer in model.offers:
        words = tuple(of_offer(offer, model.facts).items())
        groups.setdefault(words, []).append(offer.provider_name)
    return [Support(tuple(names), dict(words)) for words, names in groups.items()]


def by_dialect(models: Iterable[Model]) -> dict[str, dict[str, str]]:
    """For each dialect, what becomes of each field: one word for all its models, or VARIES."""
    found: dict[str, dict[str, str]] = {}
    for model in models:
        for offer in model.offers:
            words = found.setdefault(offer.kind, {})
            for name, word in of_offer(offer, model.facts).items():
                words[name] = word if words.get(name, word) == word else VARIES
    return found


def _is_listed(name: str, listed: frozenset[str]) -> bool:
    if name == "max_completion_tokens":
        return True
    return SPELLINGS.get(name, name) in listed
