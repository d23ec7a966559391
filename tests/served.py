"""The real server in a process of its own: gunicorn and gevent, as the Procfile starts it."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# A busy machine takes its time; what a start may take is for tests of their own.
READY_S = 60.0


@dataclass
class Served:
    """A running server."""

    process: subprocess.Popen[bytes]
    port: int
    log_path: Path
    environ: dict[str, str]
    ready_s: float

    @property
    def url(self) -> str:
        """Where its pages are."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def api(self) -> str:
        """What a client takes as its base URL."""
        return f"{self.url}/v1"

    @property
    def log(self) -> str:
        """All it has written so far."""
        return self.log_path.read_text(errors="replace")

    def flask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a command of the operator's beside it."""
        return subprocess.run(
            [sys.executable, "-m", "flask", *arguments],
            check=False,
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=self.environ,
        )

    def stop(self, *, with_signal: int = signal.SIGTERM) -> int:
        """Ends it and returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(with_signal)
        try:
            return self.process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def start(
    settings: Mapping[str, str], *, ready_s: float = READY_S, port: int | None = None
) -> Served:
    """Starts a server, on a free port unless named, and waits until it answers `GET /healthz`."""
    port = port or free_port()
    environ = {**bare_environment(), **settings, "PORT": str(port), "SOLROUTER_BIND": "127.0.0.1"}
    log_path = Path(settings["SOLROUTER_INSTANCE_PATH"]) / f"server-{port}.log"
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "wsgi:app"],
            cwd=ROOT,
            env=environ,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    began = time.monotonic()
    served = Served(process, port, log_path, environ, 0.0)
    while not _answers(served.url):
        if process.poll() is not None or time.monotonic() - began > ready_s:
            served.stop(with_signal=signal.SIGKILL)
            raise AssertionError(f"the server did not start:\n{served.log}")
        time.sleep(0.02)
    served.ready_s = time.monotonic() - began
    return served


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def bare_environment() -> dict[str, str]:
    """What a process needs of ours, and none of the settings that somebody's shell may carry."""
    kept = ("PATH", "HOME", "LANG", "VIRTUAL_ENV", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ}


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
