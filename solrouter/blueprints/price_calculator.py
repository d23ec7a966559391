"""What so many requests of a size would cost at each offer of a model. The form is a GET, so that
its answer has an address.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from solrouter.blueprints import typed
from solrouter.chat import Usage
from solrouter.clock import utcnow
from solrouter.services import pricing
from solrouter.services.catalogue import Model
from solrouter.services.routing import Offer

TOKENS_MAX = 100_000_000
REQUESTS_MAX = 1_000_000_000
# What a form that nobody has filled in asks about.
TYPICAL = {"prompt": "2000", "cached": "0", "answer": "500", "requests": "1000"}
NAMES = tuple(TYPICAL)


@dataclass(frozen=True, slots=True)
class Line:
    """What it costs at one offer: a request, and all of them."""

    offer: Offer
    request_nanos: int
    total_nanos: int


@dataclass(frozen=True, slots=True)
class Calculation:
    """What was asked, as it was typed, what is wrong with it by field, and the answers."""

    asked: Mapping[str, str]
    errors: Mapping[str, str]
    lines: Sequence[Line]

    @property
    def requests(self) -> int:
        """For how many requests the answers are."""
        return _whole(self.asked["requests"]) or 0 if not self.errors else 0


def calculate(model: Model, query: Mapping[str, str]) -> Calculation:
    """The answer to a form, the cheapest first; to what is usual where nothing is filled in."""
    asked = {name: query.get(name, "").strip()[:20] or TYPICAL[name] for name in NAMES}
    numbers = {name: _whole(text) for name, text in asked.items()}
    errors = {
        name: f"Write a whole number from {_least(name)} to {_most(name):,}."
        for name, number in numbers.items()
        if number is None or not _least(name) <= number <= _most(name)
    }
    prompt, cached, answer = (numbers[name] or 0 for name in ("prompt", "cached", "answer"))
    if not errors and cached > prompt:
        errors["cached"] = "What is read from the cache is part of the prompt, so it is no more."
    if errors:
        return Calculation(asked, errors, ())
    usage = Usage(input=prompt - cached, cache_read=cached, output=answer)
    requests = numbers["requests"] or 0
    lines = [_line(offer, usage, requests) for offer in model.usable_offers]
    return Calculation(asked, errors, sorted(lines, key=lambda line: line.total_nanos))


def _line(offer: Offer, usage: Usage, requests: int) -> Line:
    # Each request is rounded by itself, as it is when it is charged.
    each_nanos = pricing.cost_nanos(usage, offer.sale, at=utcnow())
    return Line(offer, each_nanos, each_nanos * requests)


def _least(name: str) -> int:
    return 1 if name == "requests" else 0


def _most(name: str) -> int:
    return REQUESTS_MAX if name == "requests" else TOKENS_MAX


def _whole(text: str) -> int | None:
    return typed.whole_or_none(text.translate(typed.SEPARATORS))
