"""One provider: its key, how its offers are doing, whether it answers, on and off."""

from collections.abc import Mapping

from flask import Response, flash, request, url_for
from flask.typing import ResponseReturnValue

from solrouter.blueprints import hx
from solrouter.blueprints.admin.room import actor, admin, is_on
from solrouter.errors import Refused
from solrouter.services import catalogue, health, provider_trials
from solrouter.services.catalogue import switches
from solrouter.services.provider_trials import Trial
from solrouter.services.routing import Condition

COLLECTS = {"": "As its catalogue says", "no": "Keeps no prompts", "yes": "Keeps or trains on them"}
WORDS_OF_DATA: Mapping[str, bool | None] = {"": None, "no": False, "yes": True}


@admin.get("/providers/<slug>")
def show_provider(slug: str) -> ResponseReturnValue:
    return _page(slug)


@admin.post("/providers/<slug>/try")
def try_provider(slug: str) -> ResponseReturnValue:
    try:
        trial = provider_trials.run(slug, request.form.get("model", ""), actor=actor())
    except Refused as refused:
        return _page(slug, errors={refused.param: refused.message}, is_tried=True)
    # Shown by the POST itself: it is kept nowhere.
    return _page(slug, trial=trial, is_tried=True)


@admin.post("/providers/<slug>/switch")
def switch_provider(slug: str) -> ResponseReturnValue:
    to = is_on(request.form)
    switches.set_provider(slug, to, actor=actor())
    return _done(slug, f"“{slug}” is {'on' if to else 'off: nothing is sent to it'}.")


@admin.post("/providers/<slug>/key")
def set_provider_key(slug: str) -> ResponseReturnValue:
    key = request.form.get("api_key", "").strip()
    try:
        if not key:
            raise Refused("Paste the new key.", param="api_key")
        catalogue.set_key(slug, key, actor=actor())
    except Refused as refused:
        return _page(slug, errors={refused.param: refused.message})
    return _done(slug, "The new key is used from the next request on.")


@admin.post("/providers/<slug>/forget-key")
def forget_provider_key(slug: str) -> ResponseReturnValue:
    catalogue.set_key(slug, None, actor=actor())
    return _done(slug, "The stored key is forgotten.")


@admin.post("/providers/<slug>/data")
def set_provider_data(slug: str) -> ResponseReturnValue:
    said = request.form.get("collects", "")
    catalogue.set_data_collection(slug, WORDS_OF_DATA.get(said), actor=actor())
    return _done(slug, "Noted.")


def _done(slug: str, said: str) -> ResponseReturnValue:
    flash(said, "success")
    return hx.go_to(url_for("admin.show_provider", slug=slug))


def _page(
    slug: str,
    *,
    trial: Trial | None = None,
    errors: Mapping[str | None, str] | None = None,
    is_tried: bool = False,
) -> Response:
    """The page; what is typed into its forms outlives a trial."""
    provider = catalogue.provider(slug)
    served = provider_trials.offers_of(slug)
    uptimes = health.uptimes([offer.id for _, offer in served])
    conditions = health.conditions()
    return hx.page_or_fragment(
        "admin/provider.html",
        "admin/_provider.html",
        status=422 if errors else 200,
        provider=provider,
        offers=[
            (model, offer, conditions.get(offer.id, Condition()), uptimes.get(offer.id, {}))
            for model, offer in served
        ],
        collects=list(COLLECTS.items()),
        trial=trial,
        is_tried=is_tried,
        errors=errors or {},
    )
