"""What every other party over HTTP has in common: it listens on 127.0.0.1 until it is closed."""

import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self

POLL_S = 0.02


class Site:
    """A program on a socket, from the moment it is made until `close()`."""

    handler: ClassVar[type["SiteHandler"]]
    # Whether a client that hangs holds up `close()`.
    waits_for_clients: ClassVar[bool] = True

    def __init__(self, *, port: int = 0) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", port), partial(self.handler, self))
        self._server.daemon_threads = not self.waits_for_clients
        serve = partial(self._server.serve_forever, poll_interval=POLL_S)
        self._thread = threading.Thread(target=serve, name=type(self).__name__, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class SiteHandler(BaseHTTPRequestHandler):
    """One connection, one request: HTTP/1.0 on purpose, so that nothing lingers at close()."""

    def __init__(self, site: Any, *arguments: Any) -> None:
        self.site = site
        super().__init__(*arguments)

    def log_message(self, *_: Any) -> None:
        """Says nothing: what was asked is remembered, not printed."""

    def do_GET(self) -> None:
        self.take()

    def do_POST(self) -> None:
        self.take()

    def take(self) -> None:
        """Answers the request."""
        raise NotImplementedError

    def body(self) -> bytes:
        """What was sent."""
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def say(self, status: int, body: bytes, kind: str, **headers: str) -> None:
        """The whole answer."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
