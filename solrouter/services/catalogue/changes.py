"""What an operator does to the catalogue: adds providers, models and offers; sees who is ready."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection, Row, func, insert, select, update

from solrouter import database, secrets
from solrouter.clock import utcnow
from solrouter.errors import Refused, SolRouterError
from solrouter.models import LanguageModel, Offer, PriceCard, Provider
from solrouter.services.catalogue import snapshot

KINDS = ("openai", "anthropic", "google", "demo")
SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
MODEL_ID = re.compile(r"[a-z0-9][a-z0-9.-]*/[A-Za-z0-9][A-Za-z0-9._:-]*")
# An operator's own base URL may be anything that speaks the dialect, so what we do not know passes.
OWN_CAPABILITIES: dict[str, Any] = {"passes_unknown_fields": True, "max_tokens_field": "max_tokens"}
OWN_PARAMETERS = ("max_tokens", "stop", "temperature", "tool_choice", "tools", "top_p")


@dataclass(frozen=True, slots=True)
class ProviderRow:
    """A provider as an operator sees it; of its key only where it comes from."""

    slug: str
    name: str
    kind: str
    base_url: str
    is_ready: bool
    key_source: str
    models: int
    disabled: bool


@dataclass(frozen=True, slots=True)
class OfferTerms:
    """What an operator says of a new offer; prices are nanodollars per 1,000,000 tokens."""

    model_id: str
    provider_slug: str
    upstream_model: str
    input_nanos: int
    output_nanos: int
    context_tokens: int
    output_tokens_max: int | None = None
    cost_input_nanos: int | None = None
    cost_output_nanos: int | None = None


def providers() -> list[ProviderRow]:
    """Every provider, those that are ready first."""
    counts = (
        select(
            Offer.provider_id, func.count(func.distinct(Offer.language_model_id)).label("models")
        )
        .group_by(Offer.provider_id)
        .subquery()
    )
    statement = select(*Provider.__table__.columns, counts.c.models).outerjoin(
        counts, counts.c.provider_id == Provider.id
    )
    with database.read() as connection:
        rows = connection.execute(statement).all()
    found = [
        ProviderRow(
            slug=row.slug,
            name=row.name,
            kind=row.kind,
            base_url=row.base_url,
            is_ready=snapshot.is_ready(row),
            key_source=_key_source(row),
            models=row.models or 0,
            disabled=row.disabled_at is not None,
        )
        for row in rows
    ]
    return sorted(found, key=lambda row: (not row.is_ready, row.slug))


def add_provider(
    *,
    slug: str,
    kind: str,
    base_url: str,
    api_key: str | None = None,
    name: str | None = None,
) -> bool:
    """Adds a provider, or gives one that is there another key. Returns whether anything changed.

    Raises Refused when the words do not fit or another provider has the slug.
    """
    base_url = base_url.strip().rstrip("/")
    _check_provider(slug=slug, kind=kind, base_url=base_url)
    values: dict[str, Any] = {
        "slug": slug,
        "name": name or slug,
        "kind": kind,
        "base_url": base_url,
        "key_settings": [],
        "key_encrypted": secrets.current().encrypt(api_key) if api_key else None,
        "needs_key": False,
        "capabilities": OWN_CAPABILITIES if kind == "openai" else {},
        "created_at": utcnow(),
    }

    # Read before the transaction: its thread has no app, and so no secrets.
    is_new_key = api_key is not None and api_key != _known_key(slug)

    def verb(connection: Connection) -> bool:
        found = connection.execute(
            select(Provider.kind, Provider.base_url).where(Provider.slug == slug)
        ).one_or_none()
        if found is not None:
            if (found.kind, found.base_url) == (kind, base_url):
                if is_new_key:
                    _change_key(connection, slug, values["key_encrypted"])
                return is_new_key
            raise Refused(f"There is another provider “{slug}” at {found.base_url}.", param="slug")
        connection.execute(insert(Provider).values(**values))
        snapshot.bump_version(connection)
        return True

    return database.transact(verb)


def _known_key(slug: str) -> str | None:
    """The key that a provider has already."""
    query = select(*Provider.__table__.columns).where(Provider.slug == slug)
    with database.read() as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else snapshot.provider_key(row)


def _change_key(connection: Connection, slug: str, encrypted: bytes) -> None:
    changed = update(Provider).where(Provider.slug == slug).values(key_encrypted=encrypted)
    connection.execute(changed)
    snapshot.bump_version(connection)


def add_offer(terms: OfferTerms) -> bool:
    """Adds a provider's way to serve a model, and the model itself if it is new; both priced from
    now.

    Does nothing if the same offer is there at the same price; another price is a new dated card.
    Returns whether anything was added. Raises Refused.
    """
    _check_terms(terms)
    now = utcnow()

    def verb(connection: Connection) -> bool:
        provider_id = connection.execute(
            select(Provider.id).where(Provider.slug == terms.provider_slug)
        ).scalar()
        if provider_id is None:
            raise Refused(f"There is no provider “{terms.provider_slug}”.", param="provider")
        model_id = _ensure_model(connection, terms, now)
        offer_id = _ensure_offer(connection, terms, model_id, provider_id, now)
        added = _ensure_cards(connection, terms, offer_id, now)
        if added:
            snapshot.bump_version(connection)
        return added

    return database.transact(verb)


def ready() -> bool:
    """Whether the database answers and holds our tables."""
    try:
        snapshot.fresh()
    except SolRouterError:
        return False
    return True


def _key_source(row: Row[*tuple[Any, ...]]) -> str:
    if row.key_encrypted is not None:
        return "stored"
    if not row.needs_key:
        return "none needed"
    return "environment" if snapshot.provider_key(row) else "missing"


def _check_provider(*, slug: str, kind: str, base_url: str) -> None:
    if not SLUG.fullmatch(slug):
        raise Refused("A slug is lower-case letters, digits and dashes, at most 40.", param="slug")
    if kind not in KINDS:
        raise Refused(f"A kind is one of {', '.join(KINDS)}.", param="kind")
    parts = urlsplit(base_url)
    if kind != "demo" and (parts.scheme not in ("http", "https") or not parts.netloc):
        raise Refused("A base URL begins with http:// or https://.", param="base_url")


def _check_terms(terms: OfferTerms) -> None:
    if not MODEL_ID.fullmatch(terms.model_id):
        raise Refused("A model id is AUTHOR/NAME, such as acme/tiny-1.", param="model")
    if not terms.upstream_model.strip():
        raise Refused("Say what the provider calls the model.", param="upstream")
    costs = (terms.cost_input_nanos or 0, terms.cost_output_nanos or 0)
    if min(terms.input_nanos, terms.output_nanos, *costs) < 0:
        raise Refused("A price cannot be negative.", param="input")
    if terms.context_tokens <= 0:
        raise Refused("A context length is a number of tokens.", param="context")
    if terms.output_tokens_max is not None and terms.output_tokens_max <= 0:
        raise Refused("A maximum output is a number of tokens.", param="max_output")


def _ensure_model(connection: Connection, terms: OfferTerms, now: datetime) -> int:
    found = connection.execute(
        select(LanguageModel.id).where(LanguageModel.slug == terms.model_id)
    ).scalar()
    if found is not None:
        return int(found)
    author, _, name = terms.model_id.partition("/")
    values = {
        "slug": terms.model_id,
        "author": author,
        "name": name,
        "description": f"Added by the operator of this server; served by {terms.provider_slug}.",
        "context_tokens": terms.context_tokens,
        "output_tokens_max": terms.output_tokens_max,
        "input_modalities": ["text"],
        "output_modalities": ["text"],
        "parameters": list(OWN_PARAMETERS),
        "facts": {"system_role": True},
        "created_at": now,
    }
    statement = insert(LanguageModel).values(**values).returning(LanguageModel.id)
    return int(connection.execute(statement).scalar_one())


def _ensure_offer(
    connection: Connection, terms: OfferTerms, model_id: int, provider_id: int, now: datetime
) -> int:
    found = connection.execute(
        select(Offer.id).where(
            Offer.language_model_id == model_id,
            Offer.provider_id == provider_id,
            Offer.upstream_model == terms.upstream_model,
        )
    ).scalar()
    if found is not None:
        return int(found)
    statement = (
        insert(Offer)
        .values(
            language_model_id=model_id,
            provider_id=provider_id,
            upstream_model=terms.upstream_model,
            is_free=terms.input_nanos == terms.output_nanos == 0,
            created_at=now,
        )
        .returning(Offer.id)
    )
    return int(connection.execute(statement).scalar_one())


def _ensure_cards(connection: Connection, terms: OfferTerms, offer_id: int, now: datetime) -> bool:
    sale = {"input": terms.input_nanos, "output": terms.output_nanos}
    cost = {
        "input": terms.input_nanos if terms.cost_input_nanos is None else terms.cost_input_nanos,
        "output": terms.output_nanos
        if terms.cost_output_nanos is None
        else terms.cost_output_nanos,
    }
    added = False
    for side, rates in (("sale", sale), ("cost", cost)):
        newest = connection.execute(
            select(PriceCard.rates)
            .where(PriceCard.offer_id == offer_id, PriceCard.side == side)
            .order_by(PriceCard.effective_at.desc())
            .limit(1)
        ).scalar()
        if newest == rates:
            continue
        values = {"offer_id": offer_id, "side": side, "rates": rates, "effective_at": now}
        connection.execute(
            insert(PriceCard).values(
                **values, tiers=[], windows=[], source="operator", created_at=now
            )
        )
        added = True
    return added
