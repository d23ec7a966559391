"""Error reports to Sentry, by configuration: what failed, and where in the code.

Imported only where `SENTRY_DSN` is set. A report is built anew of an explicit list: kinds of errors
and the lines of code that they passed. Messages of errors stay here, since anything may stand in
them; the log has them, under the request's id that the report carries.
"""

import atexit
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

import gevent
import sentry_sdk
from flask import Flask, g, has_app_context
from sentry_sdk.integrations.logging import LoggingIntegration

from solrouter import tracebacks

OURS = "solrouter"
FLUSH_S = 2.0
KEPT = ("event_id", "timestamp", "level", "platform", "environment", "sdk")
KEPT_OF_FRAME = ("filename", "function", "module", "lineno", "in_app")


def init_app(app: Flask) -> None:
    """Reports what this process logs as an error, and what nobody caught."""
    sentry_sdk.init(
        dsn=app.config["SENTRY_DSN"],
        environment=app.config["SENTRY_ENVIRONMENT"] or app.config["SOLROUTER_ENV"],
        before_send=_scrubbed,
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[LoggingIntegration(level=None, event_level=logging.ERROR)],
        include_local_variables=False,
        include_source_context=False,
        max_breadcrumbs=0,
        max_request_body_size="never",
        send_default_pii=False,
        send_client_reports=False,
        auto_session_tracking=False,
        server_name="",
    )
    tracebacks.report_to(_report_uncaught)
    atexit.register(partial(sentry_sdk.flush, timeout=FLUSH_S))


def _report_uncaught(error: BaseException) -> None:
    if gevent.getcurrent() is gevent.get_hub():
        # The hub may not wait, and a report may.
        gevent.spawn(sentry_sdk.capture_exception, error)
    else:
        sentry_sdk.capture_exception(error)


def _scrubbed(event: Any, _hint: Any) -> Any:
    """The event without what anybody has typed or sent."""
    found: dict[str, Any] = {name: event[name] for name in KEPT if name in event}
    logger = str(event.get("logger") or "")
    found["logger"] = logger
    template = (event.get("logentry") or {}).get("message")
    # A template of ours is a sentence of the code; others may have filled theirs in.
    if isinstance(template, str) and logger.partition(".")[0] == OURS:
        found["logentry"] = {"message": template}
    values = (event.get("exception") or {}).get("values") or ()
    if values:
        found["exception"] = {"values": [_exception(value) for value in values]}
    if has_app_context() and g.get("request_id"):
        found["tags"] = {"request_id": g.request_id}
    return found


def _exception(value: Mapping[str, Any]) -> dict[str, Any]:
    frames = (value.get("stacktrace") or {}).get("frames") or ()
    return {
        "type": value.get("type"),
        "module": value.get("module"),
        "stacktrace": {
            "frames": [
                {name: frame[name] for name in KEPT_OF_FRAME if name in frame} for frame in frames
            ]
        },
    }
