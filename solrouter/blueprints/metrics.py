"""GET /metrics, for a monitor that knows the token. Until one is set there is nothing here.

It says only what it knows: that this process runs since when, and whether the database answers.
"""

import hmac

from flask import Blueprint, Response, current_app, request
from werkzeug.exceptions import NotFound, Unauthorized

from solrouter import clock
from solrouter.services import catalogue

BEGAN_AT = clock.utcnow()
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
    lines = (
        "# HELP process_start_time_seconds When this worker began, in seconds since 1970.",
        "# TYPE process_start_time_seconds gauge",
        f"process_start_time_seconds {BEGAN_AT.timestamp():.3f}",
        "# HELP solrouter_database_up Whether the database answers this worker.",
        "# TYPE solrouter_database_up gauge",
        f"solrouter_database_up {int(catalogue.ready())}",
    )
    answer = "".join(f"{line}\n" for line in lines)
    return Response(answer, content_type=EXPOSITION, headers={"Cache-Control": "no-store"})
