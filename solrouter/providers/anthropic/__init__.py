"""Anthropic's Messages dialect, both ways and streaming."""

from functools import partial

from solrouter.providers.anthropic.request import written_request
from solrouter.providers.anthropic.response import AnthropicReader
from solrouter.providers.anthropic.traits import recalls_thinking
from solrouter.providers.anthropic.usage import usage_from_anthropic
from solrouter.providers.base import Upstream, UpstreamCall
from solrouter.providers.choices import open_as
from solrouter.providers.exchange import exchange
from solrouter.providers.keepsakes import Keep, keep_nothing, keepsakes

__all__ = ["Anthropic", "usage_from_anthropic"]

# The newest version refuses sampling parameters for every model, so we stay with the first.
API_VERSION = "2023-06-01"


class Anthropic:
    """`POST {base_url}/v1/messages` with an `x-api-key`."""

    def open(self, call: UpstreamCall) -> Upstream:
        """Sends the request and returns the running answer. Raises ProviderError."""
        return open_as("anthropic", self._open_one, call)

    def _open_one(self, call: UpstreamCall) -> Upstream:
        body, warnings = written_request(call)
        headers = {"anthropic-version": API_VERSION}
        if call.api_key:
            headers["x-api-key"] = call.api_key
        return exchange(
            call,
            url=call.base_url.rstrip("/") + "/v1/messages",
            headers=headers,
            body=body,
            reader=AnthropicReader(warnings, _keep(call)),
        )


def _keep(call: UpstreamCall) -> Keep:
    """Keeps thinking where the next turn recalls it."""
    if recalls_thinking(call.upstream_model, call.model_facts):
        return partial(keepsakes.keep, call)
    return keep_nothing
