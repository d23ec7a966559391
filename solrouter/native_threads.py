"""Native threads, whichever server runs us: for work that would stop every other greenlet.

Under gunicorn's gevent worker `threading` makes greenlets, so a commit that waits for the disk or a
password hash that fills a core would freeze the process. gevent's own pool gives real threads whose
futures a greenlet can wait for. Without the patch a plain pool does.
"""

import time
from _thread import RLock
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor

from gevent import monkey
from gevent.threadpool import ThreadPoolExecutor as GeventThreadPoolExecutor

# How often a greenlet looks at what it cannot wait for.
LOOK_S = 0.002


def is_patched() -> bool:
    """Whether this process runs under gevent."""
    return bool(monkey.is_module_patched("threading"))


def executor(workers_max: int) -> Executor:
    """An executor of real threads whose `submit(...).result()` lets other requests run."""
    if is_patched():
        pool: Executor = GeventThreadPoolExecutor(workers_max)
        return pool
    return ThreadPoolExecutor(workers_max)


def start(work: Callable[[], None]) -> None:
    """Begins a real thread, which ends with the process if not before."""
    monkey.get_original("_thread", "start_new_thread")(work, ())


def wait_until(is_so: Callable[[], bool]) -> None:
    """Waits for what a real thread brings about, and lets other requests run meanwhile."""
    while not is_so():
        time.sleep(LOOK_S)


def reentrant_lock() -> RLock:
    """A real lock: for what threads share and no greenlet waits in the middle of."""
    return RLock()
