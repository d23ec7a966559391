"""A client that holds hundreds of requests in flight from one process, over plain sockets.

It keeps all that came, knows whether the answer was whole, and can leave in the middle. It is
written on asyncio streams, since an HTTP library would hide how an answer ended.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

CONNECT_S = 10.0
ANSWER_S = 120.0
LINE_BYTES_MAX = 16 * 1024 * 1024
DONE = b"data: [DONE]"


@dataclass
class Answer:
    """One answer, or what came of it. Times are of the monotonic clock."""

    sent_s: float = 0.0
    ended_s: float = 0.0
    left_s: float | None = None
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    data: bytes = b""
    is_whole: bool = False
    fault: str = ""

    @property
    def took_s(self) -> float:
        """From the request's last byte to the answer's."""
        return self.ended_s - self.sent_s

    @property
    def id(self) -> str:
        """The completion's id in hexadecimal, empty when none was told."""
        return self.headers.get("x-generation-id", "").removeprefix("chatcmpl-")

    @cached_property
    def bodies(self) -> list[dict[str, Any]]:
        """Every JSON object of it: one, or one for each event."""
        if not self.headers.get("content-type", "").startswith("text/event-stream"):
            return [json.loads(self.data)] if self.is_whole and self.data[:1] == b"{" else []
        events = self.data.split(b"\n\n") if self.is_whole else self.data.split(b"\n\n")[:-1]
        payloads = [event[6:] for event in events if event.startswith(b"data: {")]
        return [json.loads(payload) for payload in payloads]

    @property
    def is_done(self) -> bool:
        """Whether it ended as a stream of OpenAI's ends."""
        return self.is_whole and DONE in self.data

    @property
    def error(self) -> dict[str, Any]:
        """The error it told, as a body or as an event."""
        found = (body["error"] for body in self.bodies if body.get("error"))
        return next(found, {})

    @property
    def code(self) -> str:
        """The error's code."""
        return str(self.error.get("code", ""))

    @property
    def charge(self) -> str | None:
        """What it says it cost, in USD, where it says so."""
        usages = [body["usage"] for body in self.bodies if body.get("usage")]
        return usages[-1]["cost_details"]["charge"] if usages else None

    @property
    def outcome(self) -> str:
        """In a word, for tallies."""
        if self.fault:
            return self.fault
        if self.status != 200:
            return f"{self.status} {self.code}".strip()
        if self.error:
            return f"200 then {self.code}"
        return "200"


@dataclass(frozen=True)
class Caller:
    """Somebody with a key, who knows the server's port."""

    port: int
    key: str

    async def chat(
        self,
        model: str,
        *,
        stream: bool,
        text: str = "Hello!",
        max_tokens: int | None = None,
        leave_when: Callable[[Answer], bool] | None = None,
        leave_after_s: float | None = None,
    ) -> Answer:
        """Asks for one completion."""
        body: dict[str, Any] = {
            "model": model,
            "messages": [{"role": "user", "content": text}],
            "stream": stream,
        }
        if max_tokens is not None:
            body["max_tokens"] = max_tokens
        return await self.send(
            "POST",
            "/v1/chat/completions",
            body,
            leave_when=leave_when,
            leave_after_s=leave_after_s,
        )

    async def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        leave_when: Callable[[Answer], bool] | None = None,
        leave_after_s: float | None = None,
    ) -> Answer:
        """Sends one request and takes in what comes, never raising for it."""
        answer = Answer(sent_s=time.monotonic())
        try:
            # No `wait_for`: where the connection stands at the instant at which the caller's time
            # is over, Python 3.11's forgets that it is, and the caller never leaves.
            async with asyncio.timeout(CONNECT_S):
                line = await asyncio.open_connection("127.0.0.1", self.port, limit=LINE_BYTES_MAX)
            request = _written(method, path, self.key, body)
            await _exchange(answer, line, request, leave_when, leave_after_s)
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            answer.fault = "cut" if answer.status else f"no answer ({type(error).__name__})"
        answer.ended_s = time.monotonic()
        return answer


async def _exchange(
    answer: Answer,
    line: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    request: bytes,
    leave_when: Callable[[Answer], bool] | None,
    leave_after_s: float | None,
) -> None:
    """Sends the request and reads its answer, until it ends or it is time to leave."""
    reader, writer = line
    try:
        async with asyncio.timeout(ANSWER_S if leave_after_s is None else leave_after_s):
            writer.write(request)
            await writer.drain()
            answer.sent_s = time.monotonic()
            await _read_head(reader, answer)
            async for piece in _body(reader, answer.headers):
                answer.data += piece
                if leave_when is not None and leave_when(answer):
                    answer.left_s = time.monotonic()
                    return
            answer.is_whole = True
    except TimeoutError:
        answer.fault = "" if leave_after_s is not None else "no end"
        answer.left_s = time.monotonic() if leave_after_s is not None else None
    finally:
        writer.transport.abort()


async def _read_head(reader: asyncio.StreamReader, answer: Answer) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    for line in head[1:]:
        name, _, value = line.partition(":")
        if name:
            answer.headers[name.lower()] = value.strip()
    answer.status = int(head[0].split()[1])


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> Any:
    """The body's bytes as they come. Raises IncompleteReadError for one that was cut."""
    if "content-length" in headers:
        yield await reader.readexactly(int(headers["content-length"]))
        return
    while True:
        size = int(await reader.readuntil(b"\r\n"), 16)
        piece = await reader.readexactly(size + 2)
        if size == 0:
            return
        yield piece[:-2]


def _written(method: str, path: str, key: str, body: Mapping[str, Any] | None) -> bytes:
    payload = b"" if body is None else json.dumps(body).encode()
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Connection: close",
        "Content-Type: application/json",
        f"Content-Length: {len(payload)}",
    ]
    if key:
        lines.append(f"Authorization: Bearer {key}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + payload


@dataclass
class Crowd:
    """Requests by many at once, and how many were on their way at most."""

    answers: list[Answer] = field(default_factory=list)
    in_flight: int = 0
    peak: int = 0

    async def run(
        self, requests: Iterable[Callable[[], Awaitable[Answer]]], *, at_once: int
    ) -> None:
        """Sends them all, so many at once."""
        waiting = iter(requests)

        async def one_after_another() -> None:
            for request in waiting:
                self.in_flight += 1
                self.peak = max(self.peak, self.in_flight)
                self.answers.append(await request())
                self.in_flight -= 1

        await asyncio.gather(*(one_after_another() for _ in range(at_once)))

    @property
    def tally(self) -> dict[str, int]:
        """How many ended in each way."""
        return dict(sorted(Counter(answer.outcome for answer in self.answers).items()))
