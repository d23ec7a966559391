"""Logging: one line an event to standard error, with ids and never with content or secrets.

Lines are text, or with `SOLROUTER_LOG_FORMAT=json` JSON objects, for programs that gather logs.

A filter on the way out blanks whatever is, or looks like, a credential, for the day somebody
forgets; in gunicorn's own lines too, which would also repeat what a broken request said.
"""

import logging
import re
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import orjson
from flask import Flask

from solrouter import config, redaction
from solrouter.rpc_endpoint import RpcEndpoint
from solrouter.smtp_address import SmtpServer

STAMP = "%Y-%m-%d %H:%M:%S"
LINE = "%(asctime)s %(levelname)s %(name)s %(message)s"
# gunicorn tells the line that it could not read, and the query of what failed, or the token in it.
QUOTED = (
    (re.compile(r"(Invalid request from ip=[^\s:]*(?::[^\s:]*)*): .*", re.DOTALL), r"\1"),
    (re.compile(r"(Error handling request [^?\s]*(?: [^?\s]*)?)\?\S*"), r"\1"),
    (re.compile(r"(Error handling request [^?\s]*(?: [^?\s]*)?/)[\w-]{36,}"), r"\1-token-"),
)


class Redaction(logging.Formatter):
    """A formatter whose output holds no credential, in the message or in a traceback; in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        return redaction.redacted(super().format(record))

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 (the base's)
        return _stamped(int(record.created), int(record.msecs))


class JsonRedaction(Redaction):
    """The same as one JSON object: `at`, `level`, `logger`, `message` and, of a fault, `error`."""

    def format(self, record: logging.LogRecord) -> str:
        at = _stamped(int(record.created), int(record.msecs))
        facts = {"at": at, "level": record.levelname, "logger": record.name}
        facts["message"] = redaction.redacted(self._message(record))
        if record.exc_info:
            facts["error"] = redaction.redacted(self.formatException(record.exc_info))
        return orjson.dumps(facts).decode()

    def _message(self, record: logging.LogRecord) -> str:
        return record.getMessage()


class _Form:
    """How this process writes its lines."""

    is_json = False


def are_json() -> bool:
    """Whether lines are JSON objects."""
    return _Form.is_json


def formatter() -> Redaction:
    """What writes a record in the form of this process."""
    return JsonRedaction(LINE) if _Form.is_json else Redaction(LINE)


class _Second:
    """A second's text, written once for all events that share it."""

    number, text = -1, ""


def _stamped(second: int, milliseconds: int) -> str:
    """A moment in UTC."""
    if second != _Second.number:
        _Second.number, _Second.text = second, time.strftime(STAMP, time.gmtime(second))
    return f"{_Second.text}.{milliseconds:03d}Z"


def tell(log: logging.Logger, message: str, *, is_ours: bool) -> None:
    """One line at INFO to standard error, for what is said at every request.

    The same line that `log.info` would write at a tenth of its cost, to nobody but standard error.
    With `is_ours` every word of it is our own, so there is nothing to blank.
    """
    if log.isEnabledFor(logging.INFO):
        line = f"{_stamped(*divmod(time.time_ns() // 1_000_000, 1000))} INFO {log.name} {message}\n"
        # Nobody's request fails because its line cannot be written.
        with suppress(OSError, ValueError):
            sys.stderr.write(line if is_ours else redaction.redacted(line))


def tell_facts(log: logging.Logger, facts: Mapping[str, Any], *, is_ours: bool) -> None:
    """`tell` where lines are JSON: each fact is a field of its own."""
    if log.isEnabledFor(logging.INFO):
        at = _stamped(*divmod(time.time_ns() // 1_000_000, 1000))
        line = orjson.dumps({"at": at, "level": "INFO", "logger": log.name, **facts}).decode()
        with suppress(OSError, ValueError):
            sys.stderr.write(f"{line if is_ours else redaction.redacted(line)}\n")


class ServersRedaction(Redaction):
    """gunicorn's own lines in its own form, without what a stranger has sent."""

    def __init__(self, own: logging.Formatter | None) -> None:
        super().__init__()
        self._own = own or logging.Formatter(LINE)

    def format(self, record: logging.LogRecord) -> str:
        return redaction.redacted(_unquoted(self._own.format(record)))


class ServersJsonRedaction(JsonRedaction):
    """The same as JSON."""

    def _message(self, record: logging.LogRecord) -> str:
        return _unquoted(super()._message(record))


def _unquoted(text: str) -> str:
    """A line of gunicorn's without what it quotes."""
    for pattern, kept in QUOTED:
        text = pattern.sub(kept, text, count=1)
    return text


def init_app(app: Flask) -> None:
    """Sends the log of our own code to standard error, once for each process."""
    for setting in config.SETTINGS:
        if setting.secret:
            redaction.remember(*_texts(app.config[setting.name]))
    _Form.is_json = app.config["SOLROUTER_LOG_FORMAT"] == "json"
    root = logging.getLogger("solrouter")
    # What no line tells need not be found out for each of them; gunicorn's tell the process.
    # https://docs.python.org/3/howto/logging.html#optimization
    logging._srcfile = None
    logging.logThreads = logging.logMultiprocessing = False
    # A line that cannot be written would be told as it is, with all that it was to tell.
    logging.raiseExceptions = app.config["SOLROUTER_ENV"] != "production"
    if not root.handlers:
        root.addHandler(logging.StreamHandler(sys.stderr))
        root.propagate = False
    for handler in root.handlers:
        handler.setFormatter(formatter())
    root.setLevel(logging.WARNING if app.config["SOLROUTER_ENV"] == "test" else logging.INFO)
    _redact_others()


def _texts(secret: Any) -> Sequence[str | None]:
    """What of a secret setting must not be told."""
    if isinstance(secret, SmtpServer):
        return (secret.password, quote(secret.password, safe=""))
    if isinstance(secret, tuple) and secret and isinstance(secret[0], RpcEndpoint):
        return [text for endpoint in secret for text in endpoint.secrets]
    return secret if isinstance(secret, tuple | list) else (secret,)


def _redact_others() -> None:
    """The same for the server's log, and for libraries' warnings that nobody else takes."""
    for handler in logging.getLogger("gunicorn.error").handlers:
        if _Form.is_json:
            handler.setFormatter(ServersJsonRedaction(LINE))
        elif not isinstance(handler.formatter, ServersRedaction):
            handler.setFormatter(ServersRedaction(handler.formatter))
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(formatter())
