"""OpenAI's messages for upstreams that refuse some of what OpenAI takes. Pure."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from solrouter.providers.messages import Message
from solrouter.providers.openai_compatible.flags import Flags
from solrouter.providers.parameters import Notes

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
_PLAIN_FIELDS, _PLAIN_ROLES = frozenset({"role", "content"}), frozenset({"system", "user"})
_NO_THINKING = " "
_PLAIN_ID = re.compile(r"[A-Za-z0-9]+")


def written_messages(
    messages: Sequence[Message], flags: Flags, notes: Notes
) -> list[dict[str, Any]]:
    """The messages as this provider takes them. Raises UpstreamRefused naming the part."""
    if all(map(_is_plain, messages)):
        return [dict(message) for message in messages]
    writer = _Writer(flags, notes)
    written = [writer.write(message, f"messages[{i}]") for i, message in enumerate(messages)]
    for field in sorted(writer.left):
        notes.warn(field, "unknown to this provider, so it was not sent")
    return written


def _is_plain(message: Message) -> bool:
    """Whether a message says nothing but a text by a role that everybody knows."""
    is_text = type(message.get("content")) is str and message["role"] in _PLAIN_ROLES
    return is_text and message.keys() <= _PLAIN_FIELDS


class _Writer:
    def __init__(self, flags: Flags, notes: Notes) -> None:
        self.left: set[str] = set()
        self._flags = flags
        self._notes = notes

    def write(self, message: Message, where: str) -> dict[str, Any]:
        flags = self._flags
        written = {
            name: value
            for name, value in message.items()
            if self._keeps(name) and not (value is None and flags.drop_null)
        }
        if written["role"] == "developer" and not flags.developer_role:
            written["role"] = "system"
        if flags.requires_reasoning_content and written["role"] == "assistant":
            # While thinking, such a provider refuses an assistant turn without it.
            written["reasoning_content"] = _reasoning_of(message)
        if isinstance(content := written.get("content"), list):
            written["content"] = [
                self._part(part, f"{where}.content[{i}]") for i, part in enumerate(content)
            ]
        if isinstance(calls := written.get("tool_calls"), list):
            written["tool_calls"] = [self._call(call) for call in calls]
        if isinstance(identifier := written.get("tool_call_id"), str):
            written["tool_call_id"] = self._id(identifier)
        return written

    def _keeps(self, name: str) -> bool:
        if name in self._flags.drop_message_fields:
            self.left.add(f"messages[].{name}")
            return False
        if name in _MESSAGE_FIELDS or name in self._flags.echo_fields:
            return True
        if self._flags.passes_unknown_fields:
            return True
        if name == "cache_control":
            if not self._flags.cache_control:
                self.left.add(name)
            return self._flags.cache_control
        if name not in _ECHOED_FIELDS:
            self.left.add(f"messages[].{name}")
        return False

    def _part(self, part: Any, where: str) -> Any:
        if not isinstance(part, Mapping):
            return part
        self._check_address(part, where)
        keeps_hint = self._flags.cache_control or self._flags.passes_unknown_fields
        if "cache_control" not in part or keeps_hint:
            return part
        self.left.add("cache_control")
        return {name: value for name, value in part.items() if name != "cache_control"}

    def _check_address(self, part: Mapping[str, Any], where: str) -> None:
        for kind, field, takes_urls in (
            ("image_url", "url", self._flags.image_urls),
            ("file", "file_data", self._flags.file_urls or self._flags.passes_unknown_fields),
        ):
            body = part.get(kind)
            address = body.get(field) if isinstance(body, Mapping) else None
            if takes_urls or not isinstance(address, str):
                continue
            if address.startswith(("http://", "https://")):
                name = f"{where}.{kind}.{field}"
                self._notes.refuse(name, "this provider fetches nothing: send it as a data: URL")

    def _call(self, call: Any) -> Any:
        if not isinstance(call, Mapping):
            return call
        written = dict(call)
        if isinstance(identifier := call.get("id"), str):
            written["id"] = self._id(identifier)
        custom = call.get("custom")
        if isinstance(custom, Mapping) and not self._flags.custom_tools:
            arguments = orjson.dumps({"input": custom.get("input")}).decode()
            function = {"name": custom.get("name"), "arguments": arguments}
            written = {"id": written.get("id"), "type": "function", "function": function}
        if not self._flags.passes_unknown_fields:
            # A signature that another provider's answer carried.
            written.pop("extra_content", None)
        return written

    def _id(self, identifier: str) -> str:
        """An id of just so many letters and digits; calls and results go through the same."""
        size = self._flags.tool_id_chars
        if size is None or (len(identifier) == size and _PLAIN_ID.fullmatch(identifier)):
            return identifier
        return hashlib.sha256(identifier.encode()).hexdigest()[:size]


def _reasoning_of(message: Message) -> str:
    told = message.get("reasoning_content") or message.get("reasoning")
    return told if isinstance(told, str) and told else _NO_THINKING
