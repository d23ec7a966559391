"""A stream put together into one answer: chunks in, a `chat.completion` out. Pure.

For a call that goes upstream as a stream though its caller asked for a whole answer.
"""

from collections.abc import Mapping
from typing import Any

TEXTS = ("content", "refusal", "reasoning_content", "reasoning")
LISTS = ("annotations", "reasoning_details", "images")


class Assembly:
    """Takes chunk payloads in order; `choices()` is what they add up to."""

    def __init__(self) -> None:
        self._choices: dict[int, dict[str, Any]] = {}
        self._top: dict[str, Any] = {}

    def take(self, payload: Mapping[str, Any]) -> None:
        """Adds one chunk. Raises TypeError, AttributeError or ValueError for what is none."""
        for name, value in payload.items():
            if name != "choices" and value is not None:
                self._top[name] = value
        for part in payload.get("choices") or ():
            choice = self._choices.setdefault(part.get("index", 0), _empty(part.get("index", 0)))
            _add_delta(choice["message"], part.get("delta") or {})
            _add_logprobs(choice, part.get("logprobs"))
            choice["finish_reason"] = part.get("finish_reason") or choice["finish_reason"]

    def payload(self) -> dict[str, Any]:
        """The whole answer, as an upstream would have sent it."""
        choices = [self._choices[index] for index in sorted(self._choices)]
        return {**self._top, "choices": [_finished(choice) for choice in choices]}


def _empty(index: int) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    return {"index": index, "message": message, "logprobs": None, "finish_reason": None}


def _add_delta(message: dict[str, Any], delta: Mapping[str, Any]) -> None:
    for name, value in delta.items():
        if value is None or name == "role":
            continue
        if name in TEXTS:
            message[name] = (message.get(name) or "") + _of_kind(str, name, value)
        elif name in LISTS:
            message.setdefault(name, []).extend(_of_kind(list, name, value))
        elif name == "tool_calls":
            for part in value:
                _add_tool_call(message, part)
        else:
            message[name] = value


def _of_kind(kind: type[Any], name: str, value: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{name} is no {kind.__name__}")
    return value


def _add_tool_call(message: dict[str, Any], part: Mapping[str, Any]) -> None:
    calls: dict[int, dict[str, Any]] = message.setdefault("tool_calls", {})
    call = calls.setdefault(part.get("index", 0), {})
    for name, value in part.items():
        if name == "index" or value is None:
            continue
        if not isinstance(value, dict):
            call[name] = value
            continue
        body = call.setdefault(name, {})
        for key, text in value.items():
            grows = key in ("arguments", "input") and isinstance(text, str)
            body[key] = body.get(key, "") + text if grows else text


def _add_logprobs(choice: dict[str, Any], logprobs: Mapping[str, Any] | None) -> None:
    if not logprobs:
        return
    gathered = choice["logprobs"] = choice["logprobs"] or {}
    for name, tokens in logprobs.items():
        said = _of_kind(list, name, tokens) if tokens else []
        gathered[name] = [*(gathered.get(name) or ()), *said] if said else gathered.get(name)


def _finished(choice: dict[str, Any]) -> dict[str, Any]:
    message = choice["message"]
    if "tool_calls" in message:
        calls = message["tool_calls"]
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
        message["content"] = message["content"] or None
    elif message["content"] is None and not message["refusal"]:
        message["content"] = ""
    return choice
