"""What search engines ask for: which pages there are, which to leave, and the one address of each.

What is behind the sign-in says `noindex` itself, in layout.html.
"""

from collections.abc import Iterator

from flask import Blueprint, Response, render_template, request, url_for

from solrouter.blueprints import addresses
from solrouter.blueprints.docs import entries
from solrouter.blueprints.policies import NAMES as POLICIES
from solrouter.services import catalogue

# Rooms whose pages are for everybody; each page is in them at one address, whatever its query.
PUBLIC_ROOMS = frozenset(("pages", "catalogue", "status", "policies", "docs"))
ALONE = (
    "pages.show_landing",
    "pages.show_pricing",
    "catalogue.show_models",
    "catalogue.show_parameters",
    "status.show_status",
    "docs.show_docs",
    "docs.show_schemas",
)

search_engines = Blueprint("search_engines", __name__)


@search_engines.app_context_processor
def lend_canonical_url() -> dict[str, str]:
    """For every public page its one address, without a query; empty for any other."""
    if request.blueprint not in PUBLIC_ROOMS:
        return {"canonical_url": ""}
    site_url = addresses.site_url()
    return {"canonical_url": site_url + request.path, "site_url": site_url}


@search_engines.get("/robots.txt")
def show_rules() -> Response:
    """What crawlers may read: every page, and not the API."""
    sitemap = addresses.site_url() + url_for(".show_sitemap")
    text = f"User-agent: *\nDisallow: /v1/\nDisallow: /ai/\nDisallow: /api/\nSitemap: {sitemap}\n"
    return Response(text, mimetype="text/plain")


@search_engines.get("/sitemap.xml")
def show_sitemap() -> Response:
    """The address of every public page."""
    text = render_template("pages/sitemap.xml", urls=[addresses.site_url() + p for p in _paths()])
    return Response(text, mimetype="application/xml")


def _paths() -> Iterator[str]:
    yield from map(url_for, ALONE)
    for entry in entries():
        yield url_for("docs.show_page", name=entry.name)
    for name in POLICIES:
        yield url_for("policies.show_policy", name=name)
    for model in catalogue.listing():
        if model.status == "live":
            author, _, name = model.id.partition("/")
            yield url_for("catalogue.show_model", author=author, name=name)
