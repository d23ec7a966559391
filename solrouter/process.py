"""This process: its name in the database, and whether it is on its way out. Knows no web server."""

import os
import secrets
import socket
from collections.abc import Callable
from functools import cache


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
