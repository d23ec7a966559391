"""Rows of the catalogue → the words that the rest of the house speaks."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy
from sqlalchemy import Row, select

from solrouter import config, redaction
from solrouter.clock import utcnow
from solrouter.models import LanguageModel, ModelAlias, PriceCard, Provider
from solrouter.models import Offer as OfferRow
from solrouter.services import pricing
from solrouter.services.catalogue import parameters, provider_keys
from solrouter.services.catalogue.words import Connection, Model, Snapshot
from solrouter.services.routing import Offer

AnyRow = Row[*tuple[Any, ...]]

DEMO_KIND = "demo"
# An alias that is only another spelling: nothing to tell its callers about.
RENAMED = "renamed"
# A replacement may be replaced itself; more often than this is a circle.
ALIAS_STEPS_MAX = 5


def read(connection: sqlalchemy.Connection, version: int) -> Snapshot:
    """The whole catalogue, priced for now."""

    def rows(table: Any) -> Sequence[AnyRow]:
        return connection.execute(select(*table.__table__.columns)).all()

    providers = {row.id: row for row in rows(Provider)}
    model_rows = rows(LanguageModel)
    card_rows = rows(PriceCard)
    now = utcnow()
    offers = _offers(
        rows(OfferRow),
        {row.id: row for row in model_rows},
        providers,
        _cards_in_force(card_rows, at=now),
    )
    found = [_model(row, offers[row.id]) for row in model_rows if not _is_withdrawn(row)]
    models = {model.id: model for model in found if _is_shown(model)}
    models.update(_aliases(rows(ModelAlias), models))
    future = [row.effective_at for row in card_rows if row.effective_at > now]
    return Snapshot(
        version,
        models,
        {row.slug: connection_of(row) for row in providers.values()},
        min(future, default=None),
        frozenset(row.slug for row in model_rows if row.retired_at and row.slug not in models),
    )


def price_card(row: AnyRow) -> pricing.PriceCard:
    """A row of price_cards as pricing reads it."""
    return pricing.PriceCard(
        row.id, row.effective_at, row.rates, tuple(row.tiers), tuple(row.windows)
    )


def connection_of(row: AnyRow) -> Connection:
    """How to reach the provider of this row."""
    return Connection(row.slug, row.kind, row.base_url, provider_key(row))


def provider_key(row: AnyRow) -> str | None:
    """The provider's key: the stored one, else the first of its settings that is set."""
    if row.key_encrypted is not None:
        key = provider_keys.unseal(row.slug, row.key_encrypted)
        if key is not None:
            redaction.remember(key)
        return key
    settings = config.current()
    return next((settings[name] for name in row.key_settings if settings.get(name)), None)


def is_ready(row: AnyRow) -> bool:
    """Whether the provider is switched on and has the key that it needs."""
    if row.disabled_at is not None:
        return False
    if row.kind == DEMO_KIND:
        return bool(config.current()["SOLROUTER_DEMO"])
    return not row.needs_key or provider_key(row) is not None


def collects_data(row: AnyRow) -> bool:
    """Whether the provider of this row may keep prompts: the operator's word, else the source's.

    What nobody knows counts as yes: `data_collection: "deny"` is a promise to the caller.
    """
    if row.collects_data is not None:
        return bool(row.collects_data)
    return row.capabilities.get("collects_data") is not False


def _is_withdrawn(row: AnyRow) -> bool:
    return row.disabled_at is not None or row.retired_at is not None


def _cards_in_force(
    rows: Iterable[AnyRow], *, at: datetime
) -> dict[tuple[int, str], pricing.PriceCard]:
    cards: dict[tuple[int, str], pricing.PriceCard] = {}
    for row in sorted(rows, key=lambda row: (row.effective_at, row.id)):
        if row.effective_at <= at:
            cards[row.offer_id, row.side] = price_card(row)
    return cards


def _offers(
    rows: Iterable[AnyRow],
    models: Mapping[int, AnyRow],
    providers: Mapping[int, AnyRow],
    cards: Mapping[tuple[int, str], pricing.PriceCard],
) -> dict[int, list[Offer]]:
    """Offers by model row. One without a price is left out: nothing unpriced is routable."""
    offers: dict[int, list[Offer]] = defaultdict(list)
    for row in rows:
        sale, cost = cards.get((row.id, "sale")), cards.get((row.id, "cost"))
        if sale is None or cost is None or _is_withdrawn(row):
            continue
        model = models[row.language_model_id]
        offers[model.id].append(_offer(row, model, providers[row.provider_id], sale, cost))
    return offers


def _offer(
    row: AnyRow,
    model: AnyRow,
    provider: AnyRow,
    sale: pricing.PriceCard,
    cost: pricing.PriceCard,
) -> Offer:
    listed = parameters.known(row, model)
    capabilities = parameters.narrowed(provider.kind, provider.capabilities, listed)
    states = parameters.states(
        provider.kind, row.upstream_model, capabilities, facts_of(model), listed
    )
    return Offer(
        id=row.id,
        model_id=model.slug,
        provider_slug=provider.slug,
        provider_name=provider.name,
        kind=provider.kind,
        upstream_model=row.upstream_model,
        is_available=is_ready(provider),
        is_free=row.is_free,
        weight=row.weight,
        bills_after_cancel=row.bills_after_cancel,
        sale=sale,
        cost=cost,
        capabilities=capabilities,
        context_tokens=row.context_tokens,
        output_tokens_max=row.output_tokens_max,
        deadlines=row.deadlines or {},
        collects_data=collects_data(provider),
        parameters=parameters.honoured(states),
    )


def facts_of(row: AnyRow) -> dict[str, Any]:
    """What adapters need to know of the model of this row."""
    return {**row.facts, "output_tokens_max": row.output_tokens_max}


def _model(row: AnyRow, offers: list[Offer]) -> Model:
    return Model(
        id=row.slug,
        name=row.name,
        author=row.author,
        description=row.description,
        context_tokens=row.context_tokens,
        output_tokens_max=row.output_tokens_max,
        input_modalities=tuple(row.input_modalities),
        output_modalities=tuple(row.output_modalities),
        parameters=parameters.of_all(offers),
        facts=facts_of(row),
        released_on=row.released_on,
        expires_on=row.expires_on,
        created_at=row.created_at,
        offers=tuple(offers),
    )


def _is_shown(model: Model) -> bool:
    """The demo's models are hidden where it is off; all others are shown, available or not."""
    kinds = {offer.kind for offer in model.offers}
    return bool(kinds) and (kinds != {DEMO_KIND} or model.is_available)


def _aliases(rows: Iterable[AnyRow], models: Mapping[str, Model]) -> dict[str, Model]:
    rows = list(rows)
    targets = {row.slug: row.target for row in rows}
    found = {}
    for row in rows:
        target = models.get(_end(row.target, targets, models))
        if target is None or row.slug in models:
            continue
        found[row.slug] = Model(
            id=row.slug,
            name=row.name,
            author=row.slug.partition("/")[0],
            description=target.description if row.status == RENAMED else row.note,
            context_tokens=target.context_tokens,
            output_tokens_max=target.output_tokens_max,
            input_modalities=target.input_modalities,
            output_modalities=target.output_modalities,
            parameters=target.parameters,
            facts=target.facts,
            released_on=None,
            expires_on=row.retired_on,
            created_at=row.created_at,
            offers=target.offers,
            status=row.status,
            replaced_by=target.id,
            note=row.note,
            former_rates=row.former_rates,
        )
    return found


def _end(slug: str, targets: Mapping[str, str], models: Mapping[str, Model]) -> str:
    """Where an alias leads in the end, when what it named has become an alias too."""
    for _ in range(ALIAS_STEPS_MAX):
        if slug in models or slug not in targets:
            break
        slug = targets[slug]
    return slug
