"""The request to an OpenAI-compatible upstream, written anew from the validated one. Pure.

| capability                   | when absent  | says                                               |
|------------------------------|--------------|----------------------------------------------------|
| `max_tokens_field`           | `max_tokens` | the field that carries the output limit            |
| `stream_usage`               | true         | takes `stream_options.include_usage`               |
| `developer_role`             | true         | knows the role `developer`; else `system` is sent  |
| `drop_params`                | none         | request fields that it refuses: left out, named    |
| `drop_message_fields`        | none         | fields of a message that it refuses                |
| `drop_null`                  | false        | refuses null fields in messages                    |
| `max_choices`                | any          | the largest `n`                                    |
| `seed_field`                 | `seed`       | its name for `seed`                                |
| `passes_unknown_fields`      | true         | may be sent what OpenAI's schema does not have     |
| `requires_reasoning_content` | false        | wants `reasoning_content` back on assistant turns  |
"""

from collections.abc import Mapping
from typing import Any

from solrouter.providers.base import UpstreamCall
from solrouter.providers.errors import UpstreamRefused
from solrouter.providers.messages import system_as_user

# Words between the caller and us; no upstream may see them.
_ROUTER_FIELDS = frozenset(
    {"models", "route", "provider", "usage", "transforms", "session_id", "plugins"}
)
# Written by us, from what the hold paid for and from what we want to read.
_REWRITTEN_FIELDS = frozenset(
    {"model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens"}
)
_OPENAI_FIELDS = frozenset(
    {
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "metadata",
        "modalities",
        "moderation",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    }
)
_MESSAGE_FIELDS = frozenset(
    {
        "role",
        "content",
        "name",
        "tool_calls",
        "tool_call_id",
        "refusal",
        "audio",
        "function_call",
    }
)
# What we ourselves put into answers: clients send it back, and nobody misses it.
_ECHOED_FIELDS = frozenset({"reasoning", "reasoning_content", "reasoning_details", "annotations"})


def written_request(call: UpstreamCall) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The body to send, and what was left out of it and why.

    Raises UpstreamRefused for what can be neither sent nor left out.
    """
    asked, capabilities = call.request.body, call.capabilities
    warnings: list[str] = []
    body: dict[str, Any] = {
        "model": call.upstream_model,
        "messages": _messages(call, warnings),
        **_parameters(call, warnings),
        _limit_field(call): call.output_limit,
    }
    if call.request.stream:
        body["stream"] = True
        if capabilities.get("stream_usage", True):
            # Always asked, whether the caller did or not: it is what we bill by.
            body["stream_options"] = {"include_usage": True}
    if "seed" in body and (name := capabilities.get("seed_field", "seed")) != "seed":
        body[name] = body.pop("seed")
    _check_choices(call, asked.get("n"))
    return body, tuple(warnings)


def _limit_field(call: UpstreamCall) -> str:
    default = "max_completion_tokens" if call.provider == "openai" else "max_tokens"
    return str(call.capabilities.get("max_tokens_field", default))


def _parameters(call: UpstreamCall, warnings: list[str]) -> dict[str, Any]:
    dropped = frozenset(call.capabilities.get("drop_params", ()))
    passes_unknown = call.capabilities.get("passes_unknown_fields", True)
    kept = {}
    for name, value in call.request.body.items():
        if name in _ROUTER_FIELDS or name in _REWRITTEN_FIELDS or value is None:
            continue
        if name in dropped:
            warnings.append(f"{name}: {call.provider} does not take it, so it was not sent")
        elif name in _OPENAI_FIELDS or passes_unknown:
            kept[name] = value
        else:
            warnings.append(f"{name}: unknown to {call.provider}, so it was not sent")
    return kept


def _check_choices(call: UpstreamCall, choices: Any) -> None:
    most = call.capabilities.get("max_choices")
    if most is not None and isinstance(choices, int) and choices > most:
        raise UpstreamRefused(
            f"{call.provider} answers with at most {most} choices.",
            param="n",
            code="unsupported_parameter",
        )


def _messages(call: UpstreamCall, warnings: list[str]) -> list[dict[str, Any]]:
    messages = call.request.body["messages"]
    if call.model_facts.get("system_role") is False:
        messages = system_as_user(messages)
    writer = _MessageWriter(call.capabilities)
    written = [writer.write(message) for message in messages]
    warnings += [
        f"{field}: unknown to {call.provider}, so it was not sent" for field in sorted(writer.left)
    ]
    return written


class _MessageWriter:
    def __init__(self, capabilities: Mapping[str, Any]) -> None:
        self.left: set[str] = set()
        self._has_developer_role = capabilities.get("developer_role", True)
        self._passes_unknown = capabilities.get("passes_unknown_fields", True)
        self._drops = frozenset(capabilities.get("drop_message_fields", ()))
        self._drops_null = capabilities.get("drop_null", False)
        self._wants_reasoning = capabilities.get("requires_reasoning_content", False)

    def write(self, message: Mapping[str, Any]) -> dict[str, Any]:
        written = {
            name: value
            for name, value in message.items()
            if self._keeps(name) and not (value is None and self._drops_null)
        }
        if written["role"] == "developer" and not self._has_developer_role:
            written["role"] = "system"
        if self._wants_reasoning and written["role"] == "assistant":
            # While thinking, such a provider refuses an assistant turn without it.
            written["reasoning_content"] = _reasoning_of(message)
        content = written.get("content")
        if isinstance(content, list) and not self._passes_unknown:
            written["content"] = [self._without_cache_hint(part) for part in content]
        return written

    def _keeps(self, name: str) -> bool:
        if name in self._drops:
            self.left.add(f"messages[].{name}")
            return False
        if name in _MESSAGE_FIELDS or self._passes_unknown:
            return True
        if name not in _ECHOED_FIELDS:
            self.left.add(f"messages[].{name}")
        return False

    def _without_cache_hint(self, part: Any) -> Any:
        if not isinstance(part, Mapping) or "cache_control" not in part:
            return part
        self.left.add("cache_control")
        return {name: value for name, value in part.items() if name != "cache_control"}


def _reasoning_of(message: Mapping[str, Any]) -> str:
    told = message.get("reasoning_content") or message.get("reasoning")
    return told if isinstance(told, str) and told else " "
