"""What a query asks of the list of models: filters, an order, a page. The words are OpenRouter's.

A value that does not fit is a 400 that names it; so is a filter of OpenRouter's that we cannot
keep, since a list that ignores it would be taken for the answer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from werkzeug.datastructures import MultiDict

from solrouter.blueprints.api.fields import Schema
from solrouter.blueprints.api.model_objects import created_s
from solrouter.errors import BadRequest, UnsupportedParameter
from solrouter.money import NotMoney, parse_usd
from solrouter.services.catalogue import Model, has_words
from solrouter.services.routing import typical_price

LIMIT_MAX = 1000
OFFSET_MAX = 1_000_000
CONTEXT_MAX = 10**12
NAMES_MAX = 50
TEXT_CHARACTERS_MAX = 500
FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False, "": True}
NOT_KEPT = (
    "arch",
    "category",
    "distillable",
    "max_age_days",
    "min_age_days",
    "region",
    "use_rss",
    "zdr",
)

Sort = Callable[[Model], Any]


def _typical(model: Model) -> int:
    return typical_price(model.cheapest) if model.cheapest else 0


SORTS: Mapping[str, Sort] = {
    "pricing-low-to-high": lambda model: (_typical(model), model.id),
    "pricing-high-to-low": lambda model: (-_typical(model), model.id),
    "context-high-to-low": lambda model: (-model.context_tokens, model.id),
    "newest": lambda model: (-created_s(model), model.id),
    "name": lambda model: (model.name.casefold(), model.id),
}
_TEXT: Schema = {"type": "string", "maxLength": TEXT_CHARACTERS_MAX}
_FLAG: Schema = {"enum": [word for word in FLAGS if word]}
_PRICE: Schema = {"type": "number", "minimum": 0}
# What a query may ask, with what each name takes; lists are separated by commas.
QUERY: Mapping[str, Schema] = {
    **dict.fromkeys(
        (
            "q",
            "author",
            "model_authors",
            "providers",
            "supported_parameters",
            "input_modalities",
            "output_modalities",
        ),
        _TEXT,
    ),
    "context": {"type": "integer", "minimum": 0, "maximum": CONTEXT_MAX},
    **dict.fromkeys(("min_price", "max_price", "min_output_price", "max_output_price"), _PRICE),
    **dict.fromkeys(("free", "available"), _FLAG),
    "sort": {"enum": list(SORTS)},
    "offset": {"type": "integer", "minimum": 0, "maximum": OFFSET_MAX},
    "limit": {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX},
}


@dataclass(frozen=True, slots=True)
class Page:
    """The models that are asked for, how many there are in all, and where the next page begins."""

    models: Sequence[Model]
    total: int
    next_offset: int | None


def page(models: Sequence[Model], query: MultiDict[str, str]) -> Page:
    """The models that a query asks for. Raises BadRequest and UnsupportedParameter."""
    for name in NOT_KEPT:
        if name in query:
            raise UnsupportedParameter(f"'{name}' is not supported here. Leave it out.", param=name)
    tests = _tests(query)
    found = [model for model in models if all(test(model) for test in tests)]
    if sort := query.get("sort"):
        if sort not in SORTS:
            raise BadRequest(f"'sort' must be one of {', '.join(SORTS)}.", param="sort")
        found.sort(key=SORTS[sort])
    offset = _whole(query, "offset", least=0, most=OFFSET_MAX) or 0
    limit = _whole(query, "limit", least=1, most=LIMIT_MAX)
    end = len(found) if limit is None else offset + limit
    return Page(found[offset:end], len(found), end if end < len(found) else None)


def _tests(query: MultiDict[str, str]) -> list[Callable[[Model], bool]]:
    tests: list[Callable[[Model], bool]] = []
    if words := _text(query, "q").lower().split():
        tests.append(lambda model: has_words(model, words))
    authors = _names(query, "author") | _names(query, "model_authors")
    if authors:
        tests.append(lambda model: model.author.lower() in authors)
    if providers := _names(query, "providers"):
        tests.append(
            lambda model: any(
                {offer.provider_slug.lower(), offer.provider_name.lower()} & providers
                for offer in model.offers
            )
        )
    for name, held in (
        ("supported_parameters", lambda model: model.parameters),
        ("input_modalities", lambda model: model.input_modalities),
        ("output_modalities", lambda model: model.output_modalities),
    ):
        wanted = _names(query, name) - {"all"}
        if wanted:
            tests.append(_holds(wanted, held))
    context = _whole(query, "context", least=0, most=CONTEXT_MAX)
    if context:
        tests.append(lambda model: model.context_tokens >= context)
    return tests + _price_tests(query) + _flag_tests(query)


def _holds(wanted: set[str], held: Callable[[Model], Sequence[str]]) -> Callable[[Model], bool]:
    return lambda model: wanted <= set(held(model))


def _price_tests(query: MultiDict[str, str]) -> list[Callable[[Model], bool]]:
    """Bounds on what the cheapest offer costs, in USD for a million tokens."""
    tests: list[Callable[[Model], bool]] = []
    for name, price in (
        ("price", lambda model: model.input_nanos),
        ("output_price", lambda model: model.output_nanos),
    ):
        least, most = _nanos(query, f"min_{name}"), _nanos(query, f"max_{name}")
        if least is not None:
            tests.append(_at_least(least, price))
        if most is not None:
            tests.append(_at_most(most, price))
    return tests


def _at_least(least: int, price: Callable[[Model], int]) -> Callable[[Model], bool]:
    return lambda model: price(model) >= least


def _at_most(most: int, price: Callable[[Model], int]) -> Callable[[Model], bool]:
    return lambda model: price(model) <= most


def _flag_tests(query: MultiDict[str, str]) -> list[Callable[[Model], bool]]:
    tests: list[Callable[[Model], bool]] = []
    free, available = _flag(query, "free"), _flag(query, "available")
    if free is not None:
        tests.append(lambda model: any(offer.is_free for offer in model.offers) is free)
    if available is not None:
        tests.append(lambda model: model.is_available is available)
    return tests


def _text(query: MultiDict[str, str], name: str) -> str:
    text = ",".join(query.getlist(name))
    if len(text) > TEXT_CHARACTERS_MAX:
        raise BadRequest(f"'{name}' has at most {TEXT_CHARACTERS_MAX} characters.", param=name)
    return text


def _names(query: MultiDict[str, str], name: str) -> set[str]:
    """The names of a list with commas, in lower case."""
    found = {part.strip().lower() for part in _text(query, name).split(",")} - {""}
    if len(found) > NAMES_MAX:
        raise BadRequest(f"'{name}' has at most {NAMES_MAX} names.", param=name)
    return found


def _whole(query: MultiDict[str, str], name: str, *, least: int, most: int) -> int | None:
    text = query.get(name)
    if text is None or text == "":
        return None
    if text.isascii() and text.isdecimal() and len(text) < 16 and least <= int(text) <= most:
        return int(text)
    raise BadRequest(f"'{name}' must be a whole number from {least} to {most}.", param=name)


def _nanos(query: MultiDict[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None or text == "":
        return None
    try:
        nanos = int(parse_usd(text[:40]))
    except (NotMoney, ArithmeticError):
        nanos = -1
    if nanos < 0:
        raise BadRequest(f"'{name}' must be an amount in USD for a million tokens.", param=name)
    return nanos


def _flag(query: MultiDict[str, str], name: str) -> bool | None:
    text = query.get(name)
    if text is None:
        return None
    if text.lower() not in FLAGS:
        raise BadRequest(f"'{name}' must be true or false.", param=name)
    return FLAGS[text.lower()]
