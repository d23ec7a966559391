"""A catalogue as a document: read and checked completely before anything is done with it. Pure.

docs/catalogue.md describes the format for people; the packaged files are written in it. A document
comes from outside, so everything in it has a type, a bound and a known name, and every fault is
told with its place, the first FAULTS_TOLD_MAX of them.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from solrouter.errors import Refused
from solrouter.services.catalogue.checks import Faults, JsonObject
from solrouter.services.catalogue.rates import read_prices

DOCUMENT_BYTES_MAX = 8 * 1024 * 1024
FAULTS_TOLD_MAX = 20
ROWS_MAX = 20_000
OFFERS_PER_MODEL_MAX = 100
TOKENS_MAX = 1_000_000_000
KINDS = ("openai", "anthropic", "google", "demo")
STATUSES = ("retired", "unreleased", "renamed")
DEADLINES = ("connect_s", "first_token_s", "between_chunks_s", "pings_s", "total_s")
DEADLINE_S_MAX = 86_400
PROVIDER_SLUG = r"[a-z0-9][a-z0-9-]{0,39}"
MODEL_ID = r"[a-z0-9][a-z0-9.-]{0,79}/[A-Za-z0-9][A-Za-z0-9._:-]{0,99}"
# Only settings of this form are ever sent to the address that a document names.
KEY_SETTING = r"[A-Z][A-Z0-9_]{0,60}_API_KEY"
BASE_URL = r"https?://[^\s/?#@]+(/[^\s?#]*)?"
WORD = r"[a-z0-9_.]{1,60}"


@dataclass(frozen=True, slots=True)
class PriceItem:
    """What a provider charges from a date on, in nanodollars per 1,000,000 units by class."""

    effective_at: datetime
    rates: Mapping[str, int]
    tiers: tuple[Mapping[str, Any], ...]
    windows: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class OfferItem:
    """A provider's way to serve a model; of what is None the model's own holds."""

    provider: str
    upstream_model: str
    prices: tuple[PriceItem, ...]
    is_free: bool
    context_tokens: int | None
    output_tokens_max: int | None
    parameters: tuple[str, ...] | None
    deadlines: Mapping[str, float] | None


@dataclass(frozen=True, slots=True)
class ProviderItem:
    """A company that answers in one dialect."""

    slug: str
    name: str
    kind: str
    base_url: str
    key_settings: tuple[str, ...]
    capabilities: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ModelItem:
    """A model with its offers."""

    id: str
    name: str
    author: str
    description: str
    context_tokens: int
    output_tokens_max: int | None
    input_modalities: tuple[str, ...]
    output_modalities: tuple[str, ...]
    parameters: tuple[str, ...]
    facts: Mapping[str, Any]
    released_on: date | None
    expires_on: date | None
    offers: tuple[OfferItem, ...]


@dataclass(frozen=True, slots=True)
class AliasItem:
    """Another id of a model."""

    id: str
    name: str
    target: str
    status: str
    retired_on: date | None
    former_rates: Mapping[str, int] | None
    note: str


@dataclass(frozen=True, slots=True)
class Document:
    """A whole catalogue."""

    providers: tuple[ProviderItem, ...]
    models: tuple[ModelItem, ...]
    aliases: tuple[AliasItem, ...]

    def with_demo(self, demo: "Document") -> "Document":
        """The same with the models that live in this process, which no source need know."""
        slugs = {provider.slug for provider in self.providers}
        ids = {model.id for model in self.models}
        return Document(
            self.providers + tuple(p for p in demo.providers if p.slug not in slugs),
            self.models + tuple(m for m in demo.models if m.id not in ids),
            self.aliases,
        )


def parse(raw: bytes) -> Document:
    """The catalogue that these bytes are. Raises Refused, naming what is wrong and where."""
    faults = Faults()
    document = _document(JsonObject(_json(raw), "", faults), faults)
    if faults.told:
        more = len(faults.told) - FAULTS_TOLD_MAX
        lines = [*faults.told[:FAULTS_TOLD_MAX], *([f"… and {more} more"] if more > 0 else [])]
        raise Refused("The catalogue cannot be used:\n  " + "\n  ".join(lines))
    return document


def _json(raw: bytes) -> Any:
    if len(raw) > DOCUMENT_BYTES_MAX:
        raise Refused(f"A catalogue has at most {DOCUMENT_BYTES_MAX:,} bytes.")

    def no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twin = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"the key “{twin[:60]}” stands twice in one object")
        return found

    def no_constant(name: str) -> Any:
        raise ValueError(f"{name} is no number")

    try:
        return json.loads(raw, object_pairs_hook=no_twins, parse_constant=no_constant)
    except (ValueError, RecursionError) as error:
        raise Refused(f"The catalogue is not JSON that we can read: {error}") from error


def _document(root: JsonObject, faults: Faults) -> Document:
    root.know("checked_on", "sources", "providers", "models", "aliases")
    providers = tuple(_provider(item) for item in root.objects("providers", most=ROWS_MAX))
    models = tuple(_model(item) for item in root.objects("models", most=ROWS_MAX))
    aliases = tuple(_alias(item) for item in root.objects("aliases", most=ROWS_MAX))
    _no_twins(faults, "providers", (provider.slug for provider in providers))
    slugs = {provider.slug for provider in providers}
    ids = {model.id for model in models}
    _no_twins(faults, "models and aliases", [m.id for m in models] + [a.id for a in aliases])
    for model in models:
        _no_twins(faults, model.id, ((o.provider, o.upstream_model) for o in model.offers))
        for offer in model.offers:
            if offer.provider not in slugs:
                faults.tell(model.id, f"there is no provider “{offer.provider}”")
    for alias in aliases:
        if alias.target not in ids:
            faults.tell(alias.id, f"its target “{alias.target}” is not among the models")
    return Document(providers, models, aliases)


def _provider(item: JsonObject) -> ProviderItem:
    item.know("slug", "name", "kind", "base_url", "key_env", "home_url", "capabilities")
    kind = item.text("kind", one_of=KINDS)
    return ProviderItem(
        slug=item.text("slug", pattern=PROVIDER_SLUG),
        name=item.text("name", most=80),
        kind=kind,
        base_url="" if kind == "demo" else item.text("base_url", pattern=BASE_URL, most=500),
        key_settings=item.texts("key_env", pattern=KEY_SETTING, most=10),
        capabilities=item.mapping("capabilities"),
    )


def _model(item: JsonObject) -> ModelItem:
    item.know(
        "id", "name", "author", "description", "context_tokens", "output_tokens_max",
        "input_modalities", "output_modalities", "parameters", "system_role", "facts",
        "released_on", "expires_on", "offers",
    )  # fmt: skip
    identifier = item.text("id", pattern=MODEL_ID)
    author = item.text("author", most=100)
    if identifier.partition("/")[0] != author:
        item.fault("author", "is not what stands before the slash of the id")
    offers = item.objects("offers", most=OFFERS_PER_MODEL_MAX)
    if not offers:
        item.fault("offers", "must name at least one offer")
    return ModelItem(
        id=identifier,
        name=item.text("name", most=200),
        author=author,
        description=item.text("description", most=4000),
        context_tokens=item.whole("context_tokens", least=1, most=TOKENS_MAX),
        output_tokens_max=item.whole_or_none("output_tokens_max", least=1, most=TOKENS_MAX),
        input_modalities=item.texts("input_modalities", pattern=WORD, most=20),
        output_modalities=item.texts("output_modalities", pattern=WORD, most=20),
        parameters=item.texts("parameters", pattern=WORD, most=200),
        facts={"system_role": item.flag("system_role"), **item.mapping("facts", optional=True)},
        released_on=item.day_or_none("released_on"),
        expires_on=item.day_or_none("expires_on"),
        offers=tuple(_offer(offer) for offer in offers),
    )


def _offer(item: JsonObject) -> OfferItem:
    item.know(
        "provider", "upstream_model", "prices", "is_free", "context_tokens", "output_tokens_max",
        "parameters", "deadlines",
    )  # fmt: skip
    is_free = item.flag("is_free", optional=True)
    parameters = item.texts("parameters", pattern=WORD, most=200, optional=True)
    return OfferItem(
        provider=item.text("provider", pattern=PROVIDER_SLUG),
        upstream_model=item.text("upstream_model", most=200),
        prices=tuple(
            PriceItem(when, rates, tiers, windows)
            for when, rates, tiers, windows in read_prices(item, is_free=is_free)
        ),
        is_free=is_free,
        context_tokens=item.whole_or_none("context_tokens", least=1, most=TOKENS_MAX),
        output_tokens_max=item.whole_or_none("output_tokens_max", least=1, most=TOKENS_MAX),
        parameters=parameters if "parameters" in item else None,
        deadlines=item.seconds("deadlines", names=DEADLINES, most=DEADLINE_S_MAX),
    )


def _alias(item: JsonObject) -> AliasItem:
    item.know("id", "name", "target", "status", "retired_on", "former_rates", "note")
    return AliasItem(
        id=item.text("id", pattern=MODEL_ID),
        name=item.text("name", most=200),
        target=item.text("target", pattern=MODEL_ID),
        status=item.text("status", one_of=STATUSES),
        retired_on=item.day_or_none("retired_on"),
        former_rates=item.rates_or_none("former_rates"),
        note=item.text("note", most=2000),
    )


def _no_twins(faults: Faults, where: str, names: Iterable[Any]) -> None:
    seen: set[Any] = set()
    for name in names:
        if name in seen:
            faults.tell(where, f"{name} stands there twice")
        seen.add(name)
