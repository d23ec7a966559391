"""All our HTMX: one address, a page or a fragment of it. The view chooses, no template asks."""

from hashlib import blake2s
from typing import Any

from flask import Response, make_response, redirect, render_template, request

SEE_OTHER = 303
UNCHANGED = 204
MARK_BYTES = 8


def is_htmx() -> bool:
    """Whether HTMX asks for a piece; a page restored from history wants to be whole."""
    is_restoring = "HX-History-Restore-Request" in request.headers
    return request.headers.get("HX-Request") == "true" and not is_restoring


def page_or_fragment(page: str, fragment: str, *, status: int = 200, **data: Any) -> Response:
    """The page for a browser, its fragment for HTMX."""
    response = make_response(render_template(fragment if is_htmx() else page, **data), status)
    response.vary.add("HX-Request")
    return response


def mark_of(*facts: Any) -> str:
    """Changes whenever one of the facts does. A page that asks again by itself sends it along."""
    return blake2s(repr(facts).encode(), digest_size=MARK_BYTES).hexdigest()


def is_known(mark: str) -> bool:
    """Whether HTMX asks on behalf of a page that shows just this; `unchanged` is the answer."""
    return is_htmx() and request.args.get("mark") == mark


def unchanged() -> Response:
    """Nothing is swapped, so that nothing goes from under somebody's hand for no reason."""
    return Response(status=UNCHANGED)


def go_to(url: str) -> Response:
    """Sends the person to another page; HTMX cannot see a redirect and is told by a header."""
    response = Response(headers={"HX-Redirect": url}) if is_htmx() else redirect(url, SEE_OTHER)
    response.vary.add("HX-Request")
    assert isinstance(response, Response)
    return response


def with_oob(response: Response, fragment: str, **data: Any) -> Response:
    """Adds a fragment that finds its own place (`oob` is true in it); for HTMX only."""
    if is_htmx():
        response.set_data(
            response.get_data() + render_template(fragment, oob=True, **data).encode()
        )
    return response
