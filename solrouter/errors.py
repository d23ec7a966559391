"""What can go wrong, as one tree. No status codes, no Flask: the edge maps classes to answers.

SolRouterError                      message for people, code for programs
├─ BadRequest(param)                the caller's words do not fit
│  ├─ UnknownModel  ModelUnavailable  ModelRetired  UnsupportedParameter  ContextTooLong
├─ KeyInvalid  KeyRevoked  KeyExpired   who are you?
├─ Forbidden                        we know you, and no
├─ NotFound  MethodNotAllowed  BodyTooLarge  UnsupportedMediaType
├─ IdempotencyConflict              this Idempotency-Key stands for something else, or not yet
│  ├─ IdempotencyMismatch  RequestInProgress  AnswerNotKept
├─ InsufficientCredit               the balance cannot pay
│  └─ KeyLimitReached               the key's own budget cannot
│     └─ MemberLimitReached         that of whoever made the key cannot
├─ RateLimited(retry_after_s)       later, please
│  └─ BalanceInUse                  the account's own running requests hold the balance
├─ NoProviderAvailable(attempts)    every offer failed
├─ Unavailable                      our own fault
│  └─ DatabaseUnavailable  ShuttingDown
└─ Refused                          forms and commands: the words do not fit, the field is named
   └─ AddressKnown                  a proven address that a user here has already
"""

from collections.abc import Mapping
from typing import Any


class SolRouterError(Exception):
    """Something a caller can be told: `message` for people, `code` for programs."""

    code = "internal_error"
    param: str | None = None
    # Of a request that was admitted before it failed: the id of its receipt, and its route.
    generation_id: str | None = None
    route: str | None = None

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.param = param
        self.metadata: dict[str, Any] = dict(metadata or {})


class BadRequest(SolRouterError):
    """The request's words do not fit; `param` names the one that does not."""

    code = "invalid_request"


class UnknownModel(BadRequest):
    """No such model id in the catalogue."""

    code = "model_not_found"


class ModelUnavailable(BadRequest):
    """The model is known, but no provider that serves it is set up here."""

    code = "model_unavailable"


class ModelRetired(BadRequest):
    """The model is gone and its replacement is dearer, so it is not slipped in."""

    code = "model_retired"


class UnsupportedParameter(BadRequest):
    """A field that we can neither honour nor price."""

    code = "unsupported_parameter"


class ContextTooLong(BadRequest):
    """The prompt does not fit the model's context window."""

    code = "context_length_exceeded"


class ExceedsLimit(BadRequest):
    """The request alone is larger than a whole limit: waiting would not help."""

    code = "request_exceeds_limit"


class KeyInvalid(SolRouterError):
    """No key, a malformed key, or one that we never made."""

    code = "invalid_api_key"


class KeyRevoked(SolRouterError):
    """The key was revoked or disabled by its owner."""

    code = "revoked_api_key"


class KeyExpired(SolRouterError):
    """The key's time is over."""

    code = "expired_api_key"


class Forbidden(SolRouterError):
    """The key is good and may not do this."""

    code = "scope_required"


class NotFound(SolRouterError):
    """Nothing lives at this address, or it is somebody else's."""

    code = "not_found"


class MethodNotAllowed(SolRouterError):
    """The address exists, the method does not."""

    code = "method_not_allowed"


class BodyTooLarge(SolRouterError):
    """The body is larger than `SOLROUTER_BODY_BYTES_MAX`."""

    code = "body_too_large"


class UnsupportedMediaType(SolRouterError):
    """The body is not JSON by its own label."""

    code = "unsupported_media_type"


class IdempotencyConflict(SolRouterError):
    """An `Idempotency-Key` that cannot be answered with its first answer."""

    code = "idempotency_mismatch"


class IdempotencyMismatch(IdempotencyConflict):
    """The same key came with another body."""


class RequestInProgress(IdempotencyConflict):
    """The first request with this key is still running."""

    code = "request_in_progress"
    retry_after_s = 1


class AnswerNotKept(IdempotencyConflict):
    """The first request has been answered, and its answer was too large to keep."""

    code = "answer_not_kept"


class InsufficientCredit(SolRouterError):
    """The posted balance cannot pay for the smallest answer to this request."""

    code = "insufficient_balance"


class KeyLimitReached(InsufficientCredit):
    """The key's own spend limit cannot pay for it."""

    code = "key_limit_reached"


class MemberLimitReached(KeyLimitReached):
    """What the maker of the key may spend in the account cannot pay for it."""

    code = "member_limit_reached"


class RateLimited(SolRouterError):
    """Spent for now; after `retry_after_s` whole seconds a lone caller is admitted."""

    code = "requests_per_minute"

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: int,
        code: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, code=code, metadata=metadata)
        self.retry_after_s = retry_after_s


class BalanceInUse(RateLimited):
    """The account's own running requests hold the balance; it frees itself as they end."""

    code = "balance_in_use"


class NoProviderAvailable(SolRouterError):
    """Every offer failed before the first content."""

    code = "upstream_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        retry_after_s: int | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, code=code, metadata=metadata)
        self.retry_after_s = retry_after_s


class Unavailable(SolRouterError):
    """Our own fault, and a passing one."""

    code = "service_unavailable"
    retry_after_s = 1


class DatabaseUnavailable(Unavailable):
    """The database does not answer. Never shown as a wrong key."""

    code = "database_unavailable"


class ShuttingDown(Unavailable):
    """This process is draining; another one, or the next, will serve."""

    code = "shutting_down"


class Refused(SolRouterError):
    """A form or a command asked for something that cannot be; `param` names the field."""

    code = "refused"


class AddressKnown(Refused):
    """Somebody proved an address elsewhere that a user here has already.

    `is_verified` tells whether that user has proven it too, `has_password` whether they have one.
    """

    code = "address_known"

    def __init__(
        self, message: str, *, is_verified: bool = True, has_password: bool = False
    ) -> None:
        super().__init__(message)
        self.is_verified = is_verified
        self.has_password = has_password
