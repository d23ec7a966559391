"""Which request fields a model honours at a provider, found out by really writing requests. Pure.

Each field is put into a small request that the dialect's own writer writes; what it takes, warns of
or refuses is the answer. So the public table, `supported_parameters` and `require_parameters` say
what a request meets, and there is no second list to keep in step.

| word       | what happens to a request with the field                                |
|------------|-------------------------------------------------------------------------|
| `honoured` | it is said to the provider                                              |
| `partly`   | some values are, for others one of the next two holds                   |
| `ignored`  | it is left out, and `warnings` names it; a refusal if the caller is strict |
| `refused`  | status 400 that names it: ignoring it would answer another question     |
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import orjson

from solrouter.chat import ChatRequest
from solrouter.providers.anthropic import request as anthropic
from solrouter.providers.base import Deadlines, UpstreamCall
from solrouter.providers.choices import calls_needed
from solrouter.providers.demo import request as demo
from solrouter.providers.errors import UpstreamRefused
from solrouter.providers.google import request as google
from solrouter.providers.openai_compatible import request as openai_compatible
from solrouter.providers.parameters import MUST_BE_HONOURED

HONOURED, PARTLY, IGNORED, REFUSED = "honoured", "partly", "ignored", "refused"
SUPPORTED = frozenset((HONOURED, PARTLY))

Written = tuple[Mapping[str, Any], tuple[str, ...]]

_WRITERS: Mapping[str, Callable[[UpstreamCall], Written]] = {
    "openai": openai_compatible.written_request,
    "anthropic": anthropic.written_request,
    "google": google.written_request,
    "demo": demo.written_request,
}
_FUNCTION = {
    "name": "look",
    "description": "Looks something up.",
    "parameters": {"type": "object", "properties": {"word": {"type": "string"}}},
}
_TOOLS = {"tools": [{"type": "function", "function": _FUNCTION}]}
_SCHEMA = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}
_JSON = {"type": "json_object"}
_NAMED = {"type": "function", "function": {"name": "look"}}

# Field → what must stand beside it, and values that each ask for something out of the ordinary.
_PROBES: Mapping[str, tuple[Mapping[str, Any], tuple[Any, ...]]] = {
    "frequency_penalty": ({}, (0.5,)),
    "function_call": ({"functions": [_FUNCTION]}, ({"name": "look"},)),
    "functions": ({}, ([_FUNCTION],)),
    "logit_bias": ({}, ({"50256": -1},)),
    "logprobs": ({}, (True,)),
    "max_tokens": ({}, ()),
    "max_completion_tokens": ({}, ()),
    "metadata": ({}, ({"order": "7"},)),
    "n": ({}, (2,)),
    "parallel_tool_calls": (_TOOLS, (False,)),
    "presence_penalty": ({}, (0.5,)),
    "prompt_cache_key": ({}, ("a-key",)),
    "reasoning": ({}, ({"effort": "low"}, {"effort": "medium"}, {"effort": "high"})),
    "reasoning_effort": ({}, ("low", "medium", "high")),
    "response_format": ({}, (_JSON, _SCHEMA)),
    "safety_identifier": ({}, ("someone",)),
    "seed": ({}, (7,)),
    "stop": ({}, (["END"],)),
    "structured_outputs": ({}, (_SCHEMA,)),
    "temperature": ({}, (0.5,)),
    "tool_choice": (_TOOLS, ("none", "required", _NAMED)),
    "tools": ({}, (_TOOLS["tools"],)),
    "top_k": ({}, (40,)),
    "top_logprobs": ({"logprobs": True}, (2,)),
    "top_p": ({}, (0.9,)),
    "user": ({}, ("someone",)),
    "verbosity": ({}, ("low",)),
}
# What OpenRouter's lists call a field whose values they tell apart.
_FIELDS = {"structured_outputs": "response_format"}
# Ours to honour, whatever the provider.
_OURS = frozenset(("max_tokens", "max_completion_tokens"))

NAMES = tuple(_PROBES)


def support(
    kind: str,
    upstream_model: str,
    capabilities: Mapping[str, Any],
    model_facts: Mapping[str, Any],
) -> Mapping[str, str] | None:
    """For each field that a caller may send, one of the words above.

    None for a kind that writes no requests.
    """
    if kind not in _WRITERS:
        return None
    return _support(kind, upstream_model, _frozen(capabilities), _frozen(model_facts))


def warnings_of(kind: str, call: UpstreamCall) -> tuple[str, ...]:
    """What a provider of this kind would leave out of a call, without sending it.

    Raises UpstreamRefused for what its dialect cannot say.
    """
    _, warnings = _WRITERS[kind](call)
    return tuple(warnings)


def must_be_honoured(name: str) -> bool:
    """Whether a request with a field that cannot be honoured is refused rather than warned of."""
    return _FIELDS.get(name, name) in MUST_BE_HONOURED


def _frozen(value: Mapping[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


@lru_cache(maxsize=4096)
def _support(
    kind: str, upstream_model: str, capabilities: bytes, model_facts: bytes
) -> Mapping[str, str]:
    probe = _Probe(kind, upstream_model, orjson.loads(capabilities), orjson.loads(model_facts))
    return {name: probe.verdict(name) for name in NAMES}


class _Probe:
    """One model at one provider, asked field by field."""

    def __init__(
        self,
        kind: str,
        upstream_model: str,
        capabilities: Mapping[str, Any],
        model_facts: Mapping[str, Any],
    ) -> None:
        self._write = _WRITERS[kind]
        self._kind = kind
        self._upstream_model = upstream_model
        self._capabilities = capabilities
        self._model_facts = model_facts
        self._plain: dict[tuple[str, ...], Written] = {}

    def verdict(self, name: str) -> str:
        """The word for one field."""
        if name in _OURS:
            return HONOURED
        if name == "n" and self._is_asked_often():
            return HONOURED
        beside, values = _PROBES[name]
        words = {self._outcome(_FIELDS.get(name, name), value, beside) for value in values}
        if len(words) == 1:
            return words.pop()
        return PARTLY if HONOURED in words else REFUSED

    def _is_asked_often(self) -> bool:
        """Whether several choices are as many calls, so that the writer never sees `n`."""
        return calls_needed(self._kind, self._capabilities, 2, self._upstream_model) > 1

    def _outcome(self, name: str, value: Any, beside: Mapping[str, Any]) -> str:
        try:
            plain, told_anyway = self._without(beside)
            body, warnings = self._written({**beside, name: value})
        except UpstreamRefused:
            return REFUSED
        return IGNORED if body == plain or set(warnings) - set(told_anyway) else HONOURED

    def _without(self, beside: Mapping[str, Any]) -> Written:
        """What is written when the field is not there."""
        key = tuple(beside)
        if key not in self._plain:
            self._plain[key] = self._written(beside)
        return self._plain[key]

    def _written(self, fields: Mapping[str, Any]) -> Written:
        request = ChatRequest(
            model="probe",
            body={"messages": [{"role": "user", "content": "Hello"}], **fields},
            stream=False,
            include_usage=False,
            output_limit=None,
            choices=1,
            prompt_bound=1,
        )
        return self._write(
            UpstreamCall(
                request=request,
                provider="the provider",
                upstream_model=self._upstream_model,
                base_url="",
                api_key=None,
                output_limit=self._model_facts.get("output_tokens_max") or 8192,
                deadlines=Deadlines(1, 1, 1, 1),
                capabilities=self._capabilities,
                model_facts=self._model_facts,
            )
        )
