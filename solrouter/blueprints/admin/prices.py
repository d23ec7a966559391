"""A model's prices through time, beside what it costs us; new ones with their date; what is off."""

from collections.abc import Mapping
from typing import Any

from flask import Response, flash, request, url_for
from flask.typing import ResponseReturnValue

from solrouter.blueprints import hx, typed
from solrouter.blueprints.admin.room import actor, admin, dollars, is_on, moment_or_none, percent
from solrouter.errors import Refused
from solrouter.services.catalogue import price_history, switches
from solrouter.services.catalogue.price_history import NewPrice

# The classes that a form can price; a card may have more.
CLASSES = {
    "input": "Input",
    "output": "Output",
    "cache_read": "Cache read",
    "cache_write_5m": "Cache write",
}
SIDES = {"sale": "Price for customers", "cost": "What it costs us"}


@admin.get("/models/<path:model_id>/prices")
def show_prices(model_id: str) -> ResponseReturnValue:
    return _page(model_id)


@admin.post("/models/<path:model_id>/prices")
def set_price(model_id: str) -> ResponseReturnValue:
    form = request.form
    try:
        wanted = _wanted(form)
        price_history.change(wanted, actor=actor())
    except Refused as refused:
        return _page(model_id, errors={refused.param: refused.message}, form=form)
    when = "from the next request on" if wanted.begins_at is None else "from its date on"
    return _done(model_id, f"The price holds {when}.")


@admin.post("/models/<path:model_id>/switch")
def switch_model(model_id: str) -> ResponseReturnValue:
    to = is_on(request.form)
    switches.set_model(model_id, to, actor=actor())
    return _done(model_id, f"“{model_id}” is {'on' if to else 'off'}.")


@admin.post("/models/<path:model_id>/offers/<offer_id>/switch")
def switch_offer(model_id: str, offer_id: str) -> ResponseReturnValue:
    to = is_on(request.form)
    switches.set_offer(_number(offer_id), to, actor=actor())
    return _done(model_id, f"The offer is {'on' if to else 'off'}.")


def _wanted(form: Mapping[str, str]) -> NewPrice:
    common: dict[str, Any] = {
        "offer_id": _number(form.get("offer", "")),
        "begins_at": moment_or_none(form, "begins"),
        "is_sure": form.get("sure") == "1",
    }
    if form.get("margin", "").strip():
        return NewPrice(**common, margin_percent=percent(form["margin"], param="margin"))
    rates = {
        name: dollars(form[name], param=name) for name in CLASSES if form.get(name, "").strip()
    }
    side = form.get("side", "sale")
    if side not in SIDES:
        raise Refused("Choose whose price it is.", param="side")
    if not rates:
        raise Refused("Give a margin, or a price for input and output.", param="margin")
    return NewPrice(**common, side=side, rates=rates)


def _number(text: str) -> int:
    """An offer's number, 0 for what is none."""
    return typed.whole_or_none(text) or 0


def _done(model_id: str, said: str) -> ResponseReturnValue:
    flash(said, "success")
    return hx.go_to(url_for("admin.show_prices", model_id=model_id))


def _page(
    model_id: str,
    *,
    errors: Mapping[str | None, str] | None = None,
    form: Mapping[str, str] | None = None,
) -> Response:
    return hx.page_or_fragment(
        "admin/prices.html",
        "admin/_prices.html",
        status=422 if errors else 200,
        model=price_history.of_model(model_id),
        classes=CLASSES,
        sides=list(SIDES.items()),
        errors=errors or {},
        form=form or {},
    )
