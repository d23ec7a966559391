"""POST /chat/completions: parse, ask the conductor, answer in one piece or as events."""

import errno
from collections.abc import Iterator
from typing import Any

import orjson
from flask import Response

from solrouter import config, interruptions, sse
from solrouter.blueprints import request_ids
from solrouter.blueprints.answers import Answer
from solrouter.blueprints.api import (
    api,
    authenticate,
    bodies,
    errors,
    explain,
    idempotency,
    rates,
    schemas,
)
from solrouter.blueprints.contexts import request_itself
from solrouter.chat import CHAT_COMPLETION, ChatRequest
from solrouter.errors import SolRouterError
from solrouter.interruptions import ClientLeft, ClientWatch, Wait
from solrouter.services import completions
from solrouter.services.completions import Completion
from solrouter.services.principals import KeyChanged, Principal
from solrouter.services.repeats import Answered, Repeat

# Nothing between us and the caller may hold events back, or change them.
STREAM_HEADERS = (
    ("Cache-Control", "no-cache, no-transform"),
    ("X-Accel-Buffering", "no"),
)
# nginx's own status, for the log alone: nobody is there to read it.
CLIENT_CLOSED_REQUEST = 499
# JSON allows it before a value, so it says that the line is alive and changes nothing.
SPACE = b" "


@api.post("/chat/completions")
def create_chat_completion() -> Response:
    """One completion, whole or streamed."""
    data: bytes | None = None
    principal = authenticate.recalled_bearer()
    try:
        data = bodies.read()
        return _created(principal, data)
    except (SolRouterError, KeyChanged) as error:
        # What was admitted was proven. Else whether the key is still as remembered goes first.
        if principal.proof is None or getattr(error, "generation_id", None) is not None:
            raise
        fresh = authenticate.bearer()
        if data is None or (fresh.is_as(principal) and not isinstance(error, KeyChanged)):
            raise
    return _created(fresh, data)


def _created(principal: Principal, data: bytes) -> Response:
    """The answer to a body. Raises SolRouterError, and KeyChanged for a principal out of memory."""
    chat_request = parsed(data)
    return respond(principal, chat_request, idempotency.named(principal, data))


def parsed(data: bytes) -> ChatRequest:
    """The request in a body. Raises BadRequest and its like."""
    messages_max = config.current()["SOLROUTER_MESSAGES_MAX"]
    return schemas.parse_chat(bodies.json_object(data), messages_max=messages_max)


def respond(
    principal: Principal, chat_request: ChatRequest, repeat: Repeat | None = None
) -> Response:
    """The answer to a request, whole or streamed. Raises SolRouterError and KeyChanged."""
    wait = Wait()
    watch = interruptions.watch(request_itself().environ, wait)
    response: Response
    try:
        completion = completions.start(principal, chat_request, wait, repeat)
        response = _answered(completion, chat_request)
    except ClientLeft:
        response = Response(status=CLIENT_CLOSED_REQUEST)
    except Answered as answered:
        response = _replayed(answered)
    except BaseException:
        stop(watch)
        raise
    response.call_on_close(lambda: stop(watch))
    return response


def _answered(completion: Completion, chat_request: ChatRequest) -> Answer:
    return _streamed(completion) if chat_request.stream else _whole(completion)


def _streamed(completion: Completion) -> Answer:
    headers = [*_headers(completion), *STREAM_HEADERS]
    response = Answer(_events(completion), headers, mimetype="text/event-stream")
    # Not in the generator's `finally`: that never runs if the client leaves before the first
    # event.
    response.call_on_close(completion.close)
    return response


def _whole(completion: Completion) -> Answer:
    """The answer in one piece, as soon as it is there.

    Where a router in front of us waits only so long for a first byte, the status goes out before
    that time is over, and spaces keep the line open. What fails after that breaks the connection:
    an SDK then raises and tries again, where a status of 200 with an error in it would pass.
    """
    answer = completion.answer()
    try:
        for body in answer:
            if body is not None:
                completion.close()
                headers = list(_headers(completion))
                return Answer(orjson.dumps(body), headers, mimetype="application/json")
            if _must_speak(completion):
                break
    except BaseException:
        completion.close()
        raise
    headers = [*_headers(completion), *STREAM_HEADERS]
    response = Answer(_after_spaces(answer), headers, mimetype="application/json")
    response.call_on_close(completion.close)
    return response


def _must_speak(completion: Completion) -> bool:
    """Whether the next look at the clock may come too late for the first byte."""
    settings = config.current()
    first_byte_s = float(settings["SOLROUTER_FIRST_BYTE_S"])
    return completion.elapsed_s + float(settings["SOLROUTER_KEEP_ALIVE_S"]) >= first_byte_s


def _after_spaces(answer: Iterator[dict[str, Any] | None]) -> Iterator[bytes]:
    try:
        yield SPACE
        for body in answer:
            yield SPACE if body is None else orjson.dumps(body)
    except (SolRouterError, ClientLeft) as error:
        # The one error on which gunicorn breaks the connection without a word: all has been said
        # in the receipt.
        raise ConnectionResetError(errno.ECONNRESET, "the answer was not finished") from error


def _replayed(answered: Answered) -> Answer:
    """The same answer again, as events if it was a stream. Nothing is charged."""
    payloads = orjson.loads(answered.answer)
    headers = [(request_ids.RECEIPT, payloads[0]["id"]), ("Idempotent-Replayed", "true")]
    if payloads[0]["object"] == CHAT_COMPLETION:
        return Answer(orjson.dumps(payloads[0]), headers, mimetype="application/json")
    events = [sse.data_event(orjson.dumps(payload)) for payload in payloads]
    body = b"".join([*events, sse.DONE])
    return Answer(body, [*headers, *STREAM_HEADERS], mimetype="text/event-stream")


def stop(watch: ClientWatch | None) -> None:
    """Looks at the client's socket no longer."""
    if watch is not None:
        watch.stop()


def _events(completion: Completion) -> Iterator[bytes]:
    try:
        for chunk in completion.chunks():
            if isinstance(chunk, bytes):
                yield chunk
            else:
                yield sse.KEEP_ALIVE if chunk is None else sse.data_event(orjson.dumps(chunk))
    except SolRouterError as error:
        last = completion.error_chunk(errors.error_object(error))
        yield sse.data_event(orjson.dumps(last))
    yield sse.DONE


def _headers(completion: Completion) -> Iterator[tuple[str, str]]:
    """The id, where the limits stand, the output limit when it was lowered, the route if asked."""
    yield request_ids.RECEIPT, completion.id
    yield from rates.headers(completion.rates)
    if completion.is_lowered:
        yield "X-SolRouter-Max-Tokens", str(completion.output_limit)
    if explain.is_asked():
        yield explain.ROUTE, completion.route()
