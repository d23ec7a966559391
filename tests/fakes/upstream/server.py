"""The program: it listens, remembers, and plays what it was told."""

import argparse
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any, Self, TypeVar
from urllib.parse import parse_qs

from tests.fakes.upstream.dialect import Dialect
from tests.fakes.upstream.memory import Memory
from tests.fakes.upstream.replies import (
    GEMINI,
    Reply,
    completion_reply,
    dialect_beside,
    dialect_of,
    json_reply,
    told_reply,
)
from tests.fakes.upstream.script import Json, Rule, Script
from tests.fakes.upstream.seen import Abort, Connections, Seen
from tests.fakes.upstream.wire import Connection

Found = TypeVar("Found")

DEFAULT_MODELS = ("gpt-4o", "gpt-4o-mini")
ACCEPT_PAUSE_S = 0.01
CLOSE_WAIT_S = 2.0
BACKLOG = 1_024


class FakeUpstream:
    """A provider on 127.0.0.1 that does what it is told and remembers what it saw.

    It listens from the moment it is made until `close()`. `strict` refuses requests that the
    vendor would refuse for their shape (no model, no max_tokens for Anthropic …) with a 400.
    """

    def __init__(
        self, *, port: int = 0, expected_key: str | None = None, strict: bool = True
    ) -> None:
        self.expected_key = expected_key
        self.strict = strict
        self.models: list[str] = list(DEFAULT_MODELS)
        self._memory = Memory()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
        self._port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, name="fake-upstream", daemon=True)
        self._accepting.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def origin(self) -> str:
        """Scheme, host and port: the base URL of Anthropic's and Google's kind."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        """The base URL of OpenAI's kind, which ends in /v1."""
        return f"{self.origin}/v1"

    @property
    def seen(self) -> list[Seen]:
        """The requests so far, without those to /_control."""
        with self._memory.changed:
            return list(self._memory.seen)

    @property
    def requests(self) -> int:
        """How many requests were seen."""
        with self._memory.changed:
            return len(self._memory.seen)

    @property
    def last(self) -> Seen:
        """The newest request."""
        with self._memory.changed:
            return self._memory.seen[-1]

    @property
    def aborted(self) -> list[Abort]:
        """The clients that went away too early."""
        with self._memory.changed:
            return list(self._memory.aborted)

    @property
    def connections(self) -> Connections:
        """How many connections there were and are."""
        memory = self._memory
        with memory.changed:
            return Connections(memory.accepted_count, len(memory.threads), memory.busy_count)

    def answers(
        self, text: str | None = None, *, times: int | None = None, delay_s: float = 0.0, **say: Any
    ) -> Script:
        """Answers with this text, and any field of Script; `times=None` means for ever."""
        return self.plays(Script(text=text, **{"stall_before_s": delay_s, **say}), times=times)

    def streams(self, *pieces: str, times: int | None = None, **say: Any) -> Script:
        """Answers with these deltas, and any field of Script; joined if no stream is asked."""
        return self.plays(Script(pieces=pieces, **say), times=times)

    def plays(self, script: Script, *, times: int | None = None) -> Script:
        """Queues a script for so many requests, or makes it the standing one.

        Queued scripts are used first, in their order; then the newest standing one.
        """
        with self._memory.changed:
            self._memory.rules.append(Rule(script, times))
        return script

    def reset(self) -> None:
        """Forgets all scripts and all it has seen; connections stay."""
        with self._memory.changed:
            self._memory.rules.clear()
            self._memory.seen.clear()
            self._memory.aborted.clear()
            self._memory.changed.notify_all()

    def wait_for(self, predicate: Callable[[], Found], timeout_s: float = 5.0) -> Found:
        """Waits until the predicate is true, tried at each change; raises TimeoutError."""
        with self._memory.changed:
            found = self._memory.changed.wait_for(predicate, timeout_s)
        if not found:
            raise TimeoutError(f"the fake upstream waited {timeout_s} s in vain")
        return found

    def close(self) -> None:
        """Stops listening and drops every connection, stalled or not."""
        with self._memory.changed:
            self._memory.is_closed = True
            threads = dict(self._memory.threads)
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in threads:
            connection.hang_up()
        for thread in (self._accepting, *threads.values()):
            thread.join(CLOSE_WAIT_S)

    def _accept(self) -> None:
        while not self._memory.is_closed:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                # Closed, or out of file descriptors for now.
                time.sleep(0 if self._memory.is_closed else ACCEPT_PAUSE_S)
                continue
            self._memory.welcome(Connection(sock, self._memory, self._reply_to))

    def _reply_to(self, seen: Seen) -> Reply:
        """Decides what to answer, and remembers the request."""
        if seen.path.startswith("/_control/"):
            return self._control(seen)
        dialect = dialect_of(seen)
        manners = dialect or dialect_beside(seen)
        script, serial = self._memory.note(seen, is_completion=dialect is not None)
        reply = self._refusal(seen, dialect) or told_reply(manners, script)
        if reply is None and dialect is not None:
            reply = completion_reply(dialect, script, seen, serial)
        if reply is None and seen.method == "GET" and seen.path.endswith("/models"):
            reply = json_reply(script, 200, manners.models(self.models))
        if reply is None:
            detail = {"message": f"No such path: {seen.method} {seen.path}"}
            reply = json_reply(script, 404, manners.error(404, detail))
        return replace(reply, headers={manners.request_id_header: f"req_fake_{serial}"})

    def _refusal(self, seen: Seen, dialect: Dialect | None) -> Reply | None:
        """What is wrong with the request itself, whatever the script says."""
        manners = dialect or dialect_beside(seen)
        if self.expected_key is not None and self.expected_key not in _keys(seen):
            detail: Json = {"message": "Incorrect API key provided."}
            if manners is GEMINI:
                detail = {"message": "API key not valid.", "details": [_KEY_INVALID]}
            status = manners.key_refused
            return json_reply(Script(), status, manners.error(status, detail))
        complaint = dialect.complaint(seen) if dialect and self.strict else None
        if complaint is not None:
            return json_reply(Script(), 400, manners.error(400, {"message": complaint}))
        return None

    def _control(self, seen: Seen) -> Reply:
        """The same controls for tests in another process."""
        match seen.method, seen.path.removeprefix("/_control/"):
            case "GET", "requests":
                return json_reply(Script(), 200, self._memories())
            case "POST", "reset":
                self.reset()
            case "POST", "script":
                said = dict(seen.body or {})
                times = said.pop("times", None)
                try:
                    self.plays(Script.from_json(said), times=times)
                except (TypeError, ValueError) as error:
                    return json_reply(Script(), 400, {"error": {"message": str(error)}})
            case _:
                return json_reply(Script(), 404, {"error": {"message": "No such control."}})
        return json_reply(Script(), 200, {"ok": True})

    def _memories(self) -> Json:
        rows = [asdict(seen) | {"raw": seen.raw.decode("utf-8", "replace")} for seen in self.seen]
        aborted = [asdict(abort) for abort in self.aborted]
        return {"requests": rows, "aborted": aborted, "connections": asdict(self.connections)}


_KEY_INVALID = {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    "reason": "API_KEY_INVALID",
    "domain": "googleapis.com",
}


def _keys(seen: Seen) -> set[str]:
    """Every key that the request shows, in any vendor's way."""
    bearer = seen.headers.get("authorization", "").removeprefix("Bearer ")
    named = (seen.headers.get(name, "") for name in ("x-api-key", "x-goog-api-key"))
    return {bearer, *named, *parse_qs(seen.query).get("key", [])} - {""}


def main() -> None:
    """Serves until interrupted; prints the base URL once it listens."""
    parser = argparse.ArgumentParser(description="A fake model provider.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key", help="the only API key to accept")
    parser.add_argument("--stall-between-s", type=float, default=0.0, help="pause between events")
    options = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with FakeUpstream(port=options.port, expected_key=options.key) as upstream:
        if options.stall_between_s:
            upstream.answers(stall_between_s=options.stall_between_s)
        sys.stdout.write(f"{upstream.url}\n")
        sys.stdout.flush()
        stop.wait()
