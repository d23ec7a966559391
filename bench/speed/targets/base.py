"""What the run needs to know of any program: how to start it, how to ask it, what it uses."""

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.speed import machine
from bench.speed.shapes import Shape
from tests.served import ROOT, free_port

READY_S = 90.0
STOP_S = 30.0
PATH = "/v1/chat/completions"
OUTPUT_TOKENS_MAX = 1024
SYSTEM = "You are a terse assistant. Answer in plain words."
QUESTION = "What is the meaning of life, and why do so many people ask a machine about it?"
# Where `make bench-peers` puts what it installs.
PEERS = ROOT / ".bench-peers"


@dataclass
class Surroundings:
    """What every program is given: the upstream's port, a folder, the shapes it will be asked."""

    upstream_port: int
    folder: Path
    shapes: Sequence[Shape]
    core: int

    @property
    def upstream_url(self) -> str:
        """What a vendor's own SDK would take."""
        return f"http://127.0.0.1:{self.upstream_port}/v1"


@dataclass
class Target:
    """A program in front of the upstream. A subclass says how it is started."""

    around: Surroundings
    port: int = 0
    process: "subprocess.Popen[bytes] | None" = None
    cores: frozenset[int] = field(init=False)
    name = "target"
    title = "a target"
    keeps_books = "no"
    health_path = "/healthz"

    def __post_init__(self) -> None:
        self.cores = frozenset({self.around.core})

    def missing(self) -> str:
        """Why it cannot run here; empty when it can."""
        return ""

    def prepare(self) -> None:
        """What is done once, before the first start."""

    def command(self) -> list[str]:
        """What is started; it must listen on `self.port`."""
        raise NotImplementedError

    def environ(self) -> Mapping[str, str]:
        """What it needs in its environment beside the bare necessities."""
        return {}

    def model(self, shape: Shape) -> str:
        """What a caller names to get this shape."""
        return shape.model

    def keys(self) -> Sequence[str]:
        """The callers' keys, who take turns."""
        return ("sr-bench",)

    def headers(self) -> Mapping[str, str]:
        """What its callers must send beside their key."""
        return {}

    def start(self) -> float:
        """Starts it; after how many seconds it was ready."""
        self.port = free_port()
        kept = ("PATH", "HOME", "LANG", "TMPDIR")
        environ = {name: os.environ[name] for name in kept if name in os.environ}
        with machine.on_cores(self.cores), self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=self.around.folder,
                env={**environ, **self.environ()},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        began_s = time.monotonic()
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() - began_s > READY_S:
                self.stop()
                raise RuntimeError(f"{self.name} did not start:\n{self.log[-2000:]}")
            time.sleep(0.02)
        return time.monotonic() - began_s

    def _answers(self) -> bool:
        url = f"http://127.0.0.1:{self.port}{self.health_path}"
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def stop(self) -> None:
        """Ends it, and all that it has started."""
        if self.process is None:
            return
        pids = machine.family(self.process.pid)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            self.process.wait()
        self.process = None

    @property
    def log_path(self) -> Path:
        """Where it writes what it says."""
        return self.around.folder / f"{self.name}.log"

    @property
    def log(self) -> str:
        """All it has said so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def pids(self) -> list[int]:
        """Its processes."""
        return [] if self.process is None else machine.family(self.process.pid)

    def database_pids(self) -> list[int]:
        """The database's processes that work for it alone, if they run on this machine."""
        return []

    def receipts(self) -> int | None:
        """How many requests stand in its books; None for one without books."""
        return None

    def audit(self) -> str:
        """What is wrong with its books; empty when they are right or there are none."""
        return ""

    def requests(self, shape: Shape, *, is_streamed: bool) -> list[bytes]:
        """The requests for this shape, one for each key, ready to be written to a socket."""
        body: dict[str, object] = {
            "model": self.model(shape),
            "messages": [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": QUESTION},
            ],
            "temperature": 0.7,
            "max_tokens": OUTPUT_TOKENS_MAX,
        }
        if is_streamed:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        payload = json.dumps(body).encode()
        return [self._written("POST", PATH, payload, key) for key in self.keys()]

    def health_request(self) -> bytes:
        """A request that asks nothing of it but to be alive."""
        return self._written("GET", self.health_path, b"", self.keys()[0])

    def _written(self, method: str, path: str, payload: bytes, key: str) -> bytes:
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            f"Authorization: Bearer {key}",
            "Accept: application/json",
            "User-Agent: bench/1",
            *(f"{name}: {value}" for name, value in self.headers().items()),
        ]
        if payload:
            lines += ["Content-Type: application/json", f"Content-Length: {len(payload)}"]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + payload
