"""A catalogue document against the database: what is added, changed and retired. Changes nothing.

Only what came from a source is changed or retired; what an operator made, and a sale price that an
operator set, stay as they are.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from solrouter.models import LanguageModel, ModelAlias, Offer, PriceCard, Provider
from solrouter.models.catalogue import OPERATOR
from solrouter.services.catalogue import price_steps, rows
from solrouter.services.catalogue.documents import Document, ModelItem, OfferItem, ProviderItem
from solrouter.services.catalogue.packaged import priced_by_operator
from solrouter.services.catalogue.price_steps import PriceChange, PriceStep
from solrouter.services.catalogue.rows import COST, SALE, Values

# More than this share of all models never vanishes at once.
VANISHING_PERCENT_MAX = 50
# A context that shrinks to less than this share of itself is rather a slip.
CONTEXT_PERCENT_MIN = 50
# What decides where a provider's key is sent.
ADDRESS_FIELDS = ("kind", "base_url", "key_settings", "needs_key")

AnyRow = Row[*tuple[Any, ...]]
OfferKey = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that is added, changed or retired, for people."""

    verb: str
    kind: str
    name: str
    note: str = ""


@dataclass(slots=True)
class Steps:
    """What has to be done, as data: two comparisons can be held against each other."""

    inserts: list[tuple[str, Values]] = field(default_factory=list)
    updates: list[tuple[str, str | int, Values]] = field(default_factory=list)
    retired: list[tuple[str, int]] = field(default_factory=list)
    offers: list[tuple[OfferKey, Values]] = field(default_factory=list)
    cards: list[tuple[OfferKey, str, PriceStep]] = field(default_factory=list)


@dataclass(slots=True)
class Difference:
    """How a source differs from the database; `jumps` are what is hard to believe about it."""

    entries: list[Entry] = field(default_factory=list)
    prices: list[PriceChange] = field(default_factory=list)
    jumps: list[str] = field(default_factory=list)
    steps: Steps = field(default_factory=Steps)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return self.steps == Steps()

    def count(self, verb: str, kind: str) -> int:
        """How many things of a kind are added, changed or retired."""
        return sum((entry.verb, entry.kind) == (verb, kind) for entry in self.entries)


def compare(
    connection: Connection, document: Document, *, margin: int, now: datetime
) -> Difference:
    """The difference between a document and what the database holds."""
    return _Comparison(connection, document, margin=margin, now=now).difference


class _Comparison:
    def __init__(
        self, connection: Connection, document: Document, *, margin: int, now: datetime
    ) -> None:
        self._document, self._margin, self._now = document, margin, now
        self._read(connection)
        self.difference = Difference()
        self._steps = self.difference.steps
        self._compare_providers()
        self._compare_models()
        self._compare_aliases()
        self._retire()

    def _read(self, connection: Connection) -> None:
        def all_of(table: Any) -> Iterable[AnyRow]:
            return connection.execute(select(*table.__table__.columns)).all()

        self._providers = {row.slug: row for row in all_of(Provider)}
        self._models = {row.slug: row for row in all_of(LanguageModel)}
        self._aliases = {row.slug: row for row in all_of(ModelAlias)}
        provider_slugs = {row.id: row.slug for row in self._providers.values()}
        model_slugs = {row.id: row.slug for row in self._models.values()}
        self._offers: dict[OfferKey, AnyRow] = {
            (
                model_slugs[row.language_model_id],
                provider_slugs[row.provider_id],
                row.upstream_model,
            ): row
            for row in all_of(Offer)
        }
        self._cards: dict[tuple[int, str], list[tuple[datetime, Values]]] = defaultdict(list)
        for row in sorted(all_of(PriceCard), key=lambda row: (row.effective_at, row.id)):
            card = {"rates": row.rates, "tiers": row.tiers, "windows": row.windows}
            self._cards[row.offer_id, row.side].append((row.effective_at, card))
        self._own_sales = priced_by_operator(connection)

    def _tell(self, verb: str, kind: str, name: str, note: str = "") -> None:
        self.difference.entries.append(Entry(verb, kind, name, note))

    def _compare_providers(self) -> None:
        settings = {name: row.slug for row in self._providers.values() for name in row.key_settings}
        for item in self._document.providers:
            values = rows.provider_values(item)
            row = self._providers.get(item.slug)
            if row is None:
                self._steps.inserts.append(("providers", {"slug": item.slug, **values}))
                self._tell("added", "provider", item.slug, item.base_url)
                self._doubt_key(item, settings)
            elif row.source != OPERATOR and (different := rows.changed(row, values)):
                self._steps.updates.append(("providers", row.id, different))
                self._tell("changed", "provider", item.slug, ", ".join(different))
                self._doubt_address(row, different)

    def _doubt_key(self, item: ProviderItem, settings: Mapping[str, str]) -> None:
        for name in item.key_settings:
            if name in settings:
                self.difference.jumps.append(
                    f"{item.slug}: the key of {settings[name]} ({name}) would be sent to "
                    f"{item.base_url}"
                )

    def _doubt_address(self, row: AnyRow, different: Values) -> None:
        moved = [name for name in ADDRESS_FIELDS if name in different]
        old, new = row.capabilities, different.get("capabilities", row.capabilities)
        if old.get("messages_base_url") != new.get("messages_base_url"):
            moved.append("messages_base_url")
        if moved:
            where = different.get("base_url", row.base_url)
            self.difference.jumps.append(
                f"{row.slug}: where its key is sent would change ({', '.join(moved)}; {where})"
            )

    def _compare_models(self) -> None:
        for item in self._document.models:
            values = rows.model_values(item)
            row = self._models.get(item.id)
            if row is None:
                self._steps.inserts.append(("language_models", {"slug": item.id, **values}))
                self._tell("added", "model", item.id)
            elif row.source != OPERATOR:
                self._compare_model(item, row, values)
            for offer in item.offers:
                self._compare_offer(item, offer)

    def _compare_model(self, item: ModelItem, row: AnyRow, values: Values) -> None:
        different = rows.changed(row, values)
        if row.retired_at is not None:
            back = different | {"retired_at": None}
            self._steps.updates.append(("language_models", row.id, back))
            self._tell("added", "model", item.id, "is back")
        elif different:
            self._steps.updates.append(("language_models", row.id, different))
            self._tell("changed", "model", item.id, ", ".join(different))
        self._doubt_context(item.id, row.context_tokens, item.context_tokens)

    def _doubt_context(self, name: str, old: int | None, new: int | None) -> None:
        if old and new and new * 100 < old * CONTEXT_PERCENT_MIN:
            self.difference.jumps.append(
                f"{name}: the context would shrink from {old:,} to {new:,} tokens"
            )

    def _compare_offer(self, model: ModelItem, item: OfferItem) -> None:
        key = (model.id, item.provider, item.upstream_model)
        name = f"{model.id} at {item.provider}"
        values = rows.offer_values(item)
        row = self._offers.get(key)
        if row is None:
            self._steps.offers.append((key, values))
            self._tell("added", "offer", name, item.upstream_model)
            self._price_new(key, item, name)
            return
        if row.source == OPERATOR:
            return
        different = rows.changed(row, values)
        if row.retired_at is not None:
            self._steps.updates.append(("offers", row.id, different | {"retired_at": None}))
            self._tell("added", "offer", name, "is back")
        elif different:
            self._steps.updates.append(("offers", row.id, different))
            self._tell("changed", "offer", name, ", ".join(different))
        self._doubt_context(name, row.context_tokens, item.context_tokens)
        self._price(key, row.id, item, name)

    def _card(self, item: OfferItem, side: str, at: datetime) -> Values:
        price = rows.in_force(item.prices, at)
        return rows.card_values(price, side, margin_percent_e6=self._margin)

    def _price_new(self, key: OfferKey, item: OfferItem, name: str) -> None:
        """A new offer is priced from its source's own dates, and held against its siblings."""
        for side in (COST, SALE):
            for price in item.prices:
                card = rows.card_values(price, side, margin_percent_e6=self._margin)
                self._steps.cards.append((key, side, PriceStep(price.effective_at, card)))
        new = self._card(item, COST, self._now)["rates"]
        if not item.is_free and not (new["input"] and new["output"]):
            self.difference.jumps.append(f"{name}: costs nothing, and yet is not marked free")
        for (model_id, provider, _), row in self._offers.items():
            if model_id != key[0] or row.retired_at is not None:
                continue
            for old in self._in_force(row.id, COST):
                for kind in ("input", "output"):
                    if price_steps.is_jump(old["rates"].get(kind, 0), new[kind]):
                        self.difference.jumps.append(
                            f"{name}: the cost of {kind} is far from that at {provider}"
                        )

    def _in_force(self, offer_id: int, side: str) -> list[Values]:
        """The card in force, if any."""
        return [card for when, card in self._cards[offer_id, side] if when <= self._now][-1:]

    def _price(self, key: OfferKey, offer_id: int, item: OfferItem, name: str) -> None:
        for side in (COST, SALE):
            if side == SALE and offer_id in self._own_sales:
                continue
            if not self._in_force(offer_id, side):
                card = self._card(item, side, self._now)
                self._steps.cards.append((key, side, PriceStep(None, card)))
                continue
            found = price_steps.steps(
                self._cards[offer_id, side],
                wanted=lambda when, side=side: self._card(item, side, when),  # type: ignore[misc]
                starts=[price.effective_at for price in item.prices],
                now=self._now,
            )
            for step, before in found:
                self._steps.cards.append((key, side, step))
                self.difference.prices += price_steps.changes(name, side, step, before)
                self.difference.jumps += price_steps.jumps(name, side, before, step.card)

    def _compare_aliases(self) -> None:
        for item in self._document.aliases:
            values = rows.alias_values(item)
            row = self._aliases.get(item.id)
            if row is None:
                self._steps.inserts.append(("model_aliases", {"slug": item.id, **values}))
                self._tell("added", "alias", item.id, f"→ {item.target}")
            elif row.source != OPERATOR and (different := rows.changed(row, values)):
                self._steps.updates.append(("model_aliases", row.slug, different))
                self._tell("changed", "alias", item.id, ", ".join(different))

    def _retire(self) -> None:
        """Takes out of service what the source no longer has. An alias stays: callers use it."""
        known = {
            (model.id, offer.provider, offer.upstream_model)
            for model in self._document.models
            for offer in model.offers
        }
        ids = {model.id for model in self._document.models}
        served_by_operator = {key[0] for key, row in self._offers.items() if row.source == OPERATOR}
        for key, row in self._offers.items():
            if row.source != OPERATOR and row.retired_at is None and key not in known:
                self._steps.retired.append(("offers", row.id))
                if key[0] in ids or key[0] in served_by_operator:
                    self._tell("retired", "offer", f"{key[0]} at {key[1]}", key[2])
        replaced_by = {alias.id: alias.target for alias in self._document.aliases}
        live = [r for r in self._models.values() if r.source != OPERATOR and r.retired_at is None]
        gone = [r for r in live if r.slug not in ids and r.slug not in served_by_operator]
        for row in gone:
            self._steps.retired.append(("language_models", row.id))
            target = replaced_by.get(row.slug)
            note = f"→ {target}" if target else "nothing takes its place"
            self._tell("retired", "model", row.slug, note)
        if len(gone) * 100 > len(live) * VANISHING_PERCENT_MAX:
            self.difference.jumps.append(f"{len(gone)} of {len(live)} models would vanish")
