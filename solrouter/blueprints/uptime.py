"""How offers did, for people and programs: by model, by provider, day by day."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from solrouter.clock import utcnow
from solrouter.services import catalogue, health
from solrouter.services.catalogue import Model
from solrouter.services.health import Traffic
from solrouter.services.health.traffic import DAYS_SHOWN
from solrouter.services.routing import HEALTHY, Condition, Offer

WINDOWS = {"5m": "5 minutes", "30m": "30 minutes", "24h": "24 hours", "90d": "90 days"}
NONE = Traffic()
# Which share of attempts, in percent, still counts as good, and as fair.
GOOD_FROM, FAIR_FROM = 99.0, 95.0
OPERATIONAL, TROUBLE, OUTAGE = "operational", "degraded", "outage"

Windows = Mapping[str, Traffic]


@dataclass(frozen=True, slots=True)
class Day:
    """A day (UTC) and what was counted on it."""

    day: date
    traffic: Traffic

    @property
    def level(self) -> str:
        """`good`, `warn` or `bad`; `none` where nothing was counted."""
        return level(self.traffic.uptime_percent)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a model or a provider is doing: its state now, and the windows."""

    id: str
    name: str
    state: str
    windows: Windows
    days: Sequence[Day] = ()
    model: Model | None = None


@dataclass(frozen=True, slots=True)
class Board:
    """The models that can be asked for here, by id, and the providers that serve them, by name."""

    models: Sequence[Standing]
    providers: Sequence[Standing]


def level(percent: float | None) -> str:
    """What a share of attempts is worth."""
    if percent is None:
        return "none"
    if percent >= GOOD_FROM:
        return "good"
    return "warn" if percent >= FAIR_FROM else "bad"


def last_days(counted: Iterable[Mapping[date, Traffic]]) -> list[Day]:
    """The last days up to today, with what was counted by all of these together."""
    sums: dict[date, Traffic] = {}
    for by_day in counted:
        for day, traffic in by_day.items():
            sums[day] = sums.get(day, NONE) + traffic
    today = utcnow().date()
    shown = [today - timedelta(days=back) for back in reversed(range(DAYS_SHOWN))]
    return [Day(day, sums.get(day, NONE)) for day in shown]


def board() -> Board:
    """Everything that is served here, read once."""
    live = [model for model in catalogue.listing() if model.status == "live" and model.is_available]
    counted, days = health.uptimes(), health.days()
    conditions = health.conditions()
    models = [
        Standing(
            model.id,
            model.name,
            _state(model.usable_offers, conditions),
            _together(counted, model.offers),
            model=model,
        )
        for model in live
    ]
    providers = [
        Standing(
            slug,
            its[0].provider_name,
            _state(its, conditions),
            _together(counted, its),
            last_days(days[offer.id] for offer in its if offer.id in days),
        )
        for slug, its in _by_provider(live).items()
    ]
    return Board(models, sorted(providers, key=lambda standing: standing.name.casefold()))


def _by_provider(models: Iterable[Model]) -> dict[str, list[Offer]]:
    found: dict[str, list[Offer]] = {}
    for model in models:
        for offer in model.usable_offers:
            found.setdefault(offer.provider_slug, []).append(offer)
    return found


def _state(offers: Sequence[Offer], conditions: Mapping[int, Condition]) -> str:
    """Operational while any offer is healthy; an outage when none is."""
    states = [conditions[o.id].state if o.id in conditions else HEALTHY for o in offers]
    healthy = states.count(HEALTHY)
    if healthy == len(states):
        return OPERATIONAL
    return TROUBLE if healthy else OUTAGE


def _together(counted: Mapping[int, Windows], offers: Iterable[Offer]) -> dict[str, Traffic]:
    its = [counted[offer.id] for offer in offers if offer.id in counted]
    return {name: sum((each[name] for each in its), NONE) for name in WINDOWS}
