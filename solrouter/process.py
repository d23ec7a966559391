"""This process: its name in the database, whether it is on its way out, and how it collects what
nobody refers to. Knows no web server.
"""

import gc
import os
import secrets
import socket
from collections.abc import Callable
from functools import cache

# A request makes hundreds of objects and leaves few rings of them, so the collector looks seldom.
YOUNG_OBJECTS_MAX = 10_000


@cache
def worker_id() -> str:
    """A name no other process has or had; made at first use, so after any fork."""
    return f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(6)}"


class _Drain:
    """Whether the server that runs us still takes work; told by gunicorn.conf.py."""

    is_alive: Callable[[], bool] | None = None


def attach(is_alive: Callable[[], bool]) -> None:
    """Tells how to ask the server whether this process goes on."""
    _Drain.is_alive = is_alive


def is_draining() -> bool:
    """Whether the process has been told to stop: new requests belong elsewhere."""
    return _Drain.is_alive is not None and not _Drain.is_alive()


def keep_what_is_built() -> None:
    """All objects that there are stay, and are not looked through again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS_MAX, 10, 10)
