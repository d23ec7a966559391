"""What is asked during a soak, how each must be answered, and who asks it, hour after hour."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bench.faults.client import Answer, Caller
from bench.faults.place import Place, Terms
from bench.soak import gauges
from solrouter import create_app, database
from tests.factories import make_offer

SEED = 20_260_201
PIECE = " the"
PIECES = 40
PACE = {"pieces": [PIECE] * PIECES, "stall_between_s": 0.02, "counting": "content"}
BOOM = {"message": "boom"}
SPARE = "spare"
# Longer than any silence.
ANSWER_S = 900.0
# Between two requests of one caller.
PAUSE_S = 0.15
# What was sent before the provider forgets has certainly come by then.
ON_ITS_WAY_S = 1.0
FORGETS_EVERY_S = 60.0
PAGES = ("/v1/models", "/v1/credits", "/v1/key")

Judge = Callable[[Answer], bool]


def is_fine(answer: Answer) -> bool:
    """Whole, and every word of it."""
    return answer.outcome == "200" and answer.is_whole and _words(answer) == PIECES


def is_whole_stream(answer: Answer) -> bool:
    """A stream with every word, and its end."""
    return answer.outcome == "200" and answer.is_done and _words(answer) == PIECES


def is_told(answer: Answer) -> bool:
    """A failure that the caller was told of."""
    return bool(answer.error) and (answer.status != 200 or answer.is_done)


def has_left(answer: Answer) -> bool:
    """The caller was served until it left."""
    return answer.left_s is not None and answer.status == 200 and not answer.fault


def _words(answer: Answer) -> int:
    return answer.data.count(PIECE.encode())


def _wants_no_more(answer: Answer) -> bool:
    return _words(answer) >= PIECES // 4


@dataclass(frozen=True)
class Kind:
    """One thing to ask, `weight` times as often as the others."""

    name: str
    judge: Judge
    script: Mapping[str, Any]
    stream: bool = True
    weight: int = 1
    has_spare: bool = False
    leaves: bool = False

    @property
    def terms(self) -> Terms:
        """Its model."""
        return Terms(self.name, self.script)

    async def ask(self, caller: Caller) -> Answer:
        """Asks once."""
        return await caller.chat(
            self.terms.model,
            stream=self.stream,
            max_tokens=500,
            leave_when=_wants_no_more if self.leaves else None,
            # Longer than the client waits by itself.
            leave_after_s=ANSWER_S,
        )


AFTER = {"counting": "content", "pieces": [PIECE] * PIECES}
KINDS = (
    Kind("stream", is_whole_stream, PACE, weight=8),
    Kind("swift", is_whole_stream, {"pieces": [PIECE] * PIECES}, weight=4),
    Kind("whole", is_fine, {"pieces": [PIECE] * PIECES}, stream=False, weight=6),
    Kind("leaves", has_left, PACE, weight=4, leaves=True),
    Kind("falls-back", is_whole_stream, {"status": 500}, weight=2, has_spare=True),
    Kind("falls-back-cut", is_whole_stream, {"cut_before_status": True}, has_spare=True),
    Kind("falls-back-garbage", is_fine, {"garbage": True}, stream=False, has_spare=True),
    Kind("refused", is_told, {"status": 400}),
    Kind("down", is_told, {"status": 503}, stream=False),
    Kind("cut", is_told, {**AFTER, "cut_after_events": 9}),
    Kind("garbage", is_told, {**AFTER, "garbage": True, "garbage_after": 9}),
    Kind("gives-up", is_told, {**AFTER, "error_event": [9, BOOM]}),
    Kind("no-finish", is_told, {**AFTER, "no_finish": True}),
)


def silences(*lengths_s: float) -> tuple[Kind, ...]:
    """Models that say nothing for so long, before the answer or in its middle."""
    found: list[Kind] = []
    for seconds in lengths_s:
        before = {"pieces": [PIECE] * PIECES, "stall_before_s": seconds}
        middle = {**AFTER, "stall_after": [5, seconds]}
        found += (
            Kind(f"silent-{seconds:.0f}", is_whole_stream, before),
            Kind(f"silent-middle-{seconds:.0f}", is_whole_stream, middle),
            Kind(f"silent-whole-{seconds:.0f}", is_after_spaces, before, stream=False),
        )
    return tuple(found)


def is_after_spaces(answer: Answer) -> bool:
    """Whole in one piece, with spaces before it."""
    return is_fine(answer) and answer.data.startswith(b" ")


def add_spares(place: Place) -> None:
    """Gives the models whose provider fails another one."""
    app = create_app(place.settings)
    for kind in KINDS:
        if kind.has_spare:
            url = place.upstream.url(SPARE)
            make_offer(app, url, model=kind.terms.model, provider=SPARE)
    with app.app_context():
        database.current().close()


@dataclass
class Load:
    """All that is asked. `wrong` are the answers that were not as they must be."""

    place: Place
    proxy_port: int
    silent: tuple[Kind, ...]
    asked: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    chat_ids: Counter[str] = field(default_factory=Counter)
    _chance: random.Random = field(default_factory=lambda: random.Random(SEED))

    async def run(self, seconds: float, at_once: int, *, is_silent: bool = True) -> None:
        """Asks for so long, and then waits for what is still being answered."""
        until_s = time.monotonic() + seconds
        self._going = asyncio.Lock()
        workers = [self._work(until_s) for _ in range(at_once)]
        if is_silent:
            workers += [self._be_silent(kind, until_s) for kind in self.silent]
        forgetting = asyncio.create_task(self._refurnish())
        try:
            await asyncio.gather(*workers)
        finally:
            forgetting.cancel()

    async def _work(self, until_s: float) -> None:
        caller = self.place.caller()
        weights = [kind.weight for kind in KINDS]
        while time.monotonic() < until_s:
            [kind] = self._chance.choices(KINDS, weights)
            await self._ask(kind.name, kind.judge, partial(kind.ask, caller))
            if self._chance.random() < 0.1:
                page = self._chance.choice(PAGES)
                await self._ask(page, _is_answered, partial(caller.send, "GET", page))
            await asyncio.sleep(PAUSE_S)

    async def _be_silent(self, kind: Kind, until_s: float) -> None:
        """Again and again, as long as one more can end in time; once in any case."""
        caller = Caller(self.proxy_port, self.place.keys["alice@example.com"])
        while True:
            began_s = time.monotonic()
            await self._ask(kind.name, kind.judge, partial(kind.ask, caller))
            took_s = time.monotonic() - began_s
            if time.monotonic() + took_s > until_s:
                return

    async def _ask(self, name: str, judge: Judge, send: Callable[[], Awaitable[Answer]]) -> None:
        async with self._going:
            pass
        answer = await send()
        self.asked[name] += 1
        if answer.id:
            self.chat_ids[answer.id] += 1
        if not judge(answer):
            told = answer.data[-200:].decode("utf-8", "replace")
            self.wrong.append(f"{name}: {answer.outcome}, {answer.took_s:.1f} s, …{told!r}")

    async def _refurnish(self) -> None:
        """The provider remembers all it sees: now and then it is told to forget."""
        while True:
            await asyncio.sleep(FORGETS_EVERY_S)
            async with self._going:
                await asyncio.sleep(ON_ITS_WAY_S)
                await asyncio.to_thread(self.furnish, forget=True)

    def furnish(self, *, forget: bool = False) -> None:
        """Tells the provider how to answer."""
        if forget:
            gauges.forget(self.place.upstream.origin)
        for kind in (*KINDS, *self.silent):
            self.place.upstream.plays(kind.name, **kind.script)
        self.place.upstream.plays(SPARE, pieces=[PIECE] * PIECES)


def _is_answered(answer: Answer) -> bool:
    return answer.status == 200 and answer.is_whole
