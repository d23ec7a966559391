"""The catalogue as this process sees it: frozen, priced for now, under a version."""

import difflib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from weakref import WeakKeyDictionary

import sqlalchemy
from sqlalchemy import Row, Select, select

from solrouter import config, database, secrets
from solrouter.clock import utcnow
from solrouter.database import Database
from solrouter.errors import ModelRetired, ModelUnavailable, NotFound, UnknownModel
from solrouter.models import LanguageModel, ModelAlias, PriceCard, Provider, Version
from solrouter.models import Offer as OfferRow
from solrouter.services import pricing
from solrouter.services.routing import Offer, typical_price

CATALOGUE = "catalogue"
DEMO_KIND = "demo"
SUGGESTIONS_MAX = 3
RENAMED = "renamed"


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach a provider. Only here its key is plain text; never rendered or logged."""

    slug: str
    kind: str
    base_url: str
    api_key: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Model:
    """A model as people and programs see it; an alias carries the facts of what replaces it."""

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
    created_at: datetime
    offers: tuple[Offer, ...]
    status: str = "live"
    replaced_by: str | None = None
    note: str = ""
    former_rates: Mapping[str, int] | None = None

    @property
    def is_available(self) -> bool:
        """Whether some provider can serve it here, now."""
        return any(offer.is_available for offer in self.offers)

    @property
    def cheapest(self) -> Offer | None:
        """The cheapest offer that can serve; else the cheapest of all."""
        usable = [offer for offer in self.offers if offer.is_available] or list(self.offers)
        return min(usable, key=typical_price, default=None)

    @property
    def input_nanos(self) -> int:
        """Nanodollars per million input tokens, of the cheapest offer."""
        return self.cheapest.sale.rate("input") if self.cheapest else 0

    @property
    def output_nanos(self) -> int:
        """Nanodollars per million output tokens, of the cheapest offer."""
        return self.cheapest.sale.rate("output") if self.cheapest else 0


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a requested id means: the model to serve, and what the caller should be told."""

    model: Model
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Snapshot:
    """Everything on offer, at one version. `stale_at` is when the next dated price begins."""

    version: int
    models: Mapping[str, Model]
    connections: Mapping[str, Connection]
    stale_at: datetime | None


_snapshots: WeakKeyDictionary[Database, Snapshot] = WeakKeyDictionary()


def current() -> Snapshot:
    """The snapshot in memory, read now if there is none or a new price has begun."""
    snapshot = _snapshots.get(database.current())
    if snapshot is None or (snapshot.stale_at is not None and snapshot.stale_at <= utcnow()):
        return reload()
    return snapshot


def fresh() -> Snapshot:
    """The snapshot at the database's version: one small statement when nothing has changed."""
    snapshot = current()
    with database.read() as connection:
        version = connection.execute(version_statement()).scalar_one()
    return snapshot if version == snapshot.version else reload()


def reload() -> Snapshot:
    """Reads the catalogue anew."""
    snapshot = _read()
    _snapshots[database.current()] = snapshot
    return snapshot


def version_statement() -> Select[int]:
    """Asks the database for the catalogue's version; the admission runs it too."""
    return select(Version.number).where(Version.name == CATALOGUE)


def listing() -> list[Model]:
    """Every model and alias that may be shown, sorted by id."""
    return sorted(fresh().models.values(), key=lambda model: model.id)


def search(query: str, *, author: str | None = None, available_only: bool = False) -> list[Model]:
    """The models whose id, name or description holds every word of the query."""
    words = query.lower().split()
    return [
        model
        for model in listing()
        if all(word in f"{model.id} {model.name} {model.description}".lower() for word in words)
        and author in (None, "", model.author)
        and (model.is_available or not available_only)
    ]


def find(model_id: str) -> Model:
    """One model or alias, whether it can be served or not. Raises NotFound."""
    model = fresh().models.get(model_id)
    if model is None:
        raise NotFound(f"There is no model “{model_id}”. The list is at /models.", param="model")
    return model


def resolve(snapshot: Snapshot, model_id: str) -> Resolution:
    """The model that answers to this id. Raises UnknownModel, ModelRetired, ModelUnavailable."""
    model = snapshot.models.get(model_id)
    if model is None:
        raise _unknown(snapshot, model_id)
    target = snapshot.models[model.replaced_by] if model.replaced_by else model
    if model.former_rates and _is_dearer(target, than=model.former_rates):
        raise ModelRetired(
            f"The model “{model_id}” has been retired. Its replacement “{target.id}” costs more, "
            "so it is not served in its place: ask for it by its own id.",
            param="model",
            metadata={"replaced_by": target.id},
        )
    if not target.is_available:
        raise ModelUnavailable(
            f"The model “{model_id}” is not available on this server: none of its providers is set "
            "up. See the Models page for those that are.",
            param="model",
        )
    is_replaced = model.replaced_by is not None and model.status != RENAMED
    told = f"model: “{model_id}” is {model.status}; “{target.id}” answered in its place."
    return Resolution(target, (told,) if is_replaced else ())


def _unknown(snapshot: Snapshot, model_id: str) -> UnknownModel:
    near = difflib.get_close_matches(model_id, snapshot.models, SUGGESTIONS_MAX, cutoff=0.6)
    hint = f" Did you mean {' or '.join(near)}?" if near else " The list is on the Models page."
    return UnknownModel(f"There is no model “{model_id[:200]}”.{hint}", param="model")


def _is_dearer(target: Model, *, than: Mapping[str, int]) -> bool:
    """Whether any class that both name costs more at the replacement."""
    offer = target.cheapest
    return offer is not None and any(
        name in than and offer.sale.rate(name) > than[name] for name in ("input", "output")
    )


def _read() -> Snapshot:
    with database.read() as connection:
        version = connection.execute(version_statement()).scalar_one()
        provider_rows = connection.execute(select(*Provider.__table__.columns)).all()
        model_rows = connection.execute(select(*LanguageModel.__table__.columns)).all()
        offer_rows = connection.execute(select(*OfferRow.__table__.columns)).all()
        card_rows = connection.execute(select(*PriceCard.__table__.columns)).all()
        alias_rows = connection.execute(select(*ModelAlias.__table__.columns)).all()
    now = utcnow()
    providers = {row.id: row for row in provider_rows}
    connections = {row.slug: connection_of(row) for row in provider_rows}
    cards = _cards_in_force(card_rows, at=now)
    offers = _offers(offer_rows, model_rows, providers, cards)
    models = {row.slug: _model(row, offers[row.id]) for row in model_rows if not row.disabled_at}
    models = {slug: model for slug, model in models.items() if _is_shown(model)}
    models.update(_aliases(alias_rows, models))
    future = [row.effective_at for row in card_rows if row.effective_at > now]
    return Snapshot(version, models, connections, min(future, default=None))


def _cards_in_force(
    rows: Iterable[Row[*tuple[Any, ...]]], *, at: datetime
) -> dict[tuple[int, str], pricing.PriceCard]:
    cards: dict[tuple[int, str], pricing.PriceCard] = {}
    for row in sorted(rows, key=lambda row: (row.effective_at, row.id)):
        if row.effective_at <= at:
            cards[row.offer_id, row.side] = price_card(row)
    return cards


def price_card(row: Row[*tuple[Any, ...]]) -> pricing.PriceCard:
    """A row of price_cards as pricing reads it."""
    return pricing.PriceCard(
        row.id, row.effective_at, row.rates, tuple(row.tiers), tuple(row.windows)
    )


def _offers(
    rows: Iterable[Row[*tuple[Any, ...]]],
    model_rows: Iterable[Row[*tuple[Any, ...]]],
    providers: Mapping[int, Row[*tuple[Any, ...]]],
    cards: Mapping[tuple[int, str], pricing.PriceCard],
) -> dict[int, list[Offer]]:
    """Offers by model row. One without a price is left out: nothing unpriced is routable."""
    slugs = {row.id: row.slug for row in model_rows}
    offers: dict[int, list[Offer]] = defaultdict(list)
    for row in rows:
        sale, cost = cards.get((row.id, "sale")), cards.get((row.id, "cost"))
        if sale is None or cost is None or row.disabled_at is not None:
            continue
        provider = providers[row.provider_id]
        offers[row.language_model_id].append(
            Offer(
                id=row.id,
                model_id=slugs[row.language_model_id],
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
                capabilities=provider.capabilities,
            )
        )
    return offers


def _model(row: Row[*tuple[Any, ...]], offers: list[Offer]) -> Model:
    return Model(
        id=row.slug,
        name=row.name,
        author=row.author,
        description=row.description,
        context_tokens=row.context_tokens,
        output_tokens_max=row.output_tokens_max,
        input_modalities=tuple(row.input_modalities),
        output_modalities=tuple(row.output_modalities),
        parameters=tuple(row.parameters),
        facts={**row.facts, "output_tokens_max": row.output_tokens_max},
        released_on=row.released_on,
        expires_on=row.expires_on,
        created_at=row.created_at,
        offers=tuple(offers),
    )


def _is_shown(model: Model) -> bool:
    """The demo's models are hidden where it is off; all others are shown, available or not."""
    kinds = {offer.kind for offer in model.offers}
    return bool(kinds) and (kinds != {DEMO_KIND} or model.is_available)


def _aliases(
    rows: Iterable[Row[*tuple[Any, ...]]], models: Mapping[str, Model]
) -> dict[str, Model]:
    found = {}
    for row in rows:
        target = models.get(row.target)
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


def connection_of(row: Row[*tuple[Any, ...]]) -> Connection:
    """How to reach the provider of this row."""
    return Connection(row.slug, row.kind, row.base_url, provider_key(row))


def provider_key(row: Row[*tuple[Any, ...]]) -> str | None:
    """The provider's key: the stored one, else the first of its settings that is set."""
    if row.key_encrypted is not None:
        try:
            return secrets.current().decrypt(row.key_encrypted)
        except secrets.Undecipherable:
            return None
    settings = config.current()
    return next((settings[name] for name in row.key_settings if settings.get(name)), None)


def is_ready(row: Row[*tuple[Any, ...]]) -> bool:
    """Whether the provider is switched on and has the key that it needs."""
    if row.disabled_at is not None:
        return False
    if row.kind == DEMO_KIND:
        return bool(config.current()["SOLROUTER_DEMO"])
    return not row.needs_key or provider_key(row) is not None


def bump_version(connection: sqlalchemy.Connection) -> None:
    """Tells every process that the catalogue has changed; part of the change's transaction."""
    connection.execute(
        sqlalchemy.update(Version)
        .where(Version.name == CATALOGUE)
        .values(number=Version.number + 1)
    )
