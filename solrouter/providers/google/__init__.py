"""Google's Gemini dialect (`generateContent`), both ways and streaming."""

from functools import partial
from urllib.parse import quote

from solrouter.providers.base import Upstream, UpstreamCall
from solrouter.providers.choices import open_as
from solrouter.providers.exchange import exchange
from solrouter.providers.google.request import written_request
from solrouter.providers.google.response import GoogleReader
from solrouter.providers.google.usage import usage_from_google
from solrouter.providers.keepsakes import keepsakes

__all__ = ["Google", "usage_from_google"]


class Google:
    """`POST {base_url}/v1beta/models/{model}:generateContent`, the key in a header."""

    def open(self, call: UpstreamCall) -> Upstream:
        """Sends the request and returns the running answer. Raises ProviderError."""
        return open_as("google", self._open_one, call)

    def _open_one(self, call: UpstreamCall) -> Upstream:
        body, warnings = written_request(call)
        verb = "streamGenerateContent?alt=sse" if call.request.stream else "generateContent"
        model = quote(call.upstream_model, safe="")
        return exchange(
            call,
            url=f"{call.base_url.rstrip('/')}/v1beta/models/{model}:{verb}",
            # Never in the address, where logs and error texts would keep it.
            headers={"x-goog-api-key": call.api_key} if call.api_key else {},
            body=body,
            reader=GoogleReader(warnings, partial(keepsakes.keep, call)),
        )
