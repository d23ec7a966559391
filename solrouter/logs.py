"""Logging: one line an event to standard error, with ids and never with content or secrets.

A filter on the way out blanks whatever looks like a credential, for the day somebody forgets.
"""

import logging
import re
import sys
import time

from flask import Flask

SECRET_SHAPES = re.compile(
    r"sr_[0-9A-Za-z]{8,}|sk-[0-9A-Za-z_-]{8,}|Bearer\s+\S+|whsec_\S+|AIza[0-9A-Za-z_-]{10,}"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)",
    re.IGNORECASE,
)
STAMP = "%Y-%m-%d %H:%M:%S"
LINE = "%(asctime)s %(levelname)s %(name)s %(message)s"


class Redaction(logging.Formatter):
    """A formatter whose output holds no credential, in the message or in a traceback."""

    _second, _stamp = 0, ""

    def format(self, record: logging.LogRecord) -> str:
        return SECRET_SHAPES.sub("[redacted]", super().format(record))

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 (the base's)
        """The time of an event; its seconds are written once for all that share them."""
        second = int(record.created)
        if second != self._second:
            self._second, self._stamp = second, time.strftime(STAMP, time.localtime(second))
        return f"{self._stamp},{record.msecs:03.0f}"


def init_app(app: Flask) -> None:
    """Sends the log of our own code to standard error, once for each process."""
    root = logging.getLogger("solrouter")
    # What our lines do not tell need not be found out for each of them.
    # https://docs.python.org/3/howto/logging.html#optimization
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    if not root.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(Redaction(LINE))
        root.addHandler(handler)
        root.propagate = False
    root.setLevel(logging.WARNING if app.config["SOLROUTER_ENV"] == "test" else logging.INFO)
