"""Makes solrouter/data/catalogue.json from two public price lists and our own table of facts.

Prices come from genai-prices; context, limits, modalities and lifecycle from LiteLLM's JSON, which
is also asked for prices that genai-prices lacks (DeepInfra) and checks all others. Names,
descriptions, which host serves what, aliases and all else that a person decided stand in
catalogue_facts.json. Nothing here knows the database or the application; the output is reviewed
as a diff before it ships.

    python -m venv /tmp/prices && /tmp/prices/bin/pip install genai-prices==0.2.3
    pip download litellm==1.109.1 --no-deps -d /tmp/litellm        # data only; never install it
    unzip /tmp/litellm/*.whl litellm/model_prices_and_context_window_backup.json -d /tmp/litellm
    /tmp/prices/bin/python tools/build_catalogue.py \\
        --litellm /tmp/litellm/litellm/model_prices_and_context_window_backup.json

Flags in a provider's `capabilities` are explained in docs/adding-a-provider.md. Only what the
research notes or the vendor's own SDK support is set.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from genai_prices import data_snapshot
from genai_prices.types import (
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
)

Facts = dict[str, Any]
Rates = dict[str, int]

ROOT = Path(__file__).resolve().parent.parent
FACTS_PATH = Path(__file__).resolve().parent / "catalogue_facts.json"
CATALOGUE_PATH = ROOT / "solrouter" / "data" / "catalogue.json"
SOURCES = ["genai-prices 0.2.3", "litellm 1.109.1 (model_prices_and_context_window_backup.json)"]

NANOS_PER_USD = 1_000_000_000
TOKENS_PER_PRICE = 1_000_000

# Our provider's slug -> its id in genai-prices. DeepInfra is not in there at all.
PRICE_SOURCE_ID = {
    "openai": "openai",
    "anthropic": "anthropic",
    "google": "google",
    "deepseek": "deepseek",
    "mistral": "mistral",
    "xai": "x-ai",
    "groq": "groq",
    "together": "together",
    "fireworks": "fireworks",
    "cerebras": "cerebras",
    "openrouter": "openrouter",
    "meta": "meta",
    "moonshot": "moonshotai",
}

# Our provider's slug -> what LiteLLM puts before the model's name. It has dropped OpenRouter.
LITELLM_PREFIX = {
    "openai": "",
    "anthropic": "",
    "google": "gemini/",
    "deepseek": "deepseek/",
    "mistral": "mistral/",
    "xai": "xai/",
    "groq": "groq/",
    "together": "together_ai/",
    "fireworks": "fireworks_ai/",
    "cerebras": "cerebras/",
    "openrouter": "openrouter/",
    "meta": "meta/",
    "moonshot": "moonshot/",
    "deepinfra": "deepinfra/",
}

# Author of a model -> the provider that is its own house. Only there may a price without a date be
# taken to hold since the release; a host may have changed it since, so there it holds since today.
HOME_PROVIDER = {
    "openai": "openai",
    "anthropic": "anthropic",
    "google": "google",
    "deepseek": "deepseek",
    "mistralai": "mistral",
    "x-ai": "xai",
    "moonshotai": "moonshot",
    "meta": "meta",
}

# Class in our rates -> units in genai-prices, the first that has a price wins. A cache write
# without a named lifetime is the short one everywhere it is sold.
UNITS_BY_CLASS = {
    "input": ("input_mtok",),
    "cache_read": ("cache_read_mtok",),
    "cache_write_5m": ("cache_write_5m_mtok", "cache_write_mtok"),
    "cache_write_1h": ("cache_write_1h_mtok",),
    "output": ("output_mtok",),
    "input_audio": ("input_audio_mtok",),
    "output_audio": ("output_audio_mtok",),
    "input_image": ("input_image_mtok",),
    "output_image": ("output_image_mtok",),
    "cache_read_audio": ("cache_audio_read_mtok",),
}

LITELLM_COST_BY_CLASS = {
    "input": "input_cost_per_token",
    "cache_read": "cache_read_input_token_cost",
    "output": "output_cost_per_token",
}

SAMPLING = {"temperature", "top_p", "top_k"}

# What each provider takes from OpenAI's chat request, before the model has its say. In doubt a
# field is left out: a warning costs a caller less than a refusal from upstream.
PARAMETERS_BY_PROVIDER = {
    "openai": "max_tokens temperature top_p stop seed n frequency_penalty presence_penalty"
    " logit_bias logprobs top_logprobs",
    "anthropic": "max_tokens temperature top_p top_k stop",
    "google": "max_tokens temperature top_p top_k stop seed n",
    "deepseek": "max_tokens temperature top_p stop",
    "mistral": "max_tokens temperature top_p stop seed n frequency_penalty presence_penalty",
    "xai": "max_tokens temperature top_p seed n logprobs top_logprobs",
    "groq": "max_tokens temperature top_p stop seed",
    "together": "max_tokens temperature top_p top_k stop seed frequency_penalty presence_penalty",
    "fireworks": "max_tokens temperature top_p top_k stop frequency_penalty presence_penalty",
    "cerebras": "max_tokens temperature top_p stop seed",
    "openrouter": "max_tokens temperature top_p top_k stop seed frequency_penalty presence_penalty",
    "meta": "max_tokens temperature top_p",
    "moonshot": "max_tokens temperature top_p stop",
    "deepinfra": "max_tokens temperature top_p top_k stop seed frequency_penalty presence_penalty",
}
# OpenAI's reasoning models refuse `stop`, sampling, penalties and log probabilities.
OPENAI_REASONING_PARAMETERS = "max_tokens seed"

FEATURE_FLAGS = {
    "tools": "supports_function_calling",
    "parallel_tools": "supports_parallel_function_calling",
    "schema": "supports_response_schema",
    "reasoning": "supports_reasoning",
    "vision": "supports_vision",
    "pdf": "supports_pdf_input",
    "audio": "supports_audio_input",
}

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class CatalogueError(Exception):
    """A source says something that we cannot or must not put in the catalogue."""


@dataclass(frozen=True)
class Sources:
    """Both price lists, and what people have already settled between them."""

    prices: Mapping[str, Any]
    litellm: Mapping[str, Any]
    checked_on: date
    settled: Mapping[str, str]

    @property
    def checked_at(self) -> datetime:
        return datetime.combine(self.checked_on, time(23, 59), UTC)

    def price_row(self, provider: str, upstream_model: str) -> ModelInfo | None:
        """Answers genai-prices' row, or None if it does not know the pair."""
        source = self.prices.get(PRICE_SOURCE_ID.get(provider, ""))
        return source.find_model(upstream_model) if source else None

    def litellm_row(self, provider: str, upstream_model: str) -> Facts:
        """Answers LiteLLM's row, or an empty one."""
        row: Facts = self.litellm.get(LITELLM_PREFIX[provider] + upstream_model, {})
        return row


@dataclass
class Findings:
    """What a person should look at after a run."""

    disagreements: list[str] = field(default_factory=list)
    unseen_by_litellm: list[str] = field(default_factory=list)
    contexts: list[str] = field(default_factory=list)


def nanos(usd: Decimal, *, tokens: int) -> int:
    """Turns dollars per so many tokens into whole nanodollars per million; refuses any fraction."""
    exact = usd * NANOS_PER_USD * TOKENS_PER_PRICE / tokens
    if exact != exact.to_integral_value():
        raise CatalogueError(f"${usd} per {tokens} tokens is not a whole number of nanodollars")
    return int(exact)


def price_cards(
    sources: Sources, provider: str, upstream_model: str, released_on: str | None
) -> list[Facts]:
    """Answers the price in force and every dated change to come, oldest first."""
    row = sources.price_row(provider, upstream_model)
    litellm = sources.litellm_row(provider, upstream_model)
    if row is None:
        return [card(sources.checked_on, litellm_rates(litellm))]
    windows = peak_windows(row, litellm)
    dated = dated_prices(row, since=undated_start(sources, released_on))
    current = max(start for start, _ in dated if start <= sources.checked_on)
    return [
        card(start, rates_at(price, None), tiers=tiers(price), windows=windows)
        for start, price in dated
        if start >= current
    ]


def undated_start(sources: Sources, released_on: str | None) -> date:
    return date.fromisoformat(released_on) if released_on else sources.checked_on


def card(
    start: date,
    rates: Rates,
    *,
    tiers: Iterable[Facts] = (),
    windows: Iterable[Facts] = (),
) -> Facts:
    answer: Facts = {"effective_at": f"{start.isoformat()}T00:00:00Z", "rates": rates}
    for name, items in (("tiers", list(tiers)), ("windows", list(windows))):
        if items:
            answer[name] = items
    return answer


def dated_prices(row: ModelInfo, *, since: date) -> list[tuple[date, ModelPrice]]:
    """Answers the prices that begin on a day, oldest first; `since` dates the one without a day."""
    if isinstance(row.prices, ModelPrice):
        return [(since, row.prices)]
    dated: dict[date, ModelPrice] = {}
    undated: dict[date, ModelPrice] = {}
    for conditional in row.prices:
        if isinstance(conditional.constraint, StartDateConstraint):
            dated[conditional.constraint.start_date] = conditional.prices
        elif conditional.constraint is None:
            undated[since] = conditional.prices
    # The undated price is the oldest: never let it begin after a dated one.
    oldest = {min([since, *dated]): price for price in undated.values()}
    return sorted((oldest | dated).items())


def peak_windows(row: ModelInfo, litellm: Facts) -> list[Facts]:
    """Answers the hours of the day with their own price.

    Only DeepSeek has them. genai-prices cannot say a weekday, so its peak hours come every day;
    LiteLLM has the weekend all off-peak, and genai-prices' own comment agrees. The doubt is
    resolved in the customer's favour: the base rates are off-peak, and peak rates hold only from
    Monday to Friday. In both windows Beijing and UTC have the same day of the week. Chinese public
    holidays are off-peak as well, which neither list nor our shape can say: those hours cost peak.
    """
    if isinstance(row.prices, ModelPrice):
        return []
    timed = [price for price in row.prices if isinstance(price.constraint, TimeOfDateConstraint)]
    return [peak_window(price, peak_days(row.id, litellm)) for price in timed]


def peak_window(price: ConditionalPrice, days: list[str]) -> Facts:
    constraint = price.constraint
    assert isinstance(constraint, TimeOfDateConstraint)
    return {
        "utc_start": constraint.start_time.strftime("%H:%M"),
        "utc_end": constraint.end_time.strftime("%H:%M"),
        "days": days,
        "rates": rates_at(price.prices, None),
    }


def peak_days(model_name: str, litellm: Facts) -> list[str]:
    off_peak = litellm.get("off_peak_pricing", {}).get("windows", [])
    free = {
        day
        for window in off_peak
        if window["hours_utc"] == "00:00-00:00"
        for day in window["weekdays"]
    }
    if not free:
        raise CatalogueError(f"{model_name} has peak hours, but LiteLLM names no weekdays for them")
    return [name for number, name in enumerate(WEEKDAYS, start=1) if number not in free]


def rates_at(price: ModelPrice, above_input_tokens: int | None) -> Rates:
    """Answers every class that has a price of its own, in the base tier or above a threshold."""
    rates = {}
    for name, units in UNITS_BY_CLASS.items():
        usd = next((found for unit in units if (found := getattr(price, unit)) is not None), None)
        if usd is not None:
            rates[name] = nanos(tier_price(usd, above_input_tokens), tokens=TOKENS_PER_PRICE)
    return rates


def tier_price(usd: Decimal | TieredPrices, above_input_tokens: int | None) -> Decimal:
    if isinstance(usd, Decimal):
        return usd
    reached = [tier for tier in usd.tiers if tier.start <= (above_input_tokens or -1)]
    return max(reached, key=lambda tier: tier.start).price if reached else usd.base


def tiers(price: ModelPrice) -> list[Facts]:
    """Answers the size tiers, each with all its rates: it is a cliff, so nothing is inherited."""
    priced = [getattr(price, unit) for units in UNITS_BY_CLASS.values() for unit in units]
    starts = {tier.start for usd in priced if isinstance(usd, TieredPrices) for tier in usd.tiers}
    return [
        {"above_input_tokens": start, "rates": rates_at(price, start)} for start in sorted(starts)
    ]


def litellm_rates(row: Facts) -> Rates:
    if "input_cost_per_token" not in row:
        raise CatalogueError("no source has a price")
    return {
        name: nanos(Decimal(row[cost]), tokens=1)
        for name, cost in LITELLM_COST_BY_CLASS.items()
        if row.get(cost) is not None
    }


def compare_prices(sources: Sources, offer: Facts, findings: Findings) -> None:
    """Notes where LiteLLM's price differs; refuses it unless the facts say why ours is right."""
    row = dict(sources.litellm_row(offer["provider"], offer["upstream_model"]))
    row |= row.get("off_peak_pricing", {})
    if "input_cost_per_token" not in row:
        return
    ours = current_rates(offer, sources.checked_at)
    theirs = litellm_rates(row)
    differing = [name for name, rate in theirs.items() if name in ours and ours[name] != rate]
    if not differing:
        return
    pair = f"{offer['provider']}:{offer['upstream_model']}"
    if pair not in sources.settled:
        raise CatalogueError(f"{pair}: ours {ours}, LiteLLM {theirs}; settle it in the facts")
    findings.disagreements.append(f"{pair} ({', '.join(differing)}): {sources.settled[pair]}")


def current_rates(offer: Facts, at: datetime) -> Rates:
    past = [
        price for price in offer["prices"] if datetime.fromisoformat(price["effective_at"]) <= at
    ]
    rates: Rates = past[-1]["rates"]
    return rates


def build_model(facts: Facts, sources: Sources, findings: Findings) -> Facts:
    """Answers one model with its offers, and the most that any of them can do.

    An offer says only where it differs: its context, its output limit, the fields it honours.
    """
    offers = [
        build_offer(provider, upstream_model, facts, sources, findings)
        for provider, upstream_model in facts["offers"].items()
    ]
    rows = {offer["provider"]: capability_row(facts, offer, sources) for offer in offers}
    features = model_features(facts, rows.values())
    model = {
        "id": facts["id"],
        "name": facts["name"],
        "author": facts["id"].split("/")[0],
        "description": facts["description"],
        "context_tokens": context_tokens(facts, offers, sources, findings),
        "output_tokens_max": output_tokens_max(facts, rows.values()),
        "input_modalities": input_modalities(features),
        "output_modalities": ["text"],
        "parameters": parameters(facts["id"], rows, features),
        "system_role": facts.get("system_role", True),
        "released_on": facts["released_on"],
        "expires_on": facts.get("expires_on") or expires_on(rows.values()),
        "offers": offers,
    }
    for offer in offers:
        own = offer_limits(facts, offer, rows[offer["provider"]], sources)
        own["parameters"] = sorted(
            provider_parameters(offer["provider"], facts["id"], rows[offer["provider"]], features)
        )
        offer |= {name: value for name, value in own.items() if value != model[name]}
    return model


def offer_limits(facts: Facts, offer: Facts, row: Facts, sources: Sources) -> Facts:
    """Answers what is known of one offer's limits, unless a person has settled the model's."""
    limits: Facts = {}
    context = offer_context(offer, row, sources)
    if context and "context_tokens" not in facts:
        limits["context_tokens"] = context
    if row.get("max_output_tokens") and "output_tokens_max" not in facts:
        most = row["max_output_tokens"]
        limits["output_tokens_max"] = min(most, context) if context else most
    return limits


def offer_context(offer: Facts, row: Facts, sources: Sources) -> int:
    """Answers an offer's context, or 0 if no source has one.

    LiteLLM sometimes gives the context less the output, genai-prices sometimes a rounded number:
    of two sources for one offer the larger is nearer to the vendor's page.
    """
    price_row = sources.price_row(offer["provider"], offer["upstream_model"])
    one = (price_row.context_window if price_row else None) or 0
    return max(one, row.get("max_input_tokens") or 0)


def build_offer(
    provider: str, upstream_model: str, facts: Facts, sources: Sources, findings: Findings
) -> Facts:
    row = sources.litellm_row(provider, upstream_model)
    ends_on = row.get("deprecation_date")
    if ends_on and date.fromisoformat(ends_on) <= sources.checked_on:
        raise CatalogueError(f"{provider}:{upstream_model} was shut down on {ends_on}")
    if not row:
        findings.unseen_by_litellm.append(f"{provider}:{upstream_model}")
    at_home = HOME_PROVIDER.get(facts["id"].split("/")[0]) == provider
    released_on = facts["released_on"] if at_home else None
    offer = {
        "provider": provider,
        "upstream_model": upstream_model,
        "prices": price_cards(sources, provider, upstream_model, released_on),
    }
    compare_prices(sources, offer, findings)
    return offer


def capability_row(facts: Facts, offer: Facts, sources: Sources) -> Facts:
    """Answers LiteLLM's row for an offer; a newer model may name an older one to stand in."""
    stand_in: str = facts.get("litellm") or offer["upstream_model"]
    return sources.litellm_row(offer["provider"], stand_in)


def model_features(facts: Facts, rows: Iterable[Facts]) -> set[str]:
    """Answers what every offer can do; a host that states nothing has no vote."""
    if "features" in facts:
        return set(facts["features"])
    stated = [
        {feature for feature, flag in FEATURE_FLAGS.items() if row.get(flag)}
        for row in rows
        if any(row.get(flag) for flag in FEATURE_FLAGS.values())
    ]
    return set.intersection(*stated) if stated else set()


def context_tokens(
    facts: Facts, offers: Iterable[Facts], sources: Sources, findings: Findings
) -> int:
    """Answers the largest context that any offer has."""
    if "context_tokens" in facts:
        return int(facts["context_tokens"])
    found = []
    for offer in offers:
        row = capability_row(facts, offer, sources)
        price_row = sources.price_row(offer["provider"], offer["upstream_model"])
        one = (price_row.context_window if price_row else None) or 0
        other = row.get("max_input_tokens") or 0
        if one and other and abs(one - other) > max(one, other) / 20:
            name = f"{offer['provider']}:{offer['upstream_model']}"
            findings.contexts.append(f"{name}: {one} or {other}")
        found.append(offer_context(offer, row, sources))
    if not any(found):
        raise CatalogueError(f"{facts['id']}: no source has a context length")
    return max(found)


def output_tokens_max(facts: Facts, rows: Iterable[Facts]) -> int:
    if "output_tokens_max" in facts:
        return int(facts["output_tokens_max"])
    found: list[int] = [row["max_output_tokens"] for row in rows if row.get("max_output_tokens")]
    if not found:
        raise CatalogueError(f"{facts['id']}: no source has an output limit")
    return max(found)


def input_modalities(features: set[str]) -> list[str]:
    words = {"vision": "image", "pdf": "file", "audio": "audio"}
    return ["text"] + [word for feature, word in words.items() if feature in features]


def expires_on(rows: Iterable[Facts]) -> str | None:
    """Answers the day on which the last offer ends, or None while one has no end."""
    ends: list[str] = [row.get("deprecation_date", "") for row in rows]
    return max(ends) if all(ends) else None


def parameters(model_id: str, rows: Mapping[str, Facts], features: set[str]) -> list[str]:
    """Answers the request fields that every offer honours."""
    taken = [
        provider_parameters(provider, model_id, row, features) for provider, row in rows.items()
    ]
    return sorted(set.intersection(*taken))


def provider_parameters(provider: str, model_id: str, row: Facts, features: set[str]) -> set[str]:
    names = set(PARAMETERS_BY_PROVIDER[provider].split())
    if provider == "openai" and "reasoning" in features:
        names = set(OPENAI_REASONING_PARAMETERS.split())
        if not model_id.startswith("openai/o"):
            names.add("verbosity")
    if row.get("supports_sampling_params") is False:
        names -= SAMPLING
    if "tools" in features:
        names |= {"tools", "tool_choice"}
    # Anthropic says it inside tool_choice, which LiteLLM does not count; Gemini cannot say it.
    if provider == "anthropic" or ("parallel_tools" in features and provider != "google"):
        names.add("parallel_tool_calls")
    # DeepSeek has a JSON mode only, whatever LiteLLM's flag says.
    if "schema" in features and provider != "deepseek":
        names |= {"response_format", "structured_outputs"}
    elif provider != "anthropic":
        names.add("response_format")
    if "reasoning" in features:
        names.add("reasoning_effort")
    return names


def build_alias(facts: Facts) -> Facts:
    former = facts["former_usd_per_mtok"]
    return {
        "id": facts["id"],
        "name": facts["name"],
        "target": facts["target"],
        "status": facts["status"],
        "retired_on": facts["retired_on"],
        "former_rates": former
        and {name: nanos(Decimal(usd), tokens=TOKENS_PER_PRICE) for name, usd in former.items()},
        "note": facts["note"],
    }


def dotted_aliases(models: Iterable[Facts]) -> list[Facts]:
    """Answers the spelling with a dot (claude-sonnet-5.5) that OpenRouter's users know."""
    aliases = []
    for model in models:
        dotted = re.sub(r"(\d)-(\d)$", r"\1.\2", model["id"])
        if model["author"] == "anthropic" and dotted != model["id"]:
            aliases.append(
                {
                    "id": dotted,
                    "name": model["name"],
                    "target": model["id"],
                    "status": "renamed",
                    "retired_on": None,
                    "former_rates": None,
                    "note": f"Another spelling of {model['id']}.",
                }
            )
    return aliases


def build_catalogue(facts: Facts, sources: Sources, findings: Findings) -> Facts:
    models = [build_model(model, sources, findings) for model in facts["models"]]
    aliases = [build_alias(alias) for alias in facts["aliases"]] + dotted_aliases(models)
    return {
        "checked_on": facts["checked_on"],
        "sources": SOURCES,
        "providers": sorted(facts["providers"], key=lambda provider: str(provider["slug"])),
        "models": sorted(models, key=lambda model: str(model["id"])),
        "aliases": sorted(aliases, key=lambda alias: str(alias["id"])),
    }


def summary(catalogue: Facts, findings: Findings) -> str:
    models = catalogue["models"]
    authors = Counter(model["author"] for model in models)
    offers = Counter(offer["provider"] for model in models for offer in model["offers"])
    lines = [
        f"models   {len(models)}: {counts(authors)}",
        f"offers   {offers.total()}: {counts(offers)}",
        f"aliases  {len(catalogue['aliases'])}",
    ]
    for title, notes in (
        ("prices differ, settled in the facts", findings.disagreements),
        ("LiteLLM has no row", findings.unseen_by_litellm),
        ("context lengths differ, the larger taken", findings.contexts),
    ):
        lines += [f"{title}: {len(notes)}"] + [f"  {note}" for note in notes]
    return "\n".join(lines) + "\n"


def counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(counter.items()))


def load_sources(litellm_path: Path, facts: Facts) -> Sources:
    # Decimal, not float: a price must not pass through binary on its way to an integer.
    litellm = json.loads(litellm_path.read_text(encoding="utf-8"), parse_float=Decimal)
    snapshot = data_snapshot.get_snapshot()
    return Sources(
        prices={provider.id: provider for provider in snapshot.providers},
        litellm=litellm,
        checked_on=date.fromisoformat(facts["checked_on"]),
        settled=facts["settled"],
    )


def main() -> None:
    """Writes the catalogue and says what to look at."""
    parser = argparse.ArgumentParser(description="Make solrouter/data/catalogue.json.")
    parser.add_argument("--litellm", type=Path, required=True, help="LiteLLM's price JSON")
    parser.add_argument("--out", type=Path, default=CATALOGUE_PATH)
    options = parser.parse_args()
    facts = json.loads(FACTS_PATH.read_text(encoding="utf-8"))
    findings = Findings()
    catalogue = build_catalogue(facts, load_sources(options.litellm, facts), findings)
    text = json.dumps(catalogue, indent=2, ensure_ascii=False) + "\n"
    options.out.write_text(text, encoding="utf-8")
    sys.stdout.write(summary(catalogue, findings))


if __name__ == "__main__":
    main()
