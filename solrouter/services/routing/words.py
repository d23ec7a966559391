"""The words of routing: offers, how they do, and the order in which they are tried."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from solrouter.services.pricing import PriceCard

# States of an offer; the first is also why it stands where it does.
COOLING, PROBING, HEALTHY = "cooling", "probing", "healthy"


@dataclass(frozen=True, slots=True)
class Offer:
    """One provider's way to serve a model, with its two price cards; holds no secret.

    Of what is None the model's own holds. `deadlines` replace settings by name (`connect_s`,
    `first_token_s`, `between_chunks_s`, `pings_s`, `total_s`).
    """

    id: int
    model_id: str
    provider_slug: str
    provider_name: str
    kind: str
    upstream_model: str
    is_available: bool
    is_free: bool
    weight: int
    bills_after_cancel: bool
    sale: PriceCard
    cost: PriceCard
    capabilities: Mapping[str, Any] = field(default_factory=dict)
    context_tokens: int | None = None
    output_tokens_max: int | None = None
    deadlines: Mapping[str, float] = field(default_factory=dict)
    collects_data: bool = False
    parameters: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """How an offer is doing. The rates are shares of its last attempts, from 0 to 1.

    `cooling`: not to be asked until `cooling_until_s` of our monotonic clock; `probing`: one
    request at a time may find out whether it serves again. The speeds are medians, or None.
    """

    state: str = HEALTHY
    error_rate: float = 0.0
    stall_rate: float = 0.0
    tokens_per_s: float | None = None
    first_content_ms: float | None = None
    cooling_until_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Choice:
    """An offer that may be tried, and why it stands where it does.

    `why` is `order`, `weight`, `price`, `throughput`, `latency` or `health`: what parts it from its
    neighbour; `tie` if nothing does, `single` if it has none; `cooling` if it must prove itself.
    """

    offer: Offer
    why: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """An offer that is passed over, and why."""

    offer: Offer
    why: str


@dataclass(frozen=True, slots=True)
class Ranking:
    """Offers in the order in which they are tried, and those that are not."""

    choices: tuple[Choice, ...]
    skipped: tuple[Skipped, ...]
