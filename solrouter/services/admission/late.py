"""Writes that the database could not take when they were due: kept in memory and tried again until
it takes them, or the process ends.

A settlement that is lost is a free answer, and a hold whose admission nobody heard of blocks its
account until the deadline. Each write says itself what it means to have been made already. Beyond
LATE_MAX a write is given up: its hold expires.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable

from solrouter.errors import DatabaseUnavailable

log = logging.getLogger(__name__)

LATE_MAX = 10_000

Write = Callable[[], object]
_waiting: deque[tuple[str, Write]] = deque()
_one_at_a_time = threading.Lock()


def keep(what: str, write: Write) -> None:
    """Keeps a write for later; `what` names it in the log."""
    if len(_waiting) >= LATE_MAX:
        log.error("%d writes wait already; given up: %s", LATE_MAX, what)
        return
    _waiting.append((what, write))
    log.warning("the database has to be told later: %s", what)


def waiting() -> int:
    """How many writes wait."""
    return len(_waiting)


def catch_up() -> int:
    """Makes the writes that wait, in order, until the database does not answer; says how many."""
    made = 0
    with _one_at_a_time:
        while _waiting:
            what, write = _waiting[0]
            try:
                write()
            except DatabaseUnavailable:
                return made
            except Exception:
                log.exception("the database refused for good: %s", what)
            _waiting.popleft()
            made += 1
    return made
