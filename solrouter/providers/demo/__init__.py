"""The provider inside the process: deterministic, without key or network, so that all else works.

It streams word by word, counts, calls tools, writes JSON, thinks, and fails on request. A token is
four UTF-8 bytes, rounded up, and every text has at least one; the prompt's text is its messages'
text and its tools. The last user message may hold one of these orders:

| order                    | what happens                                                        |
|--------------------------|---------------------------------------------------------------------|
| `[[fail:429]]`           | a rate limit, with a second to wait                                 |
| `[[fail:500]]`           | an error before the answer                                          |
| `[[fail:timeout]]`       | a time-out before the first token, at once                          |
| `[[fail:cut]]`           | the answer breaks off after some words                              |
| `[[fail:empty]]`         | the answer ends without a word or a finish reason                   |
| `[[slow:SECONDS]]`       | so long a silence before the first token                            |
"""

from collections.abc import Iterator
from time import sleep
from typing import Any

from solrouter.chat import SILENCE, Chunk
from solrouter.clock import monotonic_s
from solrouter.providers.base import Upstream, UpstreamCall
from solrouter.providers.demo.answer import Answer, answers, usage
from solrouter.providers.demo.orders import Orders
from solrouter.providers.demo.request import written_request
from solrouter.providers.errors import UpstreamBroken, UpstreamTimedOut
from solrouter.providers.payloads import (
    completion_payload,
    delta_chunk,
    finish_chunk,
    generated_bytes,
    has_content,
    usage_chunk_payload,
    whole_choice,
)

# A pace that shows streaming to the eye and costs a test little.
WORD_DELAY_S = 0.005
# How soon a sleeper notices that it was closed or is late.
NAP_S = 0.05
CUT_AFTER_PIECES = 3


class Demo:
    """Answers from inside the process."""

    def __init__(self, *, word_delay_s: float = WORD_DELAY_S) -> None:
        self._word_delay_s = word_delay_s

    def open(self, call: UpstreamCall) -> Upstream:
        """Returns the running answer, or raises the failure that the prompt orders."""
        _, warnings = written_request(call)
        orders = Orders.of(call.request)
        orders.fail_at_once()
        return DemoUpstream(call, orders, warnings, word_delay_s=self._word_delay_s)


class DemoUpstream:
    """A running answer: see `base.Upstream`."""

    replaced = ()
    told = None

    def __init__(
        self,
        call: UpstreamCall,
        orders: Orders,
        warnings: tuple[str, ...],
        *,
        word_delay_s: float,
    ) -> None:
        self._call = call
        self._orders = orders
        self._warnings = warnings
        self._word_delay_s = word_delay_s
        self._answers = answers(call.request, call.output_limit)
        self._opened_s = monotonic_s()
        self._is_closed = False

    @property
    def upstream_id(self) -> str | None:
        """Deterministic, as all else here."""
        return f"demo-{self._answers[0].seed}"

    def __iter__(self) -> Iterator[Chunk]:
        yield from self._silence()
        self._orders.fail_when_read()
        if self._call.request.stream:
            yield from self._streamed()
        else:
            yield self._whole()

    def close(self) -> None:
        """Ends the answer: its reader gets UpstreamBroken at the next word."""
        self._is_closed = True

    def _silence(self) -> Iterator[Chunk]:
        left_s, quiet_s = self._orders.silence_s, self._call.quiet_s
        while quiet_s is not None and left_s > quiet_s:
            self._wait(quiet_s, first_token=True)
            left_s -= quiet_s
            yield SILENCE
        self._wait(left_s, first_token=True)

    def _streamed(self) -> Iterator[Chunk]:
        for index, answer in enumerate(self._answers):
            yield delta_chunk({"role": "assistant", "content": ""}, index=index)
            for position, delta in enumerate(answer.deltas()):
                if self._orders.cuts and position >= CUT_AFTER_PIECES:
                    raise UpstreamBroken("The demo provider broke off, as ordered.")
                self._wait(self._word_delay_s)
                yield delta_chunk(delta, index=index)
            if self._orders.cuts:
                raise UpstreamBroken("The demo provider broke off, as ordered.")
            yield finish_chunk(answer.finish_reason, index=index, warnings=self._warnings)
        yield Chunk(usage_chunk_payload(), usage=usage(self._call.request, self._answers))

    def _whole(self) -> Chunk:
        if self._orders.cuts:
            raise UpstreamBroken("The demo provider broke off, as ordered.")
        self._wait(self._word_delay_s)
        choices = [self._choice(index, answer) for index, answer in enumerate(self._answers)]
        messages = [choice["message"] for choice in choices]
        return Chunk(
            completion_payload(choices),
            has_content=any(has_content(message) for message in messages),
            finish=True,
            usage=usage(self._call.request, self._answers),
            output_bytes=sum(generated_bytes(message) for message in messages),
            warnings=self._warnings,
        )

    @staticmethod
    def _choice(index: int, answer: Answer) -> dict[str, Any]:
        return whole_choice(answer.message(), answer.finish_reason, index=index)

    def _wait(self, seconds: float, *, first_token: bool = False) -> None:
        """Sleeps in naps, so that a close or a deadline ends it. Raises ProviderError."""
        deadlines = self._call.deadlines
        until_s = monotonic_s() + seconds
        while True:
            if self._is_closed:
                raise UpstreamBroken("The answer was closed on our side.")
            waited_s = monotonic_s() - self._opened_s
            if waited_s > deadlines.total_s:
                raise UpstreamTimedOut("The demo provider timed out (total).", phase="total")
            if first_token and self._call.request.stream and waited_s > deadlines.first_token_s:
                raise UpstreamTimedOut(
                    "The demo provider timed out (first_token).", phase="first_token"
                )
            left_s = until_s - monotonic_s()
            if left_s <= 0:
                return
            sleep(min(left_s, NAP_S))
