"""The documentation: Markdown files of `docs_pages`, with this server's addresses in the samples.

A placeholder such as `{{ api_base_url }}` is replaced before the text is rendered, so that a sample
on the page can be pasted as it stands.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from flask import Blueprint, current_app, render_template
from flask_login import current_user

from solrouter import markdown
from solrouter.blueprints import addresses, own_keys
from solrouter.errors import NotFound
from solrouter.money import display_usd

FOLDER = Path(__file__).resolve().parent.parent / "docs_pages"
KEY_HINT_OF_NOBODY = "sr_YOUR_API_KEY"

docs = Blueprint("docs", __name__, url_prefix="/docs")


@dataclass(frozen=True, slots=True)
class Entry:
    """A page as the contents list it."""

    name: str
    title: str
    summary: str


@docs.get("")
def show_docs() -> str:
    return render_template("docs/contents.html", entries=entries())


@docs.get("/<name>")
def show_page(name: str) -> str:
    names = [entry.name for entry in entries()]
    if name not in names:
        raise NotFound("There is no such page in the documentation.")
    place = names.index(name)
    return render_template(
        "docs/page.html",
        entry=entries()[place],
        entries=entries(),
        page=markdown.page(_with_addresses((FOLDER / f"{name}.md").read_text(encoding="utf-8"))),
        previous=entries()[place - 1] if place else None,
        next=entries()[place + 1] if place + 1 < len(names) else None,
    )


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


def _with_addresses(text: str) -> str:
    values = {
        "api_base_url": addresses.api_base_url(),
        "site_url": addresses.site_url(),
        "site_host": addresses.site_host(),
        "key_hint": key_hint(),
        "unrecovered_per_day": display_usd(current_app.config["SOLROUTER_UNRECOVERED_PER_DAY"]),
        "unrecovered_percent": str(current_app.config["SOLROUTER_UNRECOVERED_PERCENT"]),
    }
    for name, value in values.items():
        text = text.replace("{{ " + name + " }}", value)
    return text
