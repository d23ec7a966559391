"""An answer under way: waited for, relayed as it comes, metered, and ended honestly."""

import contextvars
import logging
import secrets
from collections.abc import Generator, Iterable, Iterator
from typing import Any

import orjson

from solrouter import sse, tokens
from solrouter.assembly import Assembly
from solrouter.chat import CHAT_COMPLETION, CHAT_COMPLETION_CHUNK, SILENCE, ChatRequest, Chunk
from solrouter.clock import monotonic_s
from solrouter.errors import NoProviderAvailable, ShuttingDown, SolRouterError
from solrouter.interruptions import Interruption, ServerStopping, Wait
from solrouter.providers.errors import ProviderError, UpstreamBroken, UpstreamTimedOut
from solrouter.services import activity, contents
from solrouter.services.admission import FINISHED, STOPPED, Admitted
from solrouter.services.completions.books import Books
from solrouter.services.completions.opening import Opening, Running
from solrouter.services.completions.planning import Plan
from solrouter.services.completions.tally import Tally
from solrouter.services.limits import RateState

log = logging.getLogger(__name__)

FAULT = "The provider failed in the middle of its answer: "
OUR_FAULT = "Something went wrong on our side. This request costs nothing: please send it again."
STOPPING = "This server is restarting and could not finish the answer. Please try again."
Payload = dict[str, Any]
# Stands for the text while an event's other bytes are written.
TEXT = f"text-{secrets.token_hex(8)}"


class _OutOfMoney(Exception):
    """The hold could not grow: the answer ends here, as if it had reached its limit."""


class Completion:
    """An answer under way: `begin` it, read `answer()` or `chunks()`, then `close()`.

    It is settled exactly once, by whatever ends it; `close` before the end means that the client
    has left. Until there is something to say, and whenever there is nothing for `quiet_s`, reading
    brings None: time to show the caller that the line is alive.
    """

    def __init__(
        self,
        plan: Plan,
        request: ChatRequest,
        admitted: Admitted,
        wait: Wait,
        tally: Tally,
        *,
        quiet_s: float | None,
    ) -> None:
        self.id = activity.public_id(admitted.id)
        self.created = int(admitted.ask.at.timestamp())
        self.output_limit = admitted.output_limit
        self.is_lowered = admitted.output_limit < admitted.ask.output_limit
        self.rates: tuple[RateState, ...] = admitted.rates
        self._plan = plan
        self._request = request
        self._wait = wait
        self._tally = tally
        self._quiet_s = quiet_s
        self._spoke_s = monotonic_s()
        principal = admitted.ask.principal
        self._keeping = contents.keeping(principal.account_id, principal.content_days, request)
        self._opening = Opening(plan, request, admitted, wait, tally, quiet_s=quiet_s)
        self._books = Books(request, self._opening, tally, self._keeping)
        # An answer outlives the request that made it, and still needs the app's database.
        self._context = contextvars.copy_context()
        self._silences = self._until_content()
        self._ahead: list[Chunk] = []
        self._stopped_by: str | None = None
        self._last: Chunk | None = None
        self._frame: tuple[bytes, bytes] | None = None

    @property
    def model(self) -> str:
        """The id of the model that answers, as far as is known."""
        return self._opening.candidate.model.id

    @property
    def elapsed_s(self) -> float:
        """Seconds since the request came."""
        return self._tally.elapsed_ms() / 1000

    def route(self) -> str:
        """One line for people: who was tried, who serves and why, who was passed over."""
        tried = [f"{a['provider']}={a['error'] or 'ok'}" for a in self._opening.attempts]
        return f"{self._plan.explain()}; tried: {', '.join(tried) or 'nobody yet'}"

    def begin(self) -> None:
        """Waits for the first content, or for the first silence.

        Raises SolRouterError for whatever happens before; then nothing was charged. Raises
        ClientLeft, with what was made until then charged.
        """
        chunk = self._next()
        if chunk is not None:
            self._ahead.append(chunk)

    def answer(self) -> Generator[Payload | None, None, None]:
        """The whole `chat.completion`, settled; before it None for each silence.

        Raises NoProviderAvailable when the upstream fails on the way, ShuttingDown and ClientLeft.
        """
        assembly = Assembly()
        payload: Payload | None = None
        try:
            payload = yield from self._collected(assembly)
        except ProviderError as error:
            if not self._is_out_of_time(error):
                raise self._failed(error) from error
            payload = self._cut_short(assembly, "total_deadline")
        except _OutOfMoney:
            payload = self._cut_short(assembly, self._books.why_no_more())
        except ServerStopping as stopping:
            raise self._stopping() from stopping
        except SolRouterError:
            raise
        except Exception as error:
            raise self._our_fault() from error
        body = payload or assembly.payload()
        self._finish(lambda: [self._body(body)])
        yield self._body(body)

    def _collected(self, assembly: Assembly) -> Generator[None, None, Payload | None]:
        """Reads an answer to its end; returns it if it came in one piece, else assembles it."""
        payload = None
        for chunk in self._metered():
            if chunk is SILENCE:
                pass
            elif chunk.payload["object"] == CHAT_COMPLETION:
                payload = chunk.payload
            else:
                self._gather(assembly, chunk.payload)
            if chunk is SILENCE or self._is_quiet():
                self._spoke_s = monotonic_s()
                yield None
        return payload

    def _gather(self, assembly: Assembly, payload: Payload) -> None:
        """Adds a chunk to the whole. Raises UpstreamBroken for what no answer is made of."""
        try:
            assembly.take(payload)
        except Exception as error:
            kind = self._opening.candidate.offer.kind
            self._context.run(log.exception, "an answer by %s could not be put together", kind)
            raise UpstreamBroken("The provider's answer could not be read.") from error

    def chunks(self) -> Iterator[Payload | bytes | None]:
        """`chat.completion.chunk` objects in order, the last of them once settled; None: silence.

        Those that differ in their text alone come together, as the bytes of their events. Raises
        SolRouterError where an honest answer ends with an error; `error_chunk` then writes it as
        the caller expects it.
        """
        waiting: list[Payload] = []
        try:
            yield from self._relayed(waiting)
        except ProviderError as error:
            yield from waiting
            if not self._is_out_of_time(error):
                raise self._failed(error) from error
            waiting = [self._stopped_chunk("total_deadline")]
        except _OutOfMoney:
            yield from waiting
            waiting = [self._stopped_chunk(self._books.why_no_more())]
        except ServerStopping as stopping:
            yield from waiting
            raise self._stopping() from stopping
        except Interruption:
            self.close()
            return
        except SolRouterError:
            raise
        except Exception as error:
            raise self._our_fault() from error
        self._finish(lambda: self._last_chunks(waiting))
        yield from self._last_chunks(waiting)

    def error_chunk(self, error: Payload) -> Payload:
        """The last chunk of a stream that ends with an error, given the error's object."""
        usage = self._books.usage or {}
        charged = usage.get("cost_details", {}).get("charge", "0")
        error = {**error, "metadata": {**error.get("metadata", {}), "charged": charged}}
        return {**self._end_chunk("error"), "error": error}

    def close(self) -> None:
        """Lets go of the upstream, and settles if nothing has yet."""
        if self._must_be_read_on():
            self._read_on()
        self._opening.close()
        if not self._books.is_settled:
            if self._wait.is_stopping:
                # It is we who leave, from a caller who did not take what was there.
                self._books.fail(ShuttingDown.code)
            else:
                self._books.cancel()
        # Not left to the garbage collector, which would come at any time and without a context.
        self._context.run(self._silences.close)

    def _next(self) -> Chunk | None:
        """What comes next: silences until the first content, then chunks, silences among them.

        Of all of it only the opening needs the app: what comes after is read and no more.
        """
        running = self._opening.running
        if running is None:
            silence: Chunk | None = self._context.run(next, self._silences, None)
            if silence is not None:
                return silence
            running = self._opening.running
            assert running is not None, "the opening ends with content or raises"
        return self._pulled(running)

    def _until_content(self) -> Generator[Chunk, None, None]:
        try:
            yield from self._opening.silences()
        except SolRouterError as error:
            self._books.fail(error.code)
            error.generation_id, error.route = self.id, self.route()
            raise
        except ServerStopping as stopping:
            raise self._stopping() from stopping
        except Interruption:
            self._books.cancel()
            raise
        except Exception as error:
            raise self._our_fault() from error

    def _pulled(self, running: Running) -> Chunk | None:
        try:
            return self._opening.pull(running)
        except ProviderError:
            raise
        except Exception as error:
            kind = self._opening.candidate.offer.kind
            self._context.run(log.exception, "the adapter %s failed", kind)
            raise UpstreamBroken("The provider's answer could not be read.") from error

    def _metered(self) -> Iterator[Chunk]:
        """What arrives, counted, with the hold kept ahead of it. Raises _OutOfMoney."""
        tally, wait, keeping = self._tally, self._wait, self._keeping
        while (chunk := self._ahead.pop() if self._ahead else self._next()) is not None:
            for piece in self._payable(chunk):
                if piece is not SILENCE:
                    tally.note(piece)
                    if keeping is not None:
                        keeping.take(piece)
                # Where the answer is read on in any case, nobody has called us away.
                if wait.reason is not None and (wait.has_left or not piece.finish):
                    raise wait.reason
                yield piece

    def _payable(self, chunk: Chunk) -> Iterable[Chunk]:
        """The chunk, or as much of a run as can be paid, and then _OutOfMoney.

        What cannot be paid is neither delivered nor charged; an answer that ends is delivered.
        """
        if chunk is SILENCE or chunk.finish or self._is_payable(chunk):
            return (chunk,)
        return self._payable_pieces(chunk)

    def _payable_pieces(self, chunk: Chunk) -> Iterator[Chunk]:
        for literal in chunk.literals or (None,):
            piece = chunk
            if literal is not None:
                size = len(literal) - 2
                piece = Chunk({}, has_content=True, output_bytes=size, literals=[literal])
            if not self._is_payable(piece):
                self._opening.close()
                raise _OutOfMoney
            yield piece

    def _is_payable(self, chunk: Chunk) -> bool:
        if self._opening.admitted.is_whole:
            return True
        said = tokens.estimate(self._tally.output_bytes + chunk.output_bytes)
        return self._books.cover(-(-said // self._request.choices))

    def _relayed(self, waiting: list[Payload]) -> Iterator[Payload | bytes | None]:
        """Chunks as they come. The finish chunk stays in `waiting`, since usage may follow it."""
        for chunk in self._metered():
            if chunk.literals is not None:
                if waiting:
                    yield from self._saying(waiting)
                    waiting.clear()
                yield self._events(chunk.literals)
            elif chunk is SILENCE:
                yield None
            elif not chunk.payload.get("choices") or (waiting and not _says_more(chunk)):
                continue
            elif chunk.finish:
                waiting.append(self._stamped(chunk.payload))
            else:
                yield from self._saying([*waiting, self._stamped(chunk.payload)])
                waiting.clear()
                self._last, self._frame = chunk, None

    def _events(self, literals: list[bytes]) -> bytes:
        """The events of a run: the last chunk again, with one text after another."""
        if self._frame is None:
            self._frame = self._framed()
        before, after = self._frame
        return before + (after + before).join(literals) + after

    def _framed(self) -> tuple[bytes, bytes]:
        """The bytes before and after the text of an event like the last one."""
        last, self._last = self._last, None
        assert last is not None and last.text_field is not None
        body = self._stamped(last.payload)
        choice = body["choices"][0]
        delta = {**choice["delta"], last.text_field: TEXT}
        body["choices"] = [{**choice, "delta": delta}]
        before, _, after = sse.data_event(orjson.dumps(body)).partition(orjson.dumps(TEXT))
        return before, after

    def _saying(self, payloads: list[Payload]) -> list[Payload]:
        """Remembers what is sent, where a repetition may ask for it."""
        if self._books.admitted.ask.repeat is not None:
            self._books.said.extend(payloads)
        return payloads

    def _must_be_read_on(self) -> bool:
        """Whether leaving now would cost us the whole answer, once too often today."""
        is_patient = self._opening.patience is not self._wait
        return is_patient and not self._books.is_settled and not self._wait.is_stopping

    def _read_on(self) -> None:
        """Reads the answer of a client who left to its end, for the usage that we are billed by."""
        try:
            while (chunk := self._next()) is not None:
                if chunk is not SILENCE:
                    self._tally.note(chunk)
        except (ProviderError, SolRouterError, Interruption):
            log.info("request %s broke off after its client had left", self.id)

    def _finish(self, tail: Any) -> None:
        outcome, reason = FINISHED, self._tally.finish_reason or "stop"
        if self._stopped_by is not None:
            outcome, reason = STOPPED, self._stopped_by
        self._books.finish(outcome, reason, tail)

    def _failed(self, error: ProviderError) -> NoProviderAvailable:
        """Settles a fault after the first content; returns what to raise."""
        offer = self._opening.candidate.offer
        self._opening.close()
        self._context.run(self._opening.note_fault, error)
        self._books.fail(error.code)
        metadata = {"provider": offer.provider_slug, "attempts": self._opening.attempts}
        return NoProviderAvailable(FAULT + error.message, code=error.code, metadata=metadata)

    def _stopping(self) -> ShuttingDown:
        """Settles the end of our own process; returns what to raise."""
        self._opening.close()
        self._books.fail(ShuttingDown.code)
        return ShuttingDown(STOPPING)

    def _our_fault(self) -> SolRouterError:
        """Settles a bug of ours; returns what to raise."""
        log.exception("request %s met a fault of ours", self.id)
        self._opening.close()
        self._books.fail(SolRouterError.code)
        return SolRouterError(OUR_FAULT)

    def _stop(self, reason: str) -> None:
        """Ends it by a limit of ours: what was served is charged."""
        self._opening.close()
        self._tally.finish_reason = "length"
        self._stopped_by = reason

    def _is_out_of_time(self, error: ProviderError) -> bool:
        """Whether our own total deadline cut an answer that had begun."""
        has_begun = self._opening.running is not None
        return has_begun and isinstance(error, UpstreamTimedOut) and error.phase == "total"

    def _stopped_chunk(self, reason: str) -> Payload:
        self._stop(reason)
        return self._end_chunk("length")

    def _cut_short(self, assembly: Assembly, reason: str) -> Payload:
        self._stop(reason)
        payload = assembly.payload()
        for choice in payload["choices"]:
            choice["finish_reason"] = choice["finish_reason"] or "length"
        return payload

    def _end_chunk(self, finish_reason: str) -> Payload:
        choice = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": finish_reason}
        return {**self._stamp(CHAT_COMPLETION_CHUNK), "choices": [choice]}

    def _last_chunks(self, waiting: list[Payload]) -> Iterator[Payload]:
        if not waiting:
            return
        last = self._told(waiting[-1])
        yield from waiting[:-1]
        if not self._request.include_usage:
            yield {**last, "usage": self._books.usage}
            return
        yield last
        yield {**self._stamp(CHAT_COMPLETION_CHUNK), "choices": [], "usage": self._books.usage}

    def _body(self, payload: Payload) -> Payload:
        usage = {"usage": self._books.usage}
        return self._told({**self._stamp(CHAT_COMPLETION), **_own(payload), **usage})

    def _stamp(self, kind: str) -> Payload:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def _stamped(self, payload: Payload) -> Payload:
        body = {**self._stamp(CHAT_COMPLETION_CHUNK), **_own(payload)}
        if self._request.include_usage:
            body["usage"] = None
        return body

    def _told(self, body: Payload) -> Payload:
        told = (*self._opening.candidate.warnings, *self._tally.warnings)
        warnings = list(dict.fromkeys(told))
        return {**body, "warnings": warnings} if warnings else body

    def _is_quiet(self) -> bool:
        return self._quiet_s is not None and monotonic_s() - self._spoke_s >= self._quiet_s


def _says_more(chunk: Chunk) -> bool:
    """Whether a chunk that comes after a finish reason is more than an empty echo of it."""
    return chunk.has_content or chunk.finish


def _own(payload: Payload) -> Payload:
    """The payload less what the conductor writes itself."""
    return {k: v for k, v in payload.items() if k not in ("id", "object", "created", "model")}
