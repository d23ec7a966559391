"""What the models page asks of the list: the API's own filters, with words for people.

An address says everything, so that it can be shared; what is at its default is left out of it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from werkzeug.datastructures import MultiDict

from solrouter.blueprints.api import model_filters
from solrouter.errors import BadRequest, NotFound, UnsupportedParameter
from solrouter.services import catalogue
from solrouter.services.catalogue import Model

COMPARED_MAX = 4
Choices = Sequence[tuple[str, str]]
SORTS: Choices = (
    ("", "Available first"),
    ("newest", "Newest"),
    ("pricing-low-to-high", "Lowest price"),
    ("pricing-high-to-low", "Highest price"),
    ("context-high-to-low", "Longest context"),
    ("name", "Name"),
)
CONTEXTS: Choices = (
    ("", "Any context"),
    ("32000", "32K or more"),
    ("128000", "128K or more"),
    ("200000", "200K or more"),
    ("1000000", "1M or more"),
)
INPUT_PRICES: Choices = (
    ("", "Any input price"),
    ("0.1", "Up to $0.10"),
    ("0.5", "Up to $0.50"),
    ("1", "Up to $1"),
    ("3", "Up to $3"),
    ("10", "Up to $10"),
)
OUTPUT_PRICES: Choices = (
    ("", "Any output price"),
    ("0.5", "Up to $0.50"),
    ("2", "Up to $2"),
    ("5", "Up to $5"),
    ("15", "Up to $15"),
    ("50", "Up to $50"),
)
MODALITIES: Choices = (
    ("image", "Images"),
    ("audio", "Audio"),
    ("file", "Files"),
)
CAPABILITIES: Choices = (
    ("tools", "Tool calls"),
    ("structured_outputs", "Structured output"),
    ("reasoning", "Reasoning"),
    ("seed", "Seed"),
    ("logprobs", "Log probabilities"),
)
FLAGS: Choices = (("available", "Available here"), ("free", "Free"))
# The names that an address may hold, in the order in which a canonical one holds them.
ASKED = (
    "q",
    "author",
    "input_modalities",
    "supported_parameters",
    "context",
    "max_price",
    "max_output_price",
    "available",
    "free",
    "sort",
    "compare",
)


@dataclass(frozen=True, slots=True)
class Found:
    """What a search brought: models, those chosen to be compared, and what was wrong with it."""

    models: Sequence[Model]
    compared: Sequence[Model]
    problem: str
    asked: MultiDict[str, str]

    @property
    def is_narrowed(self) -> bool:
        """Whether anything but the order was asked for."""
        return any(name not in ("sort", "compare") for name in self.asked)


def search(models: Sequence[Model], query: MultiDict[str, str]) -> Found:
    """The models that a query asks for; all of them where it does not make sense."""
    asked = canonical(query)
    compared = chosen(asked.getlist("compare"))
    # What an operator can serve comes first, other ids of a model last, whatever else is equal.
    ordered = sorted(models, key=by_use)
    filters = MultiDict(
        (name, value) for name, value in asked.items(multi=True) if name in _FILTERS
    )
    try:
        found = model_filters.page(ordered, filters).models
    except (BadRequest, UnsupportedParameter) as error:
        return Found(ordered, compared, error.message, asked)
    return Found(found, compared, "", asked)


def canonical(query: MultiDict[str, str]) -> MultiDict[str, str]:
    """The names that mean something here, without what is empty, in one order."""
    return MultiDict(
        (name, value.strip())
        for name in ASKED
        for value in dict.fromkeys(query.getlist(name))
        if value.strip()
    )


def chosen(model_ids: Iterable[str]) -> list[Model]:
    """The models of these ids that there are, the first few."""
    found: list[Model] = []
    for model_id in dict.fromkeys(model_ids):
        try:
            found.append(catalogue.find(model_id))
        except NotFound:
            continue
    return found[:COMPARED_MAX]


def by_use(model: Model) -> tuple[bool, bool, str]:
    """What can be asked for now comes first, other ids of a model last."""
    return model.status != "live", not model.is_available, model.id


_FILTERS = frozenset(ASKED) - {"compare"}
