"""Models and their offers for operators, cost beside sale; and a form for one more offer."""

from collections.abc import Mapping

from flask import flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from solrouter.blueprints import hx
from solrouter.blueprints.admin.room import admin, dollars, tokens
from solrouter.errors import Refused
from solrouter.services import catalogue
from solrouter.services.catalogue import OfferTerms, switches


@admin.get("/models")
def show_models() -> ResponseReturnValue:
    return _models_page()


@admin.post("/models")
def add_offer() -> ResponseReturnValue:
    try:
        terms = _terms(request.form)
        added = catalogue.add_offer(terms, actor=f"user:{current_user.user_id}")
    except Refused as refused:
        return _models_page(errors={refused.param: refused.message}, form=request.form)
    said = f"“{terms.model_id}” is offered." if added else "It was already there, at this price."
    if hx.is_htmx():
        return _models_page(said=said)
    flash(said, "success")
    return redirect(url_for("admin.show_models"), 303)


def _terms(form: Mapping[str, str]) -> OfferTerms:
    most = form.get("max_output", "").strip()
    return OfferTerms(
        model_id=form.get("model", "").strip(),
        provider_slug=form.get("provider", "").strip(),
        upstream_model=form.get("upstream", "").strip(),
        input_nanos=dollars(form.get("input", ""), param="input"),
        output_nanos=dollars(form.get("output", ""), param="output"),
        context_tokens=tokens(form.get("context", ""), param="context"),
        output_tokens_max=tokens(most, param="max_output") if most else None,
    )


def _models_page(
    *,
    errors: Mapping[str | None, str] | None = None,
    form: Mapping[str, str] | None = None,
    said: str = "",
) -> ResponseReturnValue:
    return hx.page_or_fragment(
        "admin/models.html",
        "admin/_models.html",
        status=422 if errors else 200,
        models=catalogue.listing(),
        switched_off=switches.models_with_something_off(),
        provider_choices=[(row.slug, row.name) for row in catalogue.providers()],
        errors=errors or {},
        form=form or {},
        said=said,
    )
