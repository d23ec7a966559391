"""Foreign failures in our words: the wire's errors, HTTP statuses and error bodies of all dialects.

| upstream says                                         | becomes               |
|-------------------------------------------------------|-----------------------|
| 400, 413, 422, or 404 with a parameter's name         | UpstreamRefused (*)   |
| … but its words mean our key, our bill or the model   | UpstreamDenied        |
| 401, 402, 403, 404, 405, a redirect, no credit (429)  | UpstreamDenied        |
| 429                                                   | UpstreamRateLimited   |
| 503, 529                                              | UpstreamOverloaded    |
| 408, 504 and every other 5xx                          | UpstreamBroken        |

(*) Its code is `context_length_exceeded`, `content_filter`, `request_too_large` (413), the
upstream's own word for this one mistake, or `invalid_request`: never a word for a class of errors.

Messages are cut and cleaned of anything that looks like a key: a caller will read them.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from math import ceil, isfinite
from typing import Any

import orjson

from solrouter import redaction
from solrouter.clock import utcnow
from solrouter.providers.errors import (
    ProviderError,
    UpstreamBroken,
    UpstreamDenied,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamTimedOut,
)
from solrouter.transport.errors import (
    ConnectFailed,
    ReadTimedOut,
    TooLarge,
    TransportError,
    Unsendable,
)

log = logging.getLogger(__name__)

MESSAGE_CHARACTERS_MAX = 300
RETRY_AFTER_S_MAX = 24 * 3600

# Error types and codes that carry a status of their own: in an event there is no status line.
_STATUS_OF_WORD = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "api_error": 500,
    "server_error": 500,
    "timeout_error": 504,
    "overloaded": 503,
    "server_overloaded": 503,
    "overloaded_error": 529,
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_REFUSED = frozenset({400, 413, 422})
_BUSY = frozenset({503, 529})
_DENIED_FROM, _DENIED_BELOW = 300, 500
_PASSING = frozenset({408, 409, 425})

_BILL_WORDS = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_error"})
_DENIED_WORDS = _BILL_WORDS | {
    "API_KEY_INVALID",
    "invalid_api_key",
    "authentication_error",
    "permission_error",
    "invalid_model",
    "model_decommissioned",
    "model_not_available",
    "model_not_found",
    "not_found_error",
}
# What these providers say of our account there is the operator's business, and kept for the log.
UNWRITABLE = (
    "A part of the request is not what it must be: it cannot be written for this provider. Compare "
    "its messages and tools with the API reference."
)
LIMITED = "The provider takes no more requests from this server at the moment."
DENIED = "The provider does not serve this server at the moment."
_DENIED_SENTENCE = re.compile(
    r"credit balance is too low|(?:incorrect|invalid) api key|api key not valid|api key expired"
    r"|location is not supported"
    # A name that another provider may well know; what a known model cannot do is the caller's.
    r"|model\b.{0,80}\b(?:does not|not) exist|model\b.{0,80}\bnot found|not a valid model"
    r"|(?:invalid|unknown) model\b",
    re.IGNORECASE,
)
_OVERFLOW_WORDS = frozenset({"context_length_exceeded", "exceed_context_size_error"})
_OVERFLOW_SENTENCE = re.compile(
    r"maximum context length|context (?:length|window|size)|prompt is too long"
    r"|input token count .{0,40}exceeds|too many (?:input )?tokens",
    re.IGNORECASE,
)
_FILTER_WORDS = frozenset({"content_filter", "content_policy_violation", "moderation_error"})
# Words for a class of errors: none of them says what is wrong with this request.
_CLASS_WORDS = _STATUS_OF_WORD.keys() | {"bad_request", "BadRequestError", "BadRequest", "error"}
_KEY_LIKE = re.compile(r"\b(?:sk|pk|gsk|xai|csk|fw|key|AIza|sr|r8|nvapi)[-_A-Za-z0-9*.]{8,}")


@dataclass(frozen=True, slots=True)
class ForeignError:
    """What an upstream's error body says, whatever its shape."""

    message: str = ""
    param: str | None = None
    code: str | None = None
    words: frozenset[str] = frozenset()
    status: int | None = None
    retry_after_s: int | None = None


def transport_failure(exc: TransportError, *, has_content: bool) -> ProviderError:
    """The provider's error for one of the wire; `has_content` says which wait it interrupted."""
    if isinstance(exc, ReadTimedOut):
        waiting = "between_chunks" if has_content else "first_token"
        phase = {"first_byte": waiting, "between": waiting}.get(exc.phase, exc.phase)
        return UpstreamTimedOut(f"The provider timed out ({phase}).", phase=phase)
    if isinstance(exc, Unsendable):
        return UpstreamDenied(f"The provider is set up wrongly here: {exc}.")
    if isinstance(exc, ConnectFailed):
        return UpstreamBroken(f"The provider could not be reached: {exc}.")
    if isinstance(exc, TooLarge):
        return UpstreamBroken(f"The provider's answer is too large: {exc}.")
    return UpstreamBroken(f"The provider's answer was cut: {exc}.")


@contextmanager
def writing(provider: str) -> Iterator[None]:
    """Within it a request is written in a dialect: what nobody has thought of is a refusal.

    Whatever a writer stumbles over came with the request; another dialect may say it.
    """
    try:
        yield
    except ProviderError:
        raise
    except Exception as error:
        log.exception("a request to %s could not be written", provider)
        raise UpstreamRefused(UNWRITABLE) from error


def status_failure(
    status: int, headers: Mapping[str, str], body: bytes, *, api_key: str | None
) -> ProviderError:
    """The provider's error for an answer that is no success."""
    foreign = foreign_error(parsed(body))
    message = foreign.message or _plain_text(body, headers)
    retry_after_s = _retry_after_s(headers)
    if retry_after_s is None:
        retry_after_s = foreign.retry_after_s
    return _failure(status, foreign, message, retry_after_s, api_key)


def event_failure(error: Any, *, api_key: str | None) -> ProviderError:
    """The provider's error for an error that came inside an answer that had begun well."""
    foreign = foreign_error(error)
    status = foreign.status or next(
        (_STATUS_OF_WORD[word] for word in sorted(foreign.words) if word in _STATUS_OF_WORD), 500
    )
    return _failure(status, foreign, foreign.message, foreign.retry_after_s, api_key)


def _failure(
    status: int,
    foreign: ForeignError,
    message: str,
    retry_after_s: int | None,
    api_key: str | None,
) -> ProviderError:
    message = cleaned(message, api_key=api_key) or f"The provider answered {status}."
    if status == 429 and not foreign.words & _BILL_WORDS:
        return UpstreamRateLimited(
            LIMITED, status=status, retry_after_s=retry_after_s, detail=message
        )
    if status in _BUSY:
        return UpstreamOverloaded(message, status=status, retry_after_s=retry_after_s)
    if _is_refusal(status, foreign, message):
        code = _refusal_code(status, foreign, message)
        return UpstreamRefused(message, status=status, param=foreign.param, code=code)
    if _DENIED_FROM <= status < _DENIED_BELOW and status not in _PASSING:
        return UpstreamDenied(DENIED, status=status, detail=message)
    return UpstreamBroken(message, status=status, retry_after_s=retry_after_s)


def _refusal_code(status: int, foreign: ForeignError, message: str) -> str:
    if foreign.words & _OVERFLOW_WORDS or _OVERFLOW_SENTENCE.search(message):
        return "context_length_exceeded"
    if foreign.words & _FILTER_WORDS:
        return "content_filter"
    if status == 413:
        return "request_too_large"
    if foreign.code is None or foreign.code in _CLASS_WORDS:
        return "invalid_request"
    return foreign.code


def _is_refusal(status: int, foreign: ForeignError, message: str) -> bool:
    if foreign.words & _DENIED_WORDS or _DENIED_SENTENCE.search(message):
        return False
    if status == 404:
        # A file or another thing that the request named; a missing model is our own fault.
        return foreign.param is not None and foreign.param != "model"
    return status in _REFUSED


def parsed(body: bytes) -> Any:
    """The JSON of a body, or None."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def foreign_error(value: Any) -> ForeignError:
    """Reads an error in any of the dialects' shapes; an empty one where there is nothing to read.

    OpenAI `{"error": {"message", "type", "param", "code"}}`, OpenRouter's numeric `code`,
    Anthropic `{"type": "error", "error": {…}}`, Google `{"error": {"code", "status", "details"}}`
    or a list of one, vLLM `{"object": "error", "message"}`, Mistral `{"detail": [{"msg", "loc"}]}`,
    a bare string.
    """
    while isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, Mapping) and value.get("error"):
        value = value["error"]
    if isinstance(value, str):
        return ForeignError(message=value)
    if not isinstance(value, Mapping):
        return ForeignError()
    if "detail" in value and "message" not in value:
        return _from_detail(value["detail"])
    details = [item for item in _items(value.get("details")) if isinstance(item, Mapping)]
    words = [_text(value.get(key)) for key in ("code", "type", "status")]
    words = [word for word in words if word not in {"", "error"} and not word.isdecimal()]
    return ForeignError(
        message=_text(value.get("message")) or _text(value.get("msg")),
        param=_text(value.get("param")) or None,
        code=words[0] if words else None,
        words=frozenset(words + [_text(detail.get("reason")) for detail in details]),
        status=_numeric_status(value.get("code")),
        retry_after_s=_retry_delay_s(details),
    )


def _from_detail(detail: Any) -> ForeignError:
    first = detail[0] if isinstance(detail, list) and detail else detail
    if not isinstance(first, Mapping):
        return ForeignError(message=_text(first))
    place = [str(step) for step in _items(first.get("loc")) if step != "body"]
    return ForeignError(message=_text(first.get("msg")), param=".".join(place) or None)


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _numeric_status(value: Any) -> int | None:
    if isinstance(value, str) and value.isdecimal() and len(value) == 3:
        value = int(value)
    return value if isinstance(value, int) and 400 <= value <= 599 else None


def _retry_delay_s(details: list[Any]) -> int | None:
    """Google's RetryInfo: `{"retryDelay": "13s"}`."""
    for detail in details:
        delay = _text(detail.get("retryDelay"))
        if delay.endswith("s"):
            return _whole_seconds(delay[:-1])
    return None


def _retry_after_s(headers: Mapping[str, str]) -> int | None:
    if milliseconds := headers.get("retry-after-ms"):
        return _whole_seconds(milliseconds, per_second=1000)
    value = headers.get("retry-after", "")
    if (seconds := _whole_seconds(value)) is not None:
        return seconds
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return None
    if moment.tzinfo is None:
        return None
    return _whole_seconds(str((moment - utcnow()).total_seconds()))


def _whole_seconds(value: str, *, per_second: int = 1) -> int | None:
    try:
        seconds = float(value) / per_second
    except ValueError:
        return None
    if not isfinite(seconds):
        return None
    return min(max(ceil(seconds), 0), RETRY_AFTER_S_MAX)


def _plain_text(body: bytes, headers: Mapping[str, str]) -> str:
    """A short plain answer is worth showing; a page of HTML is not."""
    if not headers.get("content-type", "").startswith("text/plain"):
        return ""
    return body[: 4 * MESSAGE_CHARACTERS_MAX].decode(errors="replace").strip()


def cleaned(message: str, *, api_key: str | None) -> str:
    """A foreign sentence fit to be shown: one line, no key, at most 300 characters."""
    if api_key:
        message = message.replace(api_key, "[key]")
    message = redaction.redacted(_KEY_LIKE.sub("[key]", " ".join(message.split())))
    if len(message) > MESSAGE_CHARACTERS_MAX:
        message = message[: MESSAGE_CHARACTERS_MAX - 1] + "…"
    return message
