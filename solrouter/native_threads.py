"""Native threads, whichever server runs us: for work that would stop every other greenlet.

Under gunicorn's gevent worker `threading` makes greenlets, so a commit that waits for the disk or a
password hash that fills a core would freeze the process. gevent's own pool gives real threads whose
futures a greenlet can wait for. Without the patch a plain pool does.
"""

from concurrent.futures import Executor, ThreadPoolExecutor

from gevent import monkey
from gevent.threadpool import ThreadPoolExecutor as GeventThreadPoolExecutor


def is_patched() -> bool:
    """Whether this process runs under gevent."""
    return bool(monkey.is_module_patched("threading"))


def executor(workers_max: int) -> Executor:
    """An executor of real threads whose `submit(...).result()` lets other requests run."""
    if is_patched():
        pool: Executor = GeventThreadPoolExecutor(workers_max)
        return pool
    return ThreadPoolExecutor(workers_max)
