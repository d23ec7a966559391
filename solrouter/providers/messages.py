"""Reads OpenAI's messages for adapters that must say them otherwise. Pure; knows no dialect."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Message = Mapping[str, Any]

_SYSTEM_ROLES = frozenset({"system", "developer"})


def is_system(message: Message) -> bool:
    """Whether a message instructs the model rather than talks to it."""
    return message.get("role") in _SYSTEM_ROLES


def parts_of(content: Any) -> list[Mapping[str, Any]]:
    """A content as a list of parts, whichever way it was written; empty text is no part."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    if isinstance(content, Sequence):
        return [part for part in content if isinstance(part, Mapping)]
    return []


def text_of(content: Any) -> str:
    """The text of a content, its parts joined; what is no text is left out."""
    return "".join(part["text"] for part in parts_of(content) if isinstance(part.get("text"), str))


def system_as_user(messages: Sequence[Message]) -> list[Message]:
    """All instructions as one leading user message, for models without a system role."""
    instructions = [m for m in messages if is_system(m)]
    if not instructions:
        return list(messages)
    return [
        {"role": "user", "content": _joined(m.get("content") for m in instructions)},
        *(m for m in messages if not is_system(m)),
    ]


def _joined(contents: Iterator[Any]) -> Any:
    """Texts as paragraphs; where there are other parts, all parts in order."""
    found = list(contents)
    if all(isinstance(content, str) for content in found):
        return "\n\n".join(found)
    return [part for content in found for part in parts_of(content)]


def has_cache_hint(message: Message) -> bool:
    """Whether a message or a part of it carries Anthropic's `cache_control`."""
    content = message.get("content")
    parts = parts_of(content) if not isinstance(content, str) else []
    return any(item.get("cache_control") for item in (message, *parts))


def tool_name(tool: Mapping[str, Any]) -> str:
    """The name of a tool, of a call or of a choice, whether of a function or of free text."""
    body = tool.get("function") or tool.get("custom") or {}
    return str(body.get("name"))


def tool_names(messages: Sequence[Message]) -> dict[str, str]:
    """The name of each tool call by its id, for dialects whose results go by name."""
    names = {}
    for message in messages:
        for call in message.get("tool_calls") or ():
            names[str(call.get("id"))] = tool_name(call)
    return names
