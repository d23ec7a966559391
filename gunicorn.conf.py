"""How gunicorn serves SolRouter: workers, connections, timeouts. No app code, nothing imported
early.
"""

import atexit
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

from dotenv import dotenv_values

env_file = Path(__file__).parent / ".env"
try:
    settings = {**dotenv_values(env_file), **os.environ}
except UnicodeDecodeError:
    sys.exit(f"{env_file} is not in UTF-8. Save it anew in that encoding.")
is_sqlite = (settings.get("DATABASE_URL") or "sqlite:").startswith("sqlite:")
# What is not a number is told by the app's own check of its settings.
asked = settings.get("WEB_CONCURRENCY") or "1"
asked_workers = int(asked) if asked.isdecimal() else 1
asked_port = settings.get("PORT") or "8000"
# Any that is free, until that check has said what is wrong.
port = asked_port if asked_port.isdecimal() and int(asked_port) < 65_536 else "0"

bind = f"{settings.get('SOLROUTER_BIND') or '0.0.0.0'}:{port}"
# SQLite has one writer, and before 3.51.3 two processes that checkpoint can corrupt the file.
workers = 1 if is_sqlite else max(asked_workers, 1)
worker_class = "gevent"
worker_connections = 2000
backlog = 4096
# gevent serves on while a request waits, so this only finds a loop that is stuck.
timeout = 60
# A PaaS kills after 30 s; streams drain for SOLROUTER_DRAIN_S before this.
graceful_timeout = 25
# Also the only bound on slow request headers, and on a body that nobody asked for.
keepalive = 5
# What a request's head may be; beyond it the answer is 400 or 431 and nothing of ours has run.
limit_request_line = 8190
limit_request_fields = 100
limit_request_field_size = 8190
# Whom to believe about scheme, host and caller is SOLROUTER_PROXY_HOPS to say, and nothing else:
# gunicorn would believe any neighbour on this machine, and what they pass on from strangers.
forwarded_allow_ips = ""
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""
preload_app = False
max_requests = 0
accesslog = None
loglevel = "info"
control_socket_disable = True
proc_name = "solrouter"


def on_starting(server):
    """Says aloud when a wish for more workers is not granted."""
    if is_sqlite and asked_workers > 1:
        server.log.info(
            "WEB_CONCURRENCY=%d is ignored: on SQLite there is always one worker. "
            "Set DATABASE_URL to a PostgreSQL database for more.",
            asked_workers,
        )


def on_reload(server):
    """On SQLite lets the worker that runs end before the next one starts; new requests wait.

    On SIGHUP gunicorn would run both for a while, and two processes that checkpoint can corrupt the
    file. On PostgreSQL that is as it should be: no request waits.
    """
    if not is_sqlite:
        return
    server.kill_workers(signal.SIGTERM)
    _wait_for_workers(server, graceful_timeout)
    server.kill_workers(signal.SIGKILL)
    _wait_for_workers(server, graceful_timeout)


def _wait_for_workers(server, within_s):
    until_s = time.monotonic() + within_s
    while server.WORKERS and time.monotonic() < until_s:
        server.reap_workers()
        time.sleep(0.1)


def when_ready(server):
    """Prints what `make run` wants newcomers to see, now that the socket listens."""
    welcome = os.environ.pop("SOLROUTER_WELCOME", "")
    if welcome:
        print(f"\n{welcome}\n", flush=True)  # noqa: T201 (this is for the person at the terminal)


def post_worker_init(worker):
    """Lets the app ask whether this worker is on its way out."""
    # Ctrl-C reaches every process at the terminal. The master alone obeys it, and then tells us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from solrouter import process  # noqa: PLC0415 (only after the patch in wsgi.py)

    process.attach(lambda: worker.alive)


def post_request(worker, req, environ, resp):
    """Takes no other request on a connection whose answer ended while this worker drains.

    An answer that began before says that its connection is kept, and an idle client would hold the
    worker for as long as `keepalive` allows.
    """
    client = environ.get("gunicorn.socket")
    if client is not None and not worker.alive:
        with suppress(OSError):
            client.shutdown(socket.SHUT_RD)


def worker_exit(server, worker):
    """Ends a worker that was told to stop as soon as its last acts are done.

    What Python does after them is to take everything apart, piece by piece: half a second of a core
    for each worker, all at the same time, and what takes too long is killed.
    """
    # gunicorn's master calls this too, for workers that it finds gone.
    if worker.pid != os.getpid() or not worker.booted or worker.alive:
        return
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
