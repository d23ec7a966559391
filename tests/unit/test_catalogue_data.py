"""The packaged seed catalogue, read as a file: its shape, its promises, some prices by hand."""

import json
import re
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from solrouter.providers.capabilities import RULES
from solrouter.providers.openai_compatible import flags
from solrouter.services.catalogue import documents

CATALOGUE_PATH = Path(__file__).resolve().parents[2] / "solrouter" / "data" / "catalogue.json"
CATALOGUE = json.loads(CATALOGUE_PATH.read_text(encoding="utf-8"))
PROVIDERS = {provider["slug"]: provider for provider in CATALOGUE["providers"]}
MODELS = {model["id"]: model for model in CATALOGUE["models"]}
ALIASES = {alias["id"]: alias for alias in CATALOGUE["aliases"]}
OFFERS = {
    (model["id"], offer["provider"]): offer
    for model in CATALOGUE["models"]
    for offer in model["offers"]
}
CHECKED_ON = date.fromisoformat(CATALOGUE["checked_on"])

ID = re.compile(r"^[a-z0-9.-]+/[a-z0-9._:-]+$")
RATE_CLASSES = {
    "input",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "output",
    "input_audio",
    "output_audio",
    "input_image",
    "output_image",
    "cache_read_audio",
}
# What else a provider's row may say, beside the flags of OpenAI's dialect.
CAPABILITIES = flags.NAMES | {RULES, "native", "messages_base_url", "collects_data"}
QUICKSTART_IDS = (
    "openai/gpt-4o",
    "openai/gpt-4o-mini",
    "anthropic/claude-sonnet-4",
    "anthropic/claude-haiku-3-5",
    "google/gemini-2.5-pro",
    "google/gemini-2.5-flash",
    "meta-llama/llama-4-maverick",
    "deepseek/deepseek-r2",
)
AUTHORS = (
    "openai",
    "anthropic",
    "google",
    "meta-llama",
    "deepseek",
    "mistralai",
    "x-ai",
    "qwen",
)


def rate_cards(offer):
    """Every set of rates that an offer may charge: base, size tiers and hours, now and later."""
    for price in offer["prices"]:
        yield price["rates"]
        for part in price.get("tiers", []) + price.get("windows", []):
            yield part["rates"]


def current_price(model_id, provider):
    prices = OFFERS[model_id, provider]["prices"]
    return [
        price
        for price in prices
        if datetime.fromisoformat(price["effective_at"]).date() <= CHECKED_ON
    ][-1]


def is_date_or_none(text):
    return text is None or date.fromisoformat(text)


def test_file_is_small_and_ends_with_a_newline():
    text = CATALOGUE_PATH.read_text(encoding="utf-8")
    assert len(text.encode()) < 400_000
    assert text.endswith("}\n")


def test_top_level_has_exactly_these_keys():
    assert list(CATALOGUE) == ["checked_on", "sources", "providers", "models", "aliases"]
    assert CATALOGUE["sources"] and all(isinstance(name, str) for name in CATALOGUE["sources"])


@pytest.mark.parametrize(
    ("rows", "key"), [("providers", "slug"), ("models", "id"), ("aliases", "id")]
)
def test_rows_are_sorted_and_unique(rows, key):
    keys = [row[key] for row in CATALOGUE[rows]]
    assert keys == sorted(set(keys))


@pytest.mark.parametrize("provider", CATALOGUE["providers"], ids=lambda provider: provider["slug"])
def test_provider_has_its_shape(provider):
    assert set(provider) == {
        "slug",
        "name",
        "kind",
        "base_url",
        "key_env",
        "home_url",
        "capabilities",
    }
    assert provider["kind"] in {"openai", "anthropic", "google"}
    assert re.fullmatch(r"https://[^/]+(/[^?#]*[^/?#])?", provider["base_url"])
    assert provider["home_url"].startswith("https://")
    assert provider["key_env"]
    assert all(re.fullmatch(r"[A-Z][A-Z0-9_]+_API_KEY", name) for name in provider["key_env"])
    assert set(provider["capabilities"]) <= CAPABILITIES
    for rule in provider["capabilities"].get(RULES, ()):
        assert set(rule) <= CAPABILITIES | {"match"}


def test_every_provider_has_an_offer():
    assert set(PROVIDERS) == {provider for _, provider in OFFERS}


@pytest.mark.parametrize("model", CATALOGUE["models"], ids=lambda model: model["id"])
def test_model_has_its_shape(model):
    assert ID.match(model["id"])
    assert model["author"] == model["id"].split("/")[0]
    assert model["name"] and model["description"].endswith(".")
    assert type(model["context_tokens"]) is int and model["context_tokens"] > 0
    assert type(model["output_tokens_max"]) is int
    assert 0 < model["output_tokens_max"] <= model["context_tokens"]
    assert model["input_modalities"][0] == "text"
    assert set(model["input_modalities"]) <= {"text", "image", "file", "audio"}
    assert model["output_modalities"] == ["text"]
    assert model["parameters"] == sorted(set(model["parameters"]))
    assert "max_tokens" in model["parameters"]
    assert type(model["system_role"]) is bool
    assert is_date_or_none(model["released_on"])
    assert is_date_or_none(model["expires_on"])
    assert model["released_on"] is None or date.fromisoformat(model["released_on"]) <= CHECKED_ON
    assert model["expires_on"] is None or date.fromisoformat(model["expires_on"]) > CHECKED_ON


@pytest.mark.parametrize("model", CATALOGUE["models"], ids=lambda model: model["id"])
def test_model_is_offered_and_priced(model):
    assert model["offers"]
    providers = [offer["provider"] for offer in model["offers"]]
    assert len(providers) == len(set(providers))
    assert set(providers) <= set(PROVIDERS)
    for offer in model["offers"]:
        assert {"provider", "upstream_model", "prices"} <= set(offer)
        assert set(offer) <= {
            "provider", "upstream_model", "prices",
            "context_tokens", "output_tokens_max", "parameters",
        }  # fmt: skip
        assert offer["upstream_model"]
        for rates in rate_cards(offer):
            assert set(rates) <= RATE_CLASSES
            assert all(type(rate) is int and rate > 0 for rate in rates.values())
            assert {"input", "output"} <= set(rates)


@pytest.mark.parametrize("model", CATALOGUE["models"], ids=lambda model: model["id"])
def test_a_model_can_what_its_best_offer_can(model):
    for name in ("context_tokens", "output_tokens_max"):
        limits = [offer.get(name, model[name]) for offer in model["offers"]]
        assert max(limits) == model[name]
        assert all(offer.get(name, 0) != model[name] for offer in model["offers"])
    honoured = [set(offer.get("parameters", model["parameters"])) for offer in model["offers"]]
    assert set.intersection(*honoured) == set(model["parameters"])


def test_limits_differ_from_offer_to_offer():
    assert OFFERS["deepseek/deepseek-flash", "deepseek"]["output_tokens_max"] == 393_216
    assert OFFERS["deepseek/deepseek-flash", "deepinfra"]["output_tokens_max"] == 131_072


@pytest.mark.parametrize("name", ["catalogue.json", "demo.json"])
def test_the_packaged_files_are_written_in_the_format_of_all_sources(name):
    assert documents.parse((CATALOGUE_PATH.parent / name).read_bytes()).models


@pytest.mark.parametrize("key", OFFERS, ids=":".join)
def test_prices_of_an_offer_begin_one_after_another(key):
    prices = OFFERS[key]["prices"]
    begins = [datetime.fromisoformat(price["effective_at"]) for price in prices]
    assert all(earlier < later for earlier, later in pairwise(begins))
    assert all(price["effective_at"].endswith("T00:00:00Z") for price in prices)
    # One price is in force; any other is a change to come.
    assert begins[0].date() <= CHECKED_ON
    assert all(begin.date() > CHECKED_ON for begin in begins[1:])


@pytest.mark.parametrize("key", OFFERS, ids=":".join)
def test_tiers_and_windows_carry_all_their_rates(key):
    for price in OFFERS[key]["prices"]:
        assert set(price) <= {"effective_at", "rates", "tiers", "windows"}
        assert price.get("tiers") != [] and price.get("windows") != []
        starts = [tier["above_input_tokens"] for tier in price.get("tiers", [])]
        assert starts == sorted(set(starts)) and all(start > 0 for start in starts)
        for part in price.get("tiers", []) + price.get("windows", []):
            assert set(part["rates"]) == set(price["rates"])
        for window in price.get("windows", []):
            assert re.fullmatch(r"[0-2]\d:[0-5]\d", window["utc_start"])
            assert window["utc_start"] < window["utc_end"]
            assert window["days"] == ["mon", "tue", "wed", "thu", "fri"]


@pytest.mark.parametrize("author", AUTHORS)
def test_author_has_some_models(author):
    assert sum(model["author"] == author for model in CATALOGUE["models"]) >= 3


@pytest.mark.parametrize("model_id", QUICKSTART_IDS)
def test_quickstart_id_resolves(model_id):
    assert model_id in MODELS or ALIASES[model_id]["target"] in MODELS


@pytest.mark.parametrize("alias", CATALOGUE["aliases"], ids=lambda alias: alias["id"])
def test_alias_has_its_shape_and_leads_to_a_model(alias):
    assert set(alias) == {
        "id",
        "name",
        "target",
        "status",
        "retired_on",
        "former_rates",
        "note",
    }
    assert ID.match(alias["id"])
    assert alias["id"] not in MODELS
    assert alias["target"] in MODELS
    assert alias["status"] in {"retired", "unreleased", "renamed"}
    assert is_date_or_none(alias["retired_on"])
    assert alias["retired_on"] is None or date.fromisoformat(alias["retired_on"]) <= CHECKED_ON
    assert alias["name"] and alias["note"].endswith(".")


@pytest.mark.parametrize(
    "alias",
    [alias for alias in CATALOGUE["aliases"] if alias["former_rates"]],
    ids=lambda alias: alias["id"],
)
def test_no_alias_slips_in_a_dearer_model(alias):
    former = alias["former_rates"]
    assert set(former) <= RATE_CLASSES and {"input", "output"} <= set(former)
    assert all(type(rate) is int for rate in former.values())
    for offer in MODELS[alias["target"]]["offers"]:
        for rates in rate_cards(offer):
            assert all(rates.get(name, rates["input"]) <= rate for name, rate in former.items())


def test_retired_alias_tells_its_former_price():
    # Without one nothing could tell whether the replacement is dearer.
    retired = [alias for alias in CATALOGUE["aliases"] if alias["status"] == "retired"]
    assert retired and all(alias["former_rates"] for alias in retired)


@pytest.mark.parametrize(
    ("model_id", "target", "status", "retired_on"),
    [
        ("anthropic/claude-sonnet-4", "anthropic/claude-sonnet-5-5", "retired", "2026-06-15"),
        ("anthropic/claude-haiku-3-5", "anthropic/claude-haiku-5-5", "retired", "2026-02-19"),
        ("deepseek/deepseek-r2", "deepseek/deepseek-v4-pro", "unreleased", None),
        ("anthropic/claude-sonnet-5.5", "anthropic/claude-sonnet-5-5", "renamed", None),
    ],
)
def test_alias_leads_where_we_promised(model_id, target, status, retired_on):
    alias = ALIASES[model_id]
    assert (alias["target"], alias["status"], alias["retired_on"]) == (target, status, retired_on)


# Copied by hand from the table in the research notes of the same day, not from the file.
# Nanodollars per million tokens: $0.15 is 150 million.
@pytest.mark.parametrize(
    ("model_id", "provider", "rates"),
    [
        (
            "openai/gpt-4o",
            "openai",
            {"input": 2_500_000_000, "cache_read": 1_250_000_000, "output": 10_000_000_000},
        ),
        (
            "openai/gpt-4o-mini",
            "openai",
            {"input": 150_000_000, "cache_read": 75_000_000, "output": 600_000_000},
        ),
        (
            "openai/gpt-6.1-sol",
            "openai",
            {
                "input": 2_000_000_000,
                "cache_read": 100_000_000,
                "cache_write_5m": 2_500_000_000,
                "output": 10_000_000_000,
            },
        ),
        (
            "openai/gpt-5.4-mini",
            "openai",
            {"input": 750_000_000, "cache_read": 75_000_000, "output": 4_500_000_000},
        ),
        (
            "anthropic/claude-sonnet-5-5",
            "anthropic",
            {
                "input": 2_000_000_000,
                "cache_read": 100_000_000,
                "cache_write_5m": 2_500_000_000,
                "cache_write_1h": 4_000_000_000,
                "output": 10_000_000_000,
            },
        ),
        (
            "anthropic/claude-opus-5-5",
            "anthropic",
            {
                "input": 4_000_000_000,
                "cache_read": 200_000_000,
                "cache_write_5m": 5_000_000_000,
                "cache_write_1h": 8_000_000_000,
                "output": 20_000_000_000,
            },
        ),
        (
            "google/gemini-3.8-flash",
            "google",
            {"input": 750_000_000, "cache_read": 75_000_000, "output": 3_750_000_000},
        ),
        (
            "google/gemini-4-argon",
            "google",
            {"input": 2_000_000_000, "cache_read": 100_000_000, "output": 10_000_000_000},
        ),
        (
            "deepseek/deepseek-v4-pro",
            "deepseek",
            {"input": 660_000_000, "cache_read": 22_000_000, "output": 1_980_000_000},
        ),
        (
            "mistralai/mistral-large-2512",
            "mistral",
            {"input": 500_000_000, "cache_read": 50_000_000, "output": 1_500_000_000},
        ),
        (
            "x-ai/grok-4.7",
            "xai",
            {"input": 2_000_000_000, "cache_read": 500_000_000, "output": 6_000_000_000},
        ),
        ("qwen/qwen3.8-27b", "groq", {"input": 800_000_000, "output": 4_000_000_000}),
        (
            "openai/gpt-oss-120b",
            "groq",
            {"input": 150_000_000, "cache_read": 75_000_000, "output": 600_000_000},
        ),
    ],
)
def test_price_is_what_the_notes_say(model_id, provider, rates):
    assert current_price(model_id, provider)["rates"] == rates


@pytest.mark.parametrize(
    ("model_id", "provider", "above", "input_rate", "output_rate"),
    [
        ("openai/gpt-6.1-sol", "openai", 272_000, 4_000_000_000, 15_000_000_000),
        ("anthropic/claude-haiku-5-5", "anthropic", 100_000, 500_000_000, 2_500_000_000),
        ("google/gemini-2.5-pro", "google", 200_000, 2_500_000_000, 15_000_000_000),
        ("x-ai/grok-4.7", "xai", 199_999, 4_000_000_000, 12_000_000_000),
    ],
)
def test_long_prompts_pay_the_tier(model_id, provider, above, input_rate, output_rate):
    (tier,) = current_price(model_id, provider)["tiers"]
    assert tier["above_input_tokens"] == above
    assert (tier["rates"]["input"], tier["rates"]["output"]) == (input_rate, output_rate)


def test_deepseek_peak_hours_cost_double():
    windows = current_price("deepseek/deepseek-flash", "deepseek")["windows"]
    hours = [(window["utc_start"], window["utc_end"]) for window in windows]
    assert hours == [("01:00", "04:00"), ("06:00", "10:00")]
    for window in windows:
        assert window["rates"] == {
            "input": 300_000_000,
            "cache_read": 6_000_000,
            "output": 1_200_000_000,
        }


def test_price_change_to_come_is_dated():
    begins = [
        (price["effective_at"], price["rates"]["input"])
        for price in OFFERS["google/gemini-4-argon", "google"]["prices"]
    ]
    assert begins[-1] == ("2026-12-01T00:00:00Z", 4_000_000_000)
