"""Logging: one line an event to standard error, with ids and never with content or secrets.

A filter on the way out blanks whatever is, or looks like, a credential, for the day somebody
forgets; in gunicorn's own lines too, which would also repeat what a broken request said.
"""

import logging
import re
import sys
import time

from flask import Flask

from solrouter import config, redaction

LINE = "%(asctime)s %(levelname)s %(name)s %(message)s"
# gunicorn tells the line that it could not read, and the query of what failed.
QUOTED = (
    (re.compile(r"(Invalid request from ip=[^\s:]*(?::[^\s:]*)*): .*", re.DOTALL), r"\1"),
    (re.compile(r"(Error handling request [^?\s]*(?: [^?\s]*)?)\?\S*"), r"\1"),
)


class Redaction(logging.Formatter):
    """A formatter whose output holds no credential, in the message or in a traceback; in UTC."""

    converter = staticmethod(time.gmtime)
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        return redaction.redacted(super().format(record))


class ServersRedaction(Redaction):
    """gunicorn's own lines in its own form, without what a stranger has sent."""

    def __init__(self, own: logging.Formatter | None) -> None:
        super().__init__()
        self._own = own or logging.Formatter(LINE)

    def format(self, record: logging.LogRecord) -> str:
        text = self._own.format(record)
        for pattern, kept in QUOTED:
            text = pattern.sub(kept, text, count=1)
        return redaction.redacted(text)


def init_app(app: Flask) -> None:
    """Sends the log of our own code to standard error, once for each process."""
    for setting in config.SETTINGS:
        if setting.secret:
            value = app.config[setting.name]
            redaction.remember(*(value if isinstance(value, tuple | list) else (value,)))
    root = logging.getLogger("solrouter")
    if not root.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(Redaction(LINE))
        root.addHandler(handler)
        root.propagate = False
    root.setLevel(logging.WARNING if app.config["SOLROUTER_ENV"] == "test" else logging.INFO)
    _redact_others()


def _redact_others() -> None:
    """The same for the server's log, and for libraries' warnings that nobody else takes."""
    for handler in logging.getLogger("gunicorn.error").handlers:
        if not isinstance(handler.formatter, ServersRedaction):
            handler.setFormatter(ServersRedaction(handler.formatter))
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(Redaction(LINE))
