"""The fake provider in a process of its own, told over HTTP what to do.

Each kind of answer has a path of its own (`/<name>/v1`), so that a provider of SolRouter's stands
for a fault, and requests that run side by side cannot take one another's script.
"""

import json
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from typing import Any, Self

from tests.served import ROOT


@dataclass
class Upstream:
    """A running provider."""

    process: subprocess.Popen[str]
    origin: str

    @classmethod
    def start(cls) -> Self:
        """Starts it and waits until it says where it listens."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.upstream"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url, "the fake upstream did not start"
        return cls(process, url.removesuffix("/v1"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def url(self, name: str) -> str:
        """The base URL of a kind of answer."""
        return f"{self.origin}/{name}/v1"

    def plays(self, name: str, **script: Any) -> None:
        """From now on requests to `name` are answered so; a later script goes before."""
        self._control("POST", "script", {**script, "path_part": f"/{name}/v1/"})

    def aborts(self) -> dict[str, tuple[float, int]]:
        """The clients that left: by name, when (monotonic clock) and after how many events."""
        seen = self._control("GET", "requests")["aborted"]
        return {_name(one["path"]): (one["at_monotonic"], one["events_sent"]) for one in seen}

    def counts(self) -> dict[str, int]:
        """How many requests came to each name."""
        counts: dict[str, int] = {}
        for one in self._control("GET", "requests")["requests"]:
            counts[_name(one["path"])] = counts.get(_name(one["path"]), 0) + 1
        return counts

    def wait_idle(self, within_s: float = 5.0) -> None:
        """Waits until no answer is on its way, this question's own aside."""
        by_s = time.monotonic() + within_s
        while self._control("GET", "requests")["connections"]["busy"] > 1:
            if time.monotonic() > by_s:
                return
            time.sleep(0.05)

    def _control(self, method: str, what: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        url = f"{self.origin}/_control/{what}"
        request = urllib.request.Request(url, data, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


def _name(path: str) -> str:
    return str(path).split("/")[1]
