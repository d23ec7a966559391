"""The words of the catalogue: models as people see them, how to reach a provider, the snapshot."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from solrouter.services.routing import Offer, typical_price


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach a provider. Only here its key is plain text; never rendered or logged."""

    slug: str
    kind: str
    base_url: str
    api_key: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Model:
    """A model as people and programs see it; an alias carries the facts of what replaces it.

    `context_tokens` and `output_tokens_max` are the most that any of its offers can do.
    """

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
    def usable_offers(self) -> tuple[Offer, ...]:
        """The offers that can serve here; all of them where none can."""
        return tuple(offer for offer in self.offers if offer.is_available) or self.offers

    @property
    def cheapest(self) -> Offer | None:
        """The cheapest offer that can serve; else the cheapest of all."""
        return min(self.usable_offers, key=typical_price, default=None)

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
    """Everything on offer, at one version. `stale_at` is when the next dated price begins.

    `retired` are the ids that are gone and have no replacement.
    """

    version: int
    models: Mapping[str, Model]
    connections: Mapping[str, Connection]
    stale_at: datetime | None
    retired: frozenset[str] = frozenset()
