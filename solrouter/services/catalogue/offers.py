"""Offers that an operator makes: a provider's way to serve a model, with its prices."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from solrouter import database
from solrouter.clock import utcnow
from solrouter.errors import Refused
from solrouter.models import LanguageModel, Offer, PriceCard, Provider, columns
from solrouter.models.catalogue import OPERATOR
from solrouter.services import audit
from solrouter.services.catalogue import snapshot
from solrouter.services.catalogue.documents import TOKENS_MAX

MODEL_ID = re.compile(r"[a-z0-9][a-z0-9.-]*/[A-Za-z0-9][A-Za-z0-9._:-]*")
OWN_PARAMETERS = ("max_tokens", "stop", "temperature", "tool_choice", "tools", "top_p")


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


def add_offer(terms: OfferTerms, *, actor: str = audit.COMMAND) -> bool:
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
            event = audit.event(
                actor=actor, action="offer.added", subject=terms.model_id, details=_told(terms)
            )
            connection.execute(event)
            snapshot.bump_version(connection)
        return added

    return database.transact(verb)


def _told(terms: OfferTerms) -> dict[str, Any]:
    """What the audit trail keeps of an offer: whose it is, and the prices a million tokens."""
    return {
        "provider": terms.provider_slug,
        "name_there": terms.upstream_model,
        "input_nanos": terms.input_nanos,
        "output_nanos": terms.output_nanos,
    }


def _check_terms(terms: OfferTerms) -> None:
    if not MODEL_ID.fullmatch(terms.model_id):
        raise Refused("A model id is AUTHOR/NAME, such as acme/tiny-1.", param="model")
    if not terms.upstream_model.strip():
        raise Refused("Say what the provider calls the model.", param="upstream")
    author = terms.model_id.partition("/")[0]
    for text, column, param in (
        (author, LanguageModel.author, "model"),
        (terms.model_id, LanguageModel.slug, "model"),
        (terms.upstream_model, Offer.upstream_model, "upstream"),
    ):
        most = columns.characters_max(column)
        if len(text) > most:
            raise Refused(f"“{text[:20]}…” is longer than {most} characters.", param=param)
    costs = (terms.cost_input_nanos or 0, terms.cost_output_nanos or 0)
    if min(terms.input_nanos, terms.output_nanos, *costs) < 0:
        raise Refused("A price cannot be negative.", param="input")
    if not 0 < terms.context_tokens <= TOKENS_MAX:
        raise Refused(f"A context length is 1 to {TOKENS_MAX:,} tokens.", param="context")
    if terms.output_tokens_max is not None and not 0 < terms.output_tokens_max <= TOKENS_MAX:
        raise Refused(f"A maximum output is 1 to {TOKENS_MAX:,} tokens.", param="max_output")


def _ensure_model(connection: Connection, terms: OfferTerms, now: datetime) -> int:
    found = connection.execute(
        select(LanguageModel.id, LanguageModel.retired_at).where(
            LanguageModel.slug == terms.model_id
        )
    ).one_or_none()
    if found is not None:
        if found.retired_at is not None:
            _take_over(connection, LanguageModel, found.id)
        return int(found.id)
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
        select(Offer.id, Offer.retired_at).where(
            Offer.language_model_id == model_id,
            Offer.provider_id == provider_id,
            Offer.upstream_model == terms.upstream_model,
        )
    ).one_or_none()
    if found is not None:
        if found.retired_at is not None:
            _take_over(connection, Offer, found.id)
        return int(found.id)
    statement = (
        insert(Offer)
        .values(
            language_model_id=model_id,
            provider_id=provider_id,
            upstream_model=terms.upstream_model,
            is_free=terms.input_nanos == terms.output_nanos == 0,
            context_tokens=terms.context_tokens,
            output_tokens_max=terms.output_tokens_max,
            created_at=now,
        )
        .returning(Offer.id)
    )
    return int(connection.execute(statement).scalar_one())


def _take_over(connection: Connection, table: type[LanguageModel | Offer], row_id: int) -> None:
    """Brings back what a source retired: from now on it is the operator's."""
    changed = update(table).where(table.id == row_id).values(retired_at=None, source=OPERATOR)
    connection.execute(changed)
    snapshot.bump_version(connection)


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
                **values, tiers=[], windows=[], source=OPERATOR, created_at=now
            )
        )
        added = True
    return added
