"""GET /metrics, for a monitor that knows the token. Until one is set there is nothing here.

It is asked for the whole installation, not for the process that happens to answer: behind a router
nobody knows which one that is.
"""

import hmac

from flask import Blueprint, Response, current_app, request
from werkzeug.exceptions import NotFound, Unauthorized

from solrouter.services.metrics import exposition

EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"

metrics = Blueprint("metrics", __name__)


@metrics.get("/metrics")
def show_metrics() -> Response:
    """Prometheus's text format. Answers 404 without a token set, 401 with another."""
    expected = current_app.config["SOLROUTER_METRICS_TOKEN"]
    if not expected:
        raise NotFound
    given = request.headers.get("Authorization", "")
    if not hmac.compare_digest(given.encode(), f"Bearer {expected}".encode()):
        raise Unauthorized("Send the token: Authorization: Bearer …", www_authenticate=None)
    return Response(exposition(), content_type=EXPOSITION, headers={"Cache-Control": "no-store"})
