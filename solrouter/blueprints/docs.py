"""The documentation: Markdown files of `docs_pages`, with this server's addresses in the samples.

A placeholder such as `{{ api_base_url }}` is replaced before the text is rendered, so that a sample
on the page can be pasted as it stands.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from flask import Blueprint, Response, current_app, render_template, request
from flask.typing import ResponseReturnValue
from flask_login import current_user

from solrouter import markdown
from solrouter.blueprints import addresses, docs_search, hx, own_keys
from solrouter.blueprints.openapi.reference import reference
from solrouter.errors import NotFound
from solrouter.money import display_usd

FOLDER = Path(__file__).resolve().parent.parent / "docs_pages"
MEBIBYTE = 2**20
KEY_HINT_OF_NOBODY = "sr_YOUR_API_KEY"

docs = Blueprint("docs", __name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """A page as the contents list it."""

    name: str
    title: str
    summary: str


@docs.get("/docs")
def show_docs() -> ResponseReturnValue:
    """The contents; with `q`, the sections that hold its words."""
    query = request.args.get("q", "").strip()[: docs_search.QUERY_CHARACTERS_MAX]
    return hx.page_or_fragment(
        "docs/contents.html",
        "docs/_found.html",
        entries=entries(),
        query=query,
        hits=docs_search.search(_texts(), query),
    )


@docs.get("/docs/<name>")
def show_page(name: str) -> str:
    place = _place(name)
    return render_template(
        "docs/page.html",
        entry=entries()[place],
        entries=entries(),
        page=markdown.page(_with_addresses(_source(name), key_hint())),
        previous=entries()[place - 1] if place else None,
        next=entries()[place + 1] if place + 1 < len(entries()) else None,
    )


@docs.get("/docs/<name>.md")
def show_source(name: str) -> Response:
    """A page as Markdown, for programs and for whoever pastes it into one."""
    _place(name)
    return _text(_with_addresses(_source(name), KEY_HINT_OF_NOBODY), "text/markdown")


@docs.get("/docs/api-reference/schemas")
def show_schemas() -> str:
    """Every operation and every field, from the document that the server serves."""
    return render_template(
        "docs/schemas.html",
        reference=reference(addresses.api_base_url()),
        api_base_url=addresses.api_base_url(),
        entries=entries(),
    )


@docs.get("/llms.txt")
def show_for_programs() -> Response:
    """What this server is and where its documentation stands, as llmstxt.org has it."""
    text = render_template(
        "docs/llms.txt",
        entries=entries(),
        site_url=addresses.site_url(),
        api_base_url=addresses.api_base_url(),
    )
    return _text(text, "text/plain")


def _text(text: str, media_type: str) -> Response:
    return Response(text, content_type=f"{media_type}; charset=utf-8")


def _place(name: str) -> int:
    """Which of the pages this is. Raises NotFound."""
    names = [entry.name for entry in entries()]
    if name not in names:
        raise NotFound("There is no such page in the documentation.")
    return names.index(name)


@cache
def _source(name: str) -> str:
    return (FOLDER / f"{name}.md").read_text(encoding="utf-8")


def _texts() -> Iterator[tuple[str, str, str]]:
    for entry in entries():
        text = _with_addresses(_source(entry.name), KEY_HINT_OF_NOBODY)
        yield entry.name, entry.title, text


@cache
def entries() -> tuple[Entry, ...]:
    """The pages in the order that their front matter says."""
    facts = {
        path.stem: markdown.front_matter(path.read_text(encoding="utf-8"))
        for path in FOLDER.glob("*.md")
    }
    names = sorted(facts, key=lambda name: (int(facts[name].get("order", 999)), name))
    return tuple(
        Entry(name, facts[name].get("title", name), facts[name].get("summary", ""))
        for name in names
    )


def key_hint() -> str:
    """What stands for the reader's key in a sample: the hint of their newest, never its text."""
    if not current_user.is_authenticated:
        return KEY_HINT_OF_NOBODY
    live = own_keys.in_use()
    return live[0].hint if live else KEY_HINT_OF_NOBODY


def _with_addresses(text: str, hint: str) -> str:
    values = {
        "api_base_url": addresses.api_base_url(),
        "site_url": addresses.site_url(),
        "site_host": addresses.site_host(),
        "key_hint": hint,
        "unrecovered_per_day": display_usd(current_app.config["SOLROUTER_UNRECOVERED_PER_DAY"]),
        "unrecovered_percent": str(current_app.config["SOLROUTER_UNRECOVERED_PERCENT"]),
        **_limits(),
    }
    for name, value in values.items():
        text = text.replace("{{ " + name + " }}", value)
    return text


def _limits() -> dict[str, str]:
    """What this server's operator allows a request to be, for people."""
    config = current_app.config
    return {
        "body_mebibytes_max": f"{config['SOLROUTER_BODY_BYTES_MAX'] / MEBIBYTE:.4g}",
        "messages_max": f"{config['SOLROUTER_MESSAGES_MAX']:,}",
        "body_deadline_s": f"{config['SOLROUTER_BODY_DEADLINE_S']:g}",
        "keep_alive_s": f"{config['SOLROUTER_KEEP_ALIVE_S']:g}",
    }
