"""Serves localstripe on this machine alone. Run by `.venv-stripe/bin/python`, never imported: it is
GPL-3, a program beside ours.

Prints its address, and ends when its input does. It keeps nothing on disk.
"""

import os
import sys
import threading

from aiohttp import web
from localstripe import resources
from localstripe.server import app


def end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    port = int(sys.argv[1])
    resources.store.dump_to_disk = lambda: None
    threading.Thread(target=end_with_input, daemon=True).start()
    web.run_app(
        app,
        host="127.0.0.1",
        port=port,
        print=lambda _: print(f"http://127.0.0.1:{port}", flush=True),  # noqa: T201
        access_log=None,
    )
