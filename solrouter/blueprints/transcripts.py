"""A kept prompt and its answer as people read them: who said what, one after another. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from solrouter.services.contents import Content

NAMES = {
    "system": "System",
    "developer": "Developer",
    "user": "User",
    "assistant": "Assistant",
    "tool": "Tool",
    "function": "Function",
}
# Fields of a message that are shown as they are, beneath its text.
SHOWN_FIELDS = ("reasoning", "reasoning_content", "refusal", "tool_calls", "function_call")
# Of the request, what the messages show already.
SHOWN_APART = ("messages", "model", "stream", "stream_options")


@dataclass(frozen=True, slots=True)
class Said:
    """One message."""

    who: str
    text: str


@dataclass(frozen=True, slots=True)
class Transcript:
    """The messages, the answer's choices, and the request's other fields as JSON."""

    asked: list[Said]
    answered: list[Said]
    parameters: str


def of(content: Content) -> Transcript:
    """The content in words."""
    messages = content.request.get("messages")
    asked = [_said(each) for each in messages] if isinstance(messages, list) else []
    rest = {name: value for name, value in content.request.items() if name not in SHOWN_APART}
    choices = (content.answer or {}).get("choices") or []
    answered = [_said(choice.get("message") or {}) for choice in choices]
    return Transcript(asked, answered, _json(rest) if rest else "")


def _said(message: Any) -> Said:
    if not isinstance(message, Mapping):
        return Said("", _json(message))
    role = str(message.get("role", ""))
    return Said(NAMES.get(role, role), "\n\n".join(_texts(message)))


def _texts(message: Mapping[str, Any]) -> Iterator[str]:
    content = message.get("content")
    if isinstance(content, str):
        if content:
            yield content
    elif isinstance(content, list):
        yield from map(_part, content)
    elif content is not None:
        yield _json(content)
    for name in SHOWN_FIELDS:
        if value := message.get(name):
            text = value if isinstance(value, str) else _json(value)
            yield f"{name}: {text}"


def _part(part: Any) -> str:
    if isinstance(part, Mapping) and isinstance(part.get("text"), str):
        return str(part["text"])
    return _json(part)


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
