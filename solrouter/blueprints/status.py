"""The status page: models and providers from real traffic, incidents as the operator tells them. As
a page, as JSON and as RSS.
"""

from collections.abc import Sequence
from typing import Any

import orjson
from flask import Blueprint, Response, render_template, request
from flask.typing import ResponseReturnValue

from solrouter import clock
from solrouter.blueprints import addresses, hx, uptime
from solrouter.blueprints.filters import iso
from solrouter.blueprints.uptime import OPERATIONAL, OUTAGE, TROUBLE, Standing
from solrouter.services import incidents
from solrouter.services.incidents import Told

# How long whoever asks often may go by what they have.
FRESH_S = 15

status = Blueprint("status", __name__)


@status.get("/status")
def show_status() -> ResponseReturnValue:
    """All of it, for people."""
    board, told = uptime.board(), incidents.recent()
    return hx.page_or_fragment(
        "status/status.html",
        "status/_status.html",
        overall=overall(board.models, told),
        board=board,
        incidents=told,
        windows=uptime.WINDOWS,
        kinds=incidents.KINDS,
        moment=clock.utcnow(),
    )


@status.get("/status.json")
def show_document() -> Response:
    """All of it, for programs."""
    board, told = uptime.board(), incidents.recent()
    document = {
        "status": overall(board.models, told),
        "updated_at": iso(clock.utcnow()),
        "providers": [_standing(each) for each in board.providers],
        "models": [_standing(each) for each in board.models],
        "incidents": [_incident(each) for each in told],
    }
    return _fresh_for_a_while(Response(orjson.dumps(document), mimetype="application/json"))


@status.get("/status.rss")
def show_feed() -> Response:
    """The incidents, for feed readers."""
    text = render_template(
        "status/feed.xml", incidents=incidents.recent(), site_url=addresses.site_url()
    )
    return _fresh_for_a_while(Response(text, mimetype="application/rss+xml"))


def overall(models: Sequence[Standing], told: Sequence[Told]) -> str:
    """The one word: what an operator says weighs most, then how the models are doing."""
    running = {each.kind for each in told if each.is_open and not each.is_ahead}
    states = {each.state for each in models}
    if "outage" in running or (states and states == {OUTAGE}):
        return OUTAGE
    if "degraded" in running or states & {OUTAGE, TROUBLE}:
        return TROUBLE
    return OPERATIONAL


def _fresh_for_a_while(response: Response) -> Response:
    # What brings a cookie may carry one back, which is nobody else's.
    whose = "private" if request.cookies else "public"
    response.headers["Cache-Control"] = f"{whose}, max-age={FRESH_S}"
    return response


def _standing(standing: Standing) -> dict[str, Any]:
    return {
        "id": standing.id,
        "name": standing.name,
        "status": standing.state,
        "windows": {
            name: {
                "attempts": traffic.attempts,
                "failures": traffic.failures,
                "uptime_percent": _rounded(traffic.uptime_percent),
            }
            for name, traffic in standing.windows.items()
        },
    }


def _rounded(percent: float | None) -> float | None:
    return None if percent is None else round(percent, 3)


def _incident(told: Told) -> dict[str, Any]:
    return {
        "id": told.public_id,
        "title": told.title,
        "kind": told.kind,
        "affects": told.affects,
        "started_at": iso(told.started_at),
        "ended_at": iso(told.ended_at) or None,
        "notes": [{"text": note.text, "created_at": iso(note.created_at)} for note in told.notes],
    }
