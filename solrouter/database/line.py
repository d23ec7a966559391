"""A fair line for the connections of a pool."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import TimeoutError as PoolTimeout

# How long a request may stand in line for a connection while the database answers others.
LINE_S_MAX = 15.0


class Line:
    """Lets in so many at once, the others in the order they came.

    The pool's own queue is not fair: whoever gives a connection back takes it again at once for its
    next step, while others wait until they time out.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: deque[threading.Lock] = deque()
        self._mutex = threading.Lock()

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place for as long as it is needed. Raises PoolTimeout."""
        self._take()
        try:
            yield
        finally:
            self._pass_on()

    def _take(self) -> None:
        with self._mutex:
            if self._free > 0:
                self._free -= 1
                return
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        if turn.acquire(timeout=LINE_S_MAX):
            return
        with self._mutex:
            if turn in self._waiting:
                self._waiting.remove(turn)
                raise PoolTimeout(f"no connection was free for {LINE_S_MAX:.0f} s")

    def _pass_on(self) -> None:
        with self._mutex:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1
