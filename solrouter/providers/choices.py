"""Several choices from an upstream that makes one at a time: as many calls, read as one answer.

Each call is made by a thread of its own and asks for one choice; whoever iterates gets their chunks
as they come, each under its index. Knows no dialect and no HTTP: an adapter gives the way to open
one call. Plain threads and locks, so that a server that patches them gets greenlets.

| what                                       | becomes                                            |
|--------------------------------------------|----------------------------------------------------|
| usage                                      | each call's own as it tells it, then the sum of all |
| a fault before the call's first content    | the call is made again, REPLACEMENTS_MAX times;    |
|                                            | who was replaced, and what it cost, is remembered  |
| … that another try cannot mend, or after   | the fault of the whole answer: all others end      |
| the reader is slow                         | calls wait once CHUNKS_WAITING_MAX chunks wait     |
| the reader leaves, or is called away       | all calls are closed at once                       |
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from solrouter.chat import SILENCE, Chunk, Usage
from solrouter.clock import monotonic_s
from solrouter.providers.base import Replaced, Upstream, UpstreamCall
from solrouter.providers.capabilities import RULES, flags_for
from solrouter.providers.errors import (
    ProviderError,
    UpstreamBroken,
    UpstreamDenied,
    UpstreamRefused,
)
from solrouter.providers.failures import writing
from solrouter.providers.payloads import completion_payload, usage_chunk_payload
from solrouter.transport.pool import leave_thread

CHOICES_MAX = 8
# How often a call that failed before it said anything is made again.
REPLACEMENTS_MAX = 1
CHUNKS_WAITING_MAX = 64
# Dialects without a word for several choices, whoever speaks them.
_ONE_AT_A_TIME = frozenset({"anthropic"})

Opener = Callable[[UpstreamCall], Upstream]


def calls_needed(
    kind: str, capabilities: Mapping[str, Any], choices: int, upstream_model: str | None = None
) -> int:
    """How many upstream calls so many choices take, each of which is billed its prompt.

    Without a model's name it is the most that any model of the provider takes.
    """
    if choices <= 1:
        return 1
    if kind in _ONE_AT_A_TIME:
        return choices
    if upstream_model is None:
        rules = capabilities.get(RULES) or ()
        most = [flags.get("max_choices") for flags in (capabilities, *rules)]
    else:
        most = [flags_for(capabilities, upstream_model).get("max_choices")]
    return choices if any(m is not None and choices > m for m in most) else 1


def open_as(kind: str, open_one: Opener, call: UpstreamCall) -> Upstream:
    """Opens a call the way that its number of choices takes. Raises what `open_one` raises."""
    choices = call.request.body.get("n") or 1
    calls = calls_needed(kind, call.capabilities, choices, call.upstream_model)
    return open_one(call) if calls == 1 else open_choices(open_one, call, calls)


def open_choices(open_one: Opener, call: UpstreamCall, calls: int) -> Upstream:
    """A running answer of so many choices; the calls are made once it is iterated.

    Raises UpstreamRefused for more than CHOICES_MAX.
    """
    if calls > CHOICES_MAX:
        raise UpstreamRefused(
            f"n: at most {CHOICES_MAX} choices can be asked of {call.provider}.",
            param="n",
            code="unsupported_parameter",
        )
    return MergedUpstream(open_one, call, calls)


class MergedUpstream:
    """Several running answers as one: see `base.Upstream`."""

    def __init__(self, open_one: Opener, call: UpstreamCall, calls: int) -> None:
        self._call = call
        body = {name: value for name, value in call.request.body.items() if name != "n"}
        request = replace(call.request, body=body, choices=1)
        one = replace(call, request=request, quiet_s=None, allows_runs=False)
        self._lines = _Lines(calls)
        self._usages: dict[int, Usage] = {}
        self._makers = [_Maker(open_one, one, i, self._lines) for i in range(calls)]

    @property
    def upstream_id(self) -> str | None:
        """The provider's own id of the first answer that has one."""
        return next((m.upstream_id for m in self._makers if m.upstream_id), None)

    @property
    def replaced(self) -> Sequence[Replaced]:
        """The calls that were made again, by their index."""
        return [one for maker in self._makers for one in maker.replaced]

    @property
    def told(self) -> Usage | None:
        """What the calls have used that have told, whether or not all have."""
        unsaid = {i: m.unsaid for i, m in enumerate(self._makers) if m.unsaid is not None}
        told = {**unsaid, **self._usages}
        return Usage.total(told.values()) if told else None

    def __iter__(self) -> Iterator[Chunk]:
        try:
            for maker in self._makers:
                maker.start()
            yield from self._streamed() if self._call.request.stream else self._whole()
        finally:
            self.close()

    def close(self) -> None:
        """Ends all the exchanges at once, from any greenlet."""
        self._lines.close()
        for maker in self._makers:
            maker.close()

    def _streamed(self) -> Iterator[Chunk]:
        warnings: set[str] = set()
        for index, chunk in self._arriving():
            if chunk is None:
                yield SILENCE
                continue
            if chunk.usage is None and not chunk.payload["choices"]:
                continue
            _renumber(chunk, index)
            chunk.warnings = tuple(w for w in chunk.warnings if w not in warnings)
            warnings.update(chunk.warnings)
            yield chunk
        if (usage := self._whole_usage()) is not None:
            yield Chunk(usage_chunk_payload(), usage=usage)

    def _whole(self) -> Iterator[Chunk]:
        found: dict[int, Chunk] = {}
        for index, chunk in self._arriving():
            if chunk is None:
                yield SILENCE
                continue
            _renumber(chunk, index)
            found[index] = chunk
        for index, chunk in found.items():
            # First what each call has told, which counts if another tells nothing.
            if chunk.usage is not None:
                yield Chunk(usage_chunk_payload(), usage=chunk.usage, call=index)
        chunks = [found[index] for index in sorted(found)]
        choices = [choice for chunk in chunks for choice in chunk.payload["choices"]]
        yield Chunk(
            {**chunks[0].payload, **completion_payload(choices)},
            has_content=any(chunk.has_content for chunk in chunks),
            finish=True,
            usage=self._whole_usage(),
            output_bytes=sum(chunk.output_bytes for chunk in chunks),
            warnings=tuple(dict.fromkeys(chain(*(chunk.warnings for chunk in chunks)))),
        )

    def _arriving(self) -> Iterator[tuple[int, Chunk | None]]:
        """Each call's chunks with its place; None where it is time to say SILENCE."""
        quiet_s, spoke_s = self._call.quiet_s, monotonic_s()
        while True:
            left_s = None if quiet_s is None else max(spoke_s + quiet_s - monotonic_s(), 0.0)
            item = self._lines.take(left_s)
            if item is None:
                return
            index, chunk = item
            if chunk is not None and chunk.usage is not None:
                self._usages[index] = chunk.usage
            yield item
            spoke_s = monotonic_s()

    def _whole_usage(self) -> Usage | None:
        """All of it; None if one call has not told, for a part is not the whole."""
        return self.told if len(self._usages) == len(self._makers) else None


class _Lines:
    """What the calls have brought and nobody has taken yet; bounded, and one for them all."""

    def __init__(self, calls: int) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[tuple[int, Chunk]] = deque()
        self._running = calls
        self._fault: Exception | None = None
        self.is_closed = False

    def put(self, index: int, chunk: Chunk) -> bool:
        """Hands a chunk over once there is room; False when nobody wants it any more."""
        with self._changed:
            while len(self._waiting) >= CHUNKS_WAITING_MAX and self._is_wanted():
                self._changed.wait()
            if not self._is_wanted():
                return False
            self._waiting.append((index, chunk))
            self._changed.notify_all()
            return True

    def end(self, fault: Exception | None) -> None:
        """Says that one call is over; the first fault is everybody's."""
        with self._changed:
            self._running -= 1
            self._fault = self._fault or fault
            self._changed.notify_all()

    def take(self, patience_s: float | None) -> tuple[int, Chunk | None] | None:
        """The next chunk, one that is None if none came in time, None when all are over.

        Raises the fault of the whole, after what came before it.
        """
        until_s = None if patience_s is None else monotonic_s() + patience_s
        with self._changed:
            while True:
                if self._waiting:
                    self._changed.notify_all()
                    return self._waiting.popleft()
                if self._fault is not None:
                    raise self._fault
                if self.is_closed:
                    raise UpstreamBroken("The answer was closed on our side.")
                if self._running == 0:
                    return None
                left_s = None if until_s is None else until_s - monotonic_s()
                if left_s is not None and left_s <= 0:
                    return -1, None
                self._changed.wait(left_s)

    def close(self) -> None:
        """Wakes everybody: nothing more is wanted."""
        with self._changed:
            self.is_closed = True
            self._waiting.clear()
            self._changed.notify_all()

    def _is_wanted(self) -> bool:
        return not self.is_closed and self._fault is None


class _Maker:
    """Makes one of the calls, again if it fails before it has said anything."""

    def __init__(self, open_one: Opener, call: UpstreamCall, index: int, lines: _Lines) -> None:
        self._open_one = open_one
        self._call = call
        self._index = index
        self._lines = lines
        self._upstream: Upstream | None = None
        self._has_content = False
        self.replaced: list[Replaced] = []
        # The latest usage that the call told, for when nothing of it is handed on.
        self.unsaid: Usage | None = None

    @property
    def upstream_id(self) -> str | None:
        """The provider's own id of this answer, once known."""
        return None if self._upstream is None else self._upstream.upstream_id

    def start(self) -> None:
        """Begins, in a thread of its own."""
        name = f"choice-{self._index}"
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def close(self) -> None:
        """Lets go of the upstream."""
        if self._upstream is not None:
            self._upstream.close()

    def _run(self) -> None:
        fault: Exception | None = None
        try:
            self._make()
        except Exception as error:
            fault = error
        finally:
            leave_thread()
        self._lines.end(fault)

    def _make(self) -> None:
        began_s, total_s = monotonic_s(), self._call.deadlines.total_s
        replacements_left = REPLACEMENTS_MAX
        while True:
            asked_s, self.unsaid = monotonic_s(), None
            left_s = total_s - (asked_s - began_s)
            deadlines = replace(self._call.deadlines, total_s=max(left_s, 0.001))
            try:
                return self._relay(replace(self._call, deadlines=deadlines))
            except (UpstreamRefused, UpstreamDenied):
                raise
            except ProviderError as error:
                if self._has_content or not replacements_left or self._lines.is_closed:
                    raise
                took_ms = int((monotonic_s() - asked_s) * 1000)
                self.replaced.append(Replaced(error, self.unsaid, took_ms))
            replacements_left -= 1

    def _relay(self, call: UpstreamCall) -> None:
        if self._lines.is_closed:
            return
        with writing(call.provider):
            upstream = self._upstream = self._open_one(call)
        try:
            # It may have been closed while it was opened, when nobody could reach it.
            if not self._lines.is_closed:
                self._read(upstream)
        finally:
            upstream.close()

    def _read(self, upstream: Upstream) -> None:
        held: list[Chunk] = []
        for chunk in upstream:
            held.append(chunk)
            self.unsaid = chunk.usage or self.unsaid
            self._has_content = self._has_content or chunk.has_content or chunk.finish
            # A call that is made again must not say its preamble twice.
            if self._has_content:
                if not all(self._lines.put(self._index, one) for one in held):
                    return
                held.clear()


def _renumber(chunk: Chunk, index: int) -> None:
    chunk.call = index
    for choice in chunk.payload["choices"]:
        choice["index"] = index
