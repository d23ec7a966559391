"""What nobody caught, told as everything else is: as one record of our log's form, and redacted.

Python prints to standard error what ends a thread, and what no caller can be told of; gevent's hub
does the same for its greenlets and callbacks, with all arguments of the greenlet. A server has all
of them write here. The hub may not wait for a lock, so this is a formatter and a write, no logger.
"""

import logging
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from gevent.hub import Hub

from solrouter import logs


def take_over() -> None:
    """From now on this process tells its uncaught exceptions so."""
    threading.excepthook = _of_thread
    sys.excepthook = _of_process
    sys.unraisablehook = _unraisable
    # A documented method for subclasses; but each native thread makes a hub by itself, of this one.
    Hub.print_exception = _of_hub  # type: ignore[method-assign, unused-ignore]


def _of_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_type is SystemExit:
        return
    name = arguments.thread.name if arguments.thread else "a thread"
    _tell(name, arguments.exc_value, arguments.exc_traceback)


def _of_process(
    _kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    _tell("the process", error, traceback)


def _unraisable(what: "sys.UnraisableHookArgs") -> None:
    # Of the object only its type: its own words may hold anything.
    _tell(type(what.object).__name__, what.exc_value, what.exc_traceback)


def _of_hub(
    _hub: Hub, context: Any, kind: Any, error: Any, traceback: TracebackType | None
) -> None:
    # gevent gives a type alone where nothing is left of the error itself.
    known = error if isinstance(error, BaseException) else None
    where = "gevent" if context is None else type(context).__name__
    _tell(where if known else f"{where} ({kind})", known, traceback)


def report_to(reporter: Callable[[BaseException], None]) -> None:
    """From now on uncaught exceptions are given to the reporter, too."""
    _Reports.reporter = reporter


class _Reports:
    """Who is given what nobody caught, beside the log."""

    reporter: Callable[[BaseException], None] | None = None


def _tell(where: str, error: BaseException | None, traceback: TracebackType | None) -> None:
    facts = (type(error), error, traceback) if error is not None else None
    record = logging.LogRecord(
        "solrouter.uncaught", logging.ERROR, "", 0, "uncaught in %s", (where,), facts
    )
    if sys.stderr is not None:
        # In one piece, so that two at once do not mix.
        sys.stderr.write(logs.formatter().format(record) + "\n")
    if error is not None and _Reports.reporter is not None:
        _Reports.reporter(error)
