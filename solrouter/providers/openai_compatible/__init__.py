"""The dialect most of the world speaks: OpenAI's chat completions, and what others make of it.

What differs between providers is data (`capabilities`, see flags.py), so that a new provider is a
row and no code. The wire format is that of openai-python 3.54's types.
"""

from solrouter.providers.base import Upstream, UpstreamCall
from solrouter.providers.choices import open_as
from solrouter.providers.exchange import exchange
from solrouter.providers.openai_compatible.request import written_request
from solrouter.providers.openai_compatible.response import OpenAIReader
from solrouter.providers.openai_compatible.usage import usage_from_openai

__all__ = ["OpenAICompatible", "usage_from_openai"]


class OpenAICompatible:
    """`POST {base_url}/chat/completions` with a bearer key."""

    def open(self, call: UpstreamCall) -> Upstream:
        """Sends the request and returns the running answer. Raises ProviderError."""
        return open_as("openai", self._open_one, call)

    def _open_one(self, call: UpstreamCall) -> Upstream:
        body, warnings = written_request(call)
        headers = {"Authorization": f"Bearer {call.api_key}"} if call.api_key else {}
        return exchange(
            call,
            url=call.base_url.rstrip("/") + "/chat/completions",
            headers=headers,
            body=body,
            reader=OpenAIReader(call.capabilities, warnings),
        )
