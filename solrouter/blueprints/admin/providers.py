"""Providers: who is ready, where each key comes from (never the key), and a form for one more."""

from collections.abc import Mapping

from flask import flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from solrouter.blueprints import hx
from solrouter.blueprints.admin.room import admin
from solrouter.errors import Refused
from solrouter.services import catalogue

KINDS = (
    ("openai", "OpenAI compatible"),
    *((f"openai/{name}", f"OpenAI compatible: {name}") for name in catalogue.SERVERS),
    ("anthropic", "Anthropic"),
    ("google", "Google"),
    ("demo", "Demo, inside this server"),
)


@admin.get("/providers")
def show_providers() -> ResponseReturnValue:
    return _providers_page()


@admin.post("/providers")
def add_provider() -> ResponseReturnValue:
    form = request.form
    kind, _, server = form.get("kind", "").partition("/")
    try:
        added = catalogue.add_provider(
            slug=form.get("slug", "").strip(),
            kind=kind,
            server=server or None,
            base_url=form.get("base_url", ""),
            api_key=form.get("api_key", "").strip() or None,
            name=form.get("name", "").strip() or None,
            actor=f"user:{current_user.user_id}",
        )
    except Refused as refused:
        return _providers_page(errors={refused.param: refused.message}, form=form)
    said = f"“{form['slug'].strip()}” is added." if added else "It was already there, the same."
    if hx.is_htmx():
        return _providers_page(said=said)
    flash(said, "success")
    return redirect(url_for("admin.show_providers"), 303)


def _providers_page(
    *,
    errors: Mapping[str | None, str] | None = None,
    form: Mapping[str, str] | None = None,
    said: str = "",
) -> ResponseReturnValue:
    return hx.page_or_fragment(
        "admin/providers.html",
        "admin/_providers.html",
        status=422 if errors else 200,
        providers=catalogue.providers(),
        kinds=KINDS,
        errors=errors or {},
        form=form or {},
        said=said,
    )
