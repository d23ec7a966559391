"""The caller's parameters, taken one by one, so that none is lost without a word. Pure.

A dialect takes what it can say; `rest` then names what is left: a warning where OpenAI's semantics
allow ignoring it, else a refusal that names the field.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from solrouter.providers.base import UpstreamCall
from solrouter.providers.capabilities import flags_for
from solrouter.providers.errors import UpstreamRefused

# Words between the caller and us, or what the adapter writes from the call itself.
NOT_FOR_UPSTREAMS = frozenset(
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
        "max_cost",
        "strict",
    }
)
# Ignoring these would answer another question than the one asked.
MUST_BE_HONOURED = frozenset(
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
# Values that ask for nothing out of the ordinary.
NEUTRAL: dict[str, tuple[Any, ...]] = {
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
# From little to much thinking.
EFFORTS = ("minimal", "low", "medium", "high", "xhigh", "max")


class Notes:
    """What must be said about a request that is not honoured to the letter.

    With `strict` nothing may be ignored: a warning is a refusal then.
    """

    def __init__(self, call: UpstreamCall) -> None:
        self.warnings: list[str] = []
        self._is_strict = call.request.is_strict

    def warn(self, name: str, why: str) -> None:
        """Notes that a parameter was not honoured. Raises UpstreamRefused if that is not wanted."""
        if self._is_strict:
            refuse(name, f"{why}, and “strict” allows nothing to be ignored")
        if (told := f"{name}: {why}") not in self.warnings:
            self.warnings.append(told)

    def refuse(self, name: str, why: str) -> NoReturn:
        """Raises UpstreamRefused for a parameter that can neither be honoured nor ignored."""
        refuse(name, why)


class Asked(Notes):
    """What the caller asked for; remembers what has been taken and what must be said about it."""

    def __init__(self, call: UpstreamCall) -> None:
        super().__init__(call)
        self.body = call.request.body
        self._provider = call.provider
        self._taken = {"messages"}
        flags = flags_for(call.capabilities, call.upstream_model)
        for name in (*flags.get("drop_params", ()), *call.model_facts.get("drop_params", ())):
            value = self.take(name)
            if value is not None and value not in NEUTRAL.get(name, ()):
                self.warn(name, f"{call.provider} does not take it, so it was not sent")

    def take(self, name: str) -> Any:
        """The value of a parameter that is not taken yet, or None."""
        if name in self._taken:
            return None
        self._taken.add(name)
        return self.body.get(name)

    def is_open(self, name: str) -> bool:
        """Whether nobody has taken a parameter yet that is for an upstream at all."""
        return name not in self._taken and name not in NOT_FOR_UPSTREAMS

    def rest(self) -> tuple[str, ...]:
        """All warnings, with one for each parameter that nobody took. Raises UpstreamRefused."""
        for name, value in self.body.items():
            if not self.is_open(name) or value is None or value in NEUTRAL.get(name, ()):
                continue
            if name in MUST_BE_HONOURED:
                self.refuse(name, f"{self._provider} has nothing like it")
            self.warn(name, f"{self._provider} has nothing like it, so it was not sent")
        return tuple(self.warnings)


def refuse(param: str, why: str) -> NoReturn:
    """Raises UpstreamRefused that names what cannot be said in a dialect."""
    raise UpstreamRefused(f"{param}: {why}.", param=param, code="unsupported_parameter")


@dataclass(frozen=True, slots=True)
class Thinking:
    """How the model is to think: `effort` None says nothing, `tokens` is a budget in so many.

    `is_shown` is false when the caller wants the answer without the thinking.
    """

    effort: str | None = None
    tokens: int | None = None
    is_shown: bool = True


def thinking_asked(asked: Asked) -> Thinking:
    """How hard to think: `reasoning_effort`, and what OpenRouter's `reasoning` says of it.

    Raises UpstreamRefused for a word that nobody knows.
    """
    effort, told = asked.take("reasoning_effort"), asked.take("reasoning")
    if not isinstance(told, Mapping):
        return Thinking(_known_effort(effort, "reasoning_effort"))
    effort = effort or ("none" if told.get("enabled") is False else told.get("effort"))
    tokens = told.get("max_tokens")
    tokens = tokens if isinstance(tokens, int) and not isinstance(tokens, bool) else None
    if effort is None and (told.get("enabled") or tokens):
        effort = "medium"
    return Thinking(
        _known_effort(effort, "reasoning.effort"), tokens, told.get("exclude") is not True
    )


def _known_effort(effort: Any, name: str) -> str | None:
    if effort is None:
        return None
    if effort == "none" or effort in EFFORTS:
        return str(effort)
    return refuse(name, f"{effort} is not an effort")


def nearest_effort(effort: str, known: Sequence[str]) -> str:
    """The word for an effort among those that are known: the next lower one, else the lowest."""
    if effort in known:
        return effort
    lower = [word for word in EFFORTS[: EFFORTS.index(effort)] if word in known]
    return lower[-1] if lower else next(word for word in EFFORTS if word in known)


def stops_asked(asked: Asked, *, most: int | None = None, may_be_blank: bool = True) -> list[str]:
    """The stop sequences that can be sent. Raises UpstreamRefused for more than `most`."""
    stop = asked.take("stop")
    told = [stop] if isinstance(stop, str) else list(stop or ())
    kept = [sequence for sequence in told if (sequence if may_be_blank else sequence.strip())]
    if len(kept) < len(told):
        blank = "an empty sequence" if may_be_blank else "white space alone"
        asked.warn("stop", f"this provider does not stop at {blank}")
    if most is not None and len(kept) > most:
        asked.refuse("stop", f"this provider takes at most {most} sequences")
    return kept
