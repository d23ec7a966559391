"""Finding models: the list, a search, one by its id, and what a requested id means."""

import difflib
from collections.abc import Mapping

from solrouter.errors import ModelRetired, ModelUnavailable, NotFound, UnknownModel
from solrouter.services.catalogue.reading import RENAMED
from solrouter.services.catalogue.snapshot import fresh
from solrouter.services.catalogue.words import Model, Resolution, Snapshot

SUGGESTIONS_MAX = 3


def listing() -> list[Model]:
    """Every model and alias that may be shown, sorted by id."""
    return sorted(fresh().models.values(), key=lambda model: model.id)


def search(query: str, *, author: str | None = None, available_only: bool = False) -> list[Model]:
    """The models whose id, name or description holds every word of the query."""
    words = query.lower().split()
    return [
        model
        for model in listing()
        if has_words(model, words)
        and author in (None, "", model.author)
        and (model.is_available or not available_only)
    ]


def has_words(model: Model, words: list[str]) -> bool:
    """Whether the id, name or description of a model holds all these lower-case words."""
    text = f"{model.id} {model.name} {model.description}".lower()
    return all(word in text for word in words)


def find(model_id: str) -> Model:
    """One model or alias, whether it can be served or not. Raises NotFound."""
    model = fresh().models.get(model_id)
    if model is None:
        raise NotFound(f"There is no model “{model_id}”. The list is at /models.", param="model")
    return model


def resolve(snapshot: Snapshot, model_id: str) -> Resolution:
    """The model that answers to this id. Raises UnknownModel, ModelRetired, ModelUnavailable."""
    model = snapshot.models.get(model_id)
    if model is None:
        if model_id in snapshot.retired:
            raise _retired(model_id)
        raise _unknown(snapshot, model_id)
    target = snapshot.models[model.replaced_by] if model.replaced_by else model
    if model.former_rates and _is_dearer(target, than=model.former_rates):
        raise ModelRetired(
            f"The model “{model_id}” has been retired. Its replacement “{target.id}” costs more, "
            "so it is not served in its place: ask for it by its own id.",
            param="model",
            metadata={"replaced_by": target.id},
        )
    if not target.is_available:
        raise ModelUnavailable(
            f"The model “{model_id}” is not available on this server: none of its providers is set "
            "up. See the Models page for those that are.",
            param="model",
        )
    is_replaced = model.replaced_by is not None and model.status != RENAMED
    told = f"model: “{model_id}” is {model.status}; “{target.id}” answered in its place."
    return Resolution(target, (told,) if is_replaced else ())


def _retired(model_id: str) -> ModelRetired:
    return ModelRetired(
        f"The model “{model_id}” has been retired and nothing takes its place. The Models page "
        "lists those that can be asked for.",
        param="model",
    )


def _unknown(snapshot: Snapshot, model_id: str) -> UnknownModel:
    near = difflib.get_close_matches(model_id, snapshot.models, SUGGESTIONS_MAX, cutoff=0.6)
    hint = f" Did you mean {' or '.join(near)}?" if near else " The list is on the Models page."
    return UnknownModel(f"There is no model “{model_id[:200]}”.{hint}", param="model")


def _is_dearer(target: Model, *, than: Mapping[str, int]) -> bool:
    """Whether any class that both name costs more at the replacement."""
    offer = target.cheapest
    return offer is not None and any(
        name in than and offer.sale.rate(name) > than[name] for name in ("input", "output")
    )
