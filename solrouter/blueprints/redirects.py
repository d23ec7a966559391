"""Where a person may be sent after signing in: only to a page of ours, whatever the link says."""

import re
from urllib.parse import unquote, urlsplit

from flask import current_app, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map

from solrouter.blueprints.mounts import is_api_path

CHARACTERS_MAX = 2000
# One slash and then none, and no character that a browser drops, folds or reads as a slash.
LOCAL = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f-\xa0]*")
ROOMS_LEFT_BEHIND = frozenset(("auth", "static"))


def safe_next(default: str) -> str:
    """The `next` of the form or the query if it is a page of ours, else the default."""
    return own_path(request.values.get("next", "")) or default


def own_path(target: str) -> str | None:
    """The target if it is the path of one of this app's pages, else None."""
    return path_of(current_app.url_map, target)


def own_path_of_url(url: str) -> str | None:
    """The path of a full URL, such as the browser's current one, if it is a page of ours."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return own_path(f"{parts.path}?{parts.query}" if parts.query else parts.path)


def path_of(routes: Map, target: str) -> str | None:
    """The target if it is a path that `routes` lead to, signing in and the API excepted."""
    target = target.partition("#")[0]
    if len(target) > CHARACTERS_MAX or not LOCAL.fullmatch(target):
        return None
    path = unquote(target.partition("?")[0])
    # Once more, since a proxy on the way may have read `%2f` already.
    if is_api_path(path) or not LOCAL.fullmatch(path):
        return None
    try:
        endpoint, _ = routes.bind("").match(path, method="GET")
    except HTTPException:
        return None
    return None if endpoint.partition(".")[0] in ROOMS_LEFT_BEHIND else target
