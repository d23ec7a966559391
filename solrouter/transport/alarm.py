"""One timer for all the waits of one exchange. Knows gevent, and not what is waited for.

gevent's own timeouts make a timer for each wait, and a stream waits for each of its events. Here
the timer stays as it was set while the time that is meant moves on: it rings, finds that it is
early, and is set anew. So to wait costs two assignments, and silence one ring in a while.
"""

from math import inf
from typing import Any

import gevent
from gevent import getcurrent

from solrouter.clock import monotonic_s


class Alarm:
    """Ends the waits of one greenlet at a time. Always `close` it: a set timer outlives it."""

    __slots__ = ("_due_s", "_greenlet", "_rings_at_s", "_timer")

    def __init__(self) -> None:
        self._due_s = self._rings_at_s = inf
        self._greenlet: Any = None
        self._timer: Any = None

    def set(self, due_s: float) -> None:
        """From now until `clear`, raises TimeoutError where this greenlet waits, at `due_s`.

        That is a time of `monotonic_s`.
        """
        self._due_s = due_s
        self._greenlet = getcurrent()
        if due_s < self._rings_at_s:
            self._start(due_s)

    def clear(self) -> None:
        """What was waited for has come."""
        self._greenlet = None

    def close(self) -> None:
        """Rings for nobody any more."""
        self._greenlet = None
        self._rings_at_s = inf
        timer, self._timer = self._timer, None
        # Another thread's event loop must not be touched from here: there it rings once, unheard.
        if timer is not None and timer.loop is gevent.get_hub().loop:
            timer.stop()
            timer.close()

    def _start(self, due_s: float) -> None:
        greenlet = self._greenlet
        self.close()
        self._greenlet = greenlet
        self._rings_at_s = due_s
        # The loop's idea of the time may be as old as the work that it is busy with.
        self._timer = gevent.get_hub().loop.timer(max(due_s - monotonic_s(), 0.0))
        self._timer.start(self._ring, update=True)

    def _ring(self) -> None:
        self._rings_at_s = inf
        if self._greenlet is None:
            # Nobody waits; who does so next sets it anew.
            return
        if self._due_s > monotonic_s():
            self._start(self._due_s)
            return
        greenlet, self._greenlet = self._greenlet, None
        greenlet.throw(TimeoutError("the time is over"))
