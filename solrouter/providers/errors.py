"""How an upstream can fail us. Adapters translate every foreign error into one of these, once.

ProviderError                 retryable: may the next offer be tried?
├─ UpstreamRefused            the caller's own fault, said by the upstream: never retried
├─ UpstreamDenied             our key, our bill or our model name there: the provider's fault
├─ UpstreamOverloaded         429, 503, 529: busy; `retry_after_s` when it said so
├─ UpstreamBroken             500s, garbage, a cut, an error event, an empty answer
└─ UpstreamTimedOut           a deadline passed; `phase` names it
"""


class ProviderError(Exception):
    """An upstream failed. `message` is what callers may read; never holds a secret.

    `detail` is what the provider said, where that is for the operator alone.
    """

    code = "upstream_error"
    retryable = True

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retry_after_s: int | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.status = status
        self.retry_after_s = retry_after_s


class UpstreamRefused(ProviderError):
    """The upstream says that the request itself is wrong; another provider would say the same."""

    code = "upstream_refused"
    retryable = False

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message, status=status)
        self.param = param
        self.upstream_code = code


class UpstreamDenied(ProviderError):
    """Our key is refused there, our bill unpaid, or the model unknown: 401, 402, 403, 404."""

    code = "upstream_auth"


class UpstreamOverloaded(ProviderError):
    """The upstream is busy or limits us."""

    code = "upstream_overloaded"


class UpstreamRateLimited(UpstreamOverloaded):
    """The upstream's own rate limit for our key."""

    code = "upstream_rate_limited"


class UpstreamBroken(ProviderError):
    """The upstream failed, cut the line, or spoke nonsense."""


class UpstreamEmpty(UpstreamBroken):
    """The upstream ended with neither a finish reason nor a token."""

    code = "empty_completion"


class UpstreamTimedOut(ProviderError):
    """A deadline passed: `connect`, `first_token`, `between_chunks`, `pings` or `total`."""

    code = "upstream_timeout"

    def __init__(self, message: str, *, phase: str) -> None:
        super().__init__(message)
        self.phase = phase
