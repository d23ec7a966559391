"""A model's dated prices: what held, what holds, what is to come; and one more of them.

A card is never edited. A new one begins now or later, and whatever began before stays true for the
requests that began under it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, insert, select

from solrouter import database
from solrouter.clock import utcnow
from solrouter.errors import NotFound, Refused
from solrouter.models import LanguageModel, Offer, PriceCard, Provider
from solrouter.models.catalogue import OPERATOR
from solrouter.money import display_per_million
from solrouter.services import audit
from solrouter.services.catalogue import price_steps, snapshot
from solrouter.services.catalogue.rows import COST, SALE
from solrouter.services.pricing import PRICED_CLASSES, with_margin

PAST, HOLDS, COMING = "past", "holds", "coming"
MARGIN_PERCENT_MAX = Decimal(1000)
MARGIN_PERCENT_MIN = Decimal(-100)
AHEAD_MAX = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Card:
    """One dated price of an offer; rates are nanodollars per 1,000,000 units."""

    side: str
    effective_at: datetime
    rates: Mapping[str, int]
    tiers: int
    windows: int
    source: str
    state: str


@dataclass(frozen=True, slots=True)
class PricedOffer:
    """An offer of a model with all its prices, newest first."""

    id: int
    provider_slug: str
    provider_name: str
    upstream_model: str
    is_disabled: bool
    is_retired: bool
    source: str
    cards: tuple[Card, ...]

    def now(self, side: str) -> Card | None:
        """The price that holds."""
        return next((card for card in self.cards if (card.side, card.state) == (side, HOLDS)), None)

    @property
    def margin_percent(self) -> Decimal | None:
        """What is put on the input's cost; None where that is nothing, or not known."""
        cost, sale = self.now(COST), self.now(SALE)
        if cost is None or sale is None or not cost.rates.get("input"):
            return None
        part = Decimal(sale.rates.get("input", 0) - cost.rates["input"]) / cost.rates["input"]
        return (part * 100).quantize(Decimal("0.01"))


@dataclass(frozen=True, slots=True)
class PricedModel:
    """A model as an operator sees it."""

    slug: str
    name: str
    is_disabled: bool
    is_retired: bool
    source: str
    offers: tuple[PricedOffer, ...]


@dataclass(frozen=True, slots=True)
class NewPrice:
    """What an operator wants a price to be: a margin on the cost, or rates.

    `begins_at` is None for now. With `is_sure` a jump beyond belief is taken.
    """

    offer_id: int
    begins_at: datetime | None = None
    margin_percent: Decimal | None = None
    side: str = SALE
    rates: Mapping[str, int] | None = None
    is_sure: bool = False


def of_model(slug: str) -> PricedModel:
    """The model with its offers and their prices. Raises NotFound."""
    query = select(*LanguageModel.__table__.columns).where(LanguageModel.slug == slug)
    with database.read() as connection:
        model = connection.execute(query).one_or_none()
        if model is None:
            raise NotFound(f"There is no model “{slug}” of this server.")
        offers = connection.execute(
            select(*Offer.__table__.columns, Provider.slug.label("slug"), Provider.name.label("by"))
            .join(Provider, Provider.id == Offer.provider_id)
            .where(Offer.language_model_id == model.id)
            .order_by(Provider.slug, Offer.id)
        ).all()
        cards = connection.execute(
            select(*PriceCard.__table__.columns)
            .where(PriceCard.offer_id.in_([offer.id for offer in offers]))
            .order_by(PriceCard.effective_at.desc(), PriceCard.id.desc())
        ).all()
    now = utcnow()
    return PricedModel(
        model.slug,
        model.name,
        model.disabled_at is not None,
        model.retired_at is not None,
        model.source,
        tuple(_priced(offer, cards, now) for offer in offers),
    )


def change(wanted: NewPrice, *, actor: str) -> None:
    """Appends the price. Raises Refused (`margin`, a class, `begins`, `sure`) and NotFound."""
    now = utcnow()
    begins_at = wanted.begins_at or now
    if wanted.begins_at is not None and not now < wanted.begins_at <= now + AHEAD_MAX:
        raise Refused("A price begins later than now, and within a year.", param="begins")

    def verb(connection: Connection) -> None:
        offer = _offer(connection, wanted.offer_id)
        standing = _in_force(connection, wanted.offer_id, begins_at)
        before = standing.get(wanted.side)
        card = _card(wanted, standing)
        if before is not None:
            _refuse_jump(wanted, before, card)
        taken = connection.execute(
            select(PriceCard.id).where(
                PriceCard.offer_id == wanted.offer_id,
                PriceCard.side == wanted.side,
                PriceCard.effective_at == begins_at,
            )
        ).first()
        if taken is not None:
            raise Refused("Another price begins at that very time.", param="begins")
        connection.execute(
            insert(PriceCard).values(
                offer_id=wanted.offer_id,
                side=wanted.side,
                effective_at=begins_at,
                source=OPERATOR,
                created_at=now,
                **card,
            )
        )
        connection.execute(_event(offer, wanted, before, card, actor))
        snapshot.bump_version(connection)

    database.transact(verb)


def _card(wanted: NewPrice, standing: Mapping[str, Any]) -> dict[str, Any]:
    if wanted.margin_percent is not None:
        if not MARGIN_PERCENT_MIN < wanted.margin_percent <= MARGIN_PERCENT_MAX:
            raise Refused("A margin is more than -100 % and at most 1000 %.", param="margin")
        cost = standing.get(COST)
        if cost is None:
            raise Refused("What it costs us is not known at that time.", param="margin")
        return _with_margin(cost, int(wanted.margin_percent * 1_000_000))
    before = standing.get(wanted.side)
    if before is not None and (before["tiers"] or before["windows"]):
        raise Refused(
            "This price depends on the prompt’s size or on the hour, so it changes by its margin, "
            "or with a catalogue.",
            param="input",
        )
    rates = dict(wanted.rates or {})
    assert set(rates) <= set(PRICED_CLASSES)
    if min(rates.values(), default=-1) < 0 or not {"input", "output"} <= rates.keys():
        raise Refused("Give a price for input and output, zero or more.", param="input")
    # What the form does not show stays as it was.
    kept = {} if before is None else before["rates"]
    return {"rates": {**kept, **rates}, "tiers": [], "windows": []}


def _with_margin(cost: Mapping[str, Any], margin_percent_e6: int) -> dict[str, Any]:
    def marked_up(part: Mapping[str, Any]) -> dict[str, Any]:
        return {**part, "rates": with_margin(part["rates"], margin_percent_e6=margin_percent_e6)}

    return {
        "rates": with_margin(cost["rates"], margin_percent_e6=margin_percent_e6),
        "tiers": [marked_up(tier) for tier in cost["tiers"]],
        "windows": [marked_up(window) for window in cost["windows"]],
    }


def _refuse_jump(wanted: NewPrice, before: Mapping[str, Any], card: Mapping[str, Any]) -> None:
    told = price_steps.jumps("This offer", wanted.side, before, card)
    if told and not wanted.is_sure:
        raise Refused(f"{told[0]}. If that is meant, say so below.", param="sure")


def _offer(connection: Connection, offer_id: int) -> Any:
    """Locked, so that of two prices at once one sees the other."""
    query = (
        select(Offer.id, LanguageModel.slug, Provider.slug.label("provider"))
        .join(LanguageModel, LanguageModel.id == Offer.language_model_id)
        .join(Provider, Provider.id == Offer.provider_id)
        .where(Offer.id == offer_id)
        .with_for_update(of=Offer)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("There is no such offer.")
    return row


def _in_force(connection: Connection, offer_id: int, at: datetime) -> dict[str, dict[str, Any]]:
    """The card of each side that holds at a time."""
    query = select(*PriceCard.__table__.columns).where(
        PriceCard.offer_id == offer_id, PriceCard.effective_at <= at
    )
    rows = connection.execute(query.order_by(PriceCard.effective_at, PriceCard.id)).all()
    return {
        row.side: {"rates": row.rates, "tiers": row.tiers, "windows": row.windows} for row in rows
    }


def _priced(offer: Any, cards: Any, now: datetime) -> PricedOffer:
    mine = [card for card in cards if card.offer_id == offer.id]
    holding = {
        side: next(
            (card.id for card in mine if card.side == side and card.effective_at <= now), None
        )
        for side in (COST, SALE)
    }
    return PricedOffer(
        offer.id,
        offer.slug,
        offer.by,
        offer.upstream_model,
        offer.disabled_at is not None,
        offer.retired_at is not None,
        offer.source,
        tuple(
            Card(
                card.side,
                card.effective_at,
                card.rates,
                len(card.tiers or ()),
                len(card.windows or ()),
                card.source,
                _state(card, holding[card.side], now),
            )
            for card in mine
        ),
    )


def _state(card: Any, holding_id: int | None, now: datetime) -> str:
    if card.id == holding_id:
        return HOLDS
    return COMING if card.effective_at > now else PAST


def _event(
    offer: Any,
    wanted: NewPrice,
    before: Mapping[str, Any] | None,
    card: Mapping[str, Any],
    actor: str,
) -> Any:
    old = {} if before is None else before["rates"]
    details: dict[str, Any] = {"provider": offer.provider, "side": wanted.side}
    for name in ("input", "output"):
        change_of = (old.get(name), card["rates"].get(name))
        details[name] = [None if rate is None else display_per_million(rate) for rate in change_of]
    if wanted.begins_at is not None:
        details["begins"] = wanted.begins_at.isoformat(timespec="minutes")
    return audit.event(actor=actor, action="price.set", subject=offer.slug, details=details)
