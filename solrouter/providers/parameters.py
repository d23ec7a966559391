"""The caller's parameters, taken one by one, so that none is lost without a word. Pure.

A dialect takes what it can say; `rest` then names what is left: a warning where OpenAI's semantics
allow ignoring it, else a refusal that names the field.
"""

from collections.abc import Mapping
from typing import Any, NoReturn

from solrouter.providers.base import UpstreamCall
from solrouter.providers.errors import UpstreamRefused

# Words between the caller and us, or what the adapter writes from the call itself.
_NOT_FOR_UPSTREAMS = frozenset(
    {
        "model",
        "models",
        "route",
        "provider",
        "usage",
        "transforms",
        "session_id",
        "plugins",
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
    }
)
# Ignoring these would answer another question than the one asked.
_MUST_BE_HONOURED = frozenset(
    {
        "audio",
        "function_call",
        "functions",
        "modalities",
        "moderation",
        "response_format",
        "service_tier",
        "tool_choice",
        "tools",
        "web_search_options",
    }
)
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "modalities": (["text"],),
    "n": (1,),
    "parallel_tool_calls": (True,),
    "service_tier": ("auto", "default"),
    "store": (False,),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
}


class Asked:
    """What the caller asked for; remembers what has been taken and what must be said about it."""

    def __init__(self, call: UpstreamCall) -> None:
        self.warnings: list[str] = []
        self._provider = call.provider
        self._body = call.request.body
        self._taken = {"messages"}
        for name in call.capabilities.get("drop_params", ()):
            if self.take(name) is not None:
                self.warn(name, f"{call.provider} does not take it, so it was not sent")

    def take(self, name: str) -> Any:
        """The value of a parameter that is not taken yet, or None."""
        if name in self._taken:
            return None
        self._taken.add(name)
        return self._body.get(name)

    def warn(self, name: str, why: str) -> None:
        """Notes that a parameter was not honoured to the letter."""
        self.warnings.append(f"{name}: {why}")

    def refuse(self, name: str, why: str) -> NoReturn:
        """Raises UpstreamRefused for a parameter that can neither be honoured nor ignored."""
        refuse(name, why)

    def rest(self) -> tuple[str, ...]:
        """All warnings, with one for each parameter that nobody took. Raises UpstreamRefused."""
        for name, value in self._body.items():
            is_said = name in self._taken or name in _NOT_FOR_UPSTREAMS
            if is_said or value is None or value in _NEUTRAL.get(name, ()):
                continue
            if name in _MUST_BE_HONOURED:
                self.refuse(name, f"{self._provider} has nothing like it")
            self.warn(name, f"{self._provider} has nothing like it, so it was not sent")
        return tuple(self.warnings)


def refuse(param: str, why: str) -> NoReturn:
    """Raises UpstreamRefused that names what cannot be said in a dialect."""
    raise UpstreamRefused(f"{param}: {why}.", param=param, code="unsupported_parameter")


def effort_asked(asked: Asked) -> str | None:
    """How hard to think: `reasoning_effort`, or what OpenRouter's `reasoning` says of it."""
    effort = asked.take("reasoning_effort")
    told = asked.take("reasoning")
    if isinstance(told, Mapping) and effort is None:
        effort = "none" if told.get("enabled") is False else told.get("effort")
        if effort is None and told.get("enabled"):
            effort = "medium"
    return effort if isinstance(effort, str) else None
