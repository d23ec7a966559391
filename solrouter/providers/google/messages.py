"""OpenAI's conversation in Gemini's contents. Pure; fetches nothing."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from solrouter.providers.google.traits import Traits
from solrouter.providers.keepsakes import Recall
from solrouter.providers.media import media_of
from solrouter.providers.messages import (
    Message,
    is_system,
    parts_of,
    text_of,
    tool_name,
    tool_names,
)
from solrouter.providers.parameters import refuse

Part = dict[str, Any]

# Names the entries of `reasoning_details` that are ours to give back.
REASONING_FORMAT = "google-gemini-v1"
# Google's own word for a call whose signature was lost on the way.
LOST_SIGNATURE = base64.b64encode(b"skip_thought_signature_validator").decode()


def conversation(
    messages: Sequence[Message], traits: Traits, recall: Recall
) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """The system instruction and the turns. Raises UpstreamRefused for what cannot be said."""
    first_turn = next((i for i, m in enumerate(messages) if not is_system(m)), len(messages))
    instructions = [_text_part(text_of(m.get("content"))) for m in messages[:first_turn]]
    instructions = [part for part in instructions if part["text"]]
    if first_turn == len(messages):
        # Gemini needs a turn to answer; instructions alone become the user's words.
        return None, [{"role": "user", "parts": instructions}]
    writer = _TurnWriter(tool_names(messages), traits, recall)
    for position in range(first_turn, len(messages)):
        writer.add(messages[position], f"messages[{position}]")
    if not writer.turns:
        refuse("messages", "there is nothing to answer")
    if writer.turns[0]["role"] == "model":
        # The user has the first word there.
        writer.turns.insert(0, {"role": "user", "parts": [_text_part(" ")]})
    return {"parts": instructions} if instructions else None, writer.turns


class _TurnWriter:
    def __init__(self, names: Mapping[str, str], traits: Traits, recall: Recall) -> None:
        self.turns: list[dict[str, Any]] = []
        self._names = names
        self._traits = traits
        self._recall = recall

    def add(self, message: Message, where: str) -> None:
        role = message.get("role")
        if is_system(message):
            text = text_of(message.get("content"))
            self._append("user", [_text_part(text)] if text else [])
        elif role == "assistant":
            self._append("model", self._model_parts(message, where))
        elif role == "tool":
            self._append("user", self._tool_result(message, where))
        elif role == "user":
            self._append("user", _user_parts(message.get("content"), where))
        else:
            refuse(where, f"the role {role} cannot be said to this provider")

    def _append(self, role: str, parts: list[Part]) -> None:
        """Adds a turn, or joins it to the one before: all parallel results are one turn."""
        if not parts:
            return
        if self.turns and self.turns[-1]["role"] == role:
            self.turns[-1]["parts"] += parts
        else:
            self.turns.append({"role": role, "parts": parts})

    def _model_parts(self, message: Message, where: str) -> list[Part]:
        for field in ("function_call", "audio"):
            if message.get(field):
                refuse(f"{where}.{field}", "this provider has nothing like it")
        contents = parts_of(message.get("content"))
        texts = [part.get("text") or part.get("refusal") for part in contents]
        parts = [_text_part(text) for text in texts if text]
        if message.get("refusal"):
            parts.append(_text_part(message["refusal"]))
        if (signature := _text_signature(message)) is not None:
            if not parts:
                parts.append(_text_part(""))
            parts[-1]["thoughtSignature"] = signature
        return parts + self._calls(message, where)

    def _calls(self, message: Message, where: str) -> list[Part]:
        """The calls with their signatures; of parallel calls only the first one has one."""
        calls = list(message.get("tool_calls") or ())
        parts = [self._call(call, f"{where}.tool_calls[{i}]") for i, call in enumerate(calls)]
        told, is_signed = _signatures(message), False
        for call, part in zip(calls, parts, strict=True):
            identifier = str(call.get("id"))
            signature = told.get(identifier)
            if not signature and not told and not is_signed:
                signature = self._recall(identifier, tool_name(call))
            if signature:
                part["thoughtSignature"], is_signed = signature, True
        if parts and self._traits.needs_signatures and not is_signed:
            parts[0]["thoughtSignature"] = LOST_SIGNATURE
        return parts

    def _call(self, call: Mapping[str, Any], where: str) -> Part:
        if isinstance(custom := call.get("custom"), Mapping):
            body: Part = {"name": custom.get("name"), "args": {"input": custom.get("input")}}
        else:
            function = call.get("function") or {}
            text = function.get("arguments") or "{}"
            if _object(text) is None:
                refuse(f"{where}.function.arguments", "the arguments must be a JSON object")
            # Never parsed and written again: large numbers would not survive it.
            body = {"name": function.get("name"), "args": orjson.Fragment(text)}
        if self._traits.call_ids and call.get("id"):
            body["id"] = call["id"]
        return {"functionCall": body}

    def _tool_result(self, message: Message, where: str) -> list[Part]:
        identifier = str(message.get("tool_call_id"))
        name = self._names.get(identifier)
        if name is None:
            refuse(f"{where}.tool_call_id", "no tool call before it has this id")
        content = message.get("content")
        text = text_of(content)
        value = _object(text)
        body: Part = {"name": name, "response": {"output": text} if value is None else value}
        if self._traits.call_ids:
            body["id"] = identifier
        media = [
            part
            for position, told in enumerate(parts_of(content))
            if (part := _user_part(told, f"{where}.content[{position}]")) and "text" not in part
        ]
        if self._traits.media_in_results:
            return [{"functionResponse": {**body, "parts": media} if media else body}]
        # Older models see only words in a result: what it shows stands beside it.
        return [{"functionResponse": body}, *media]


def _text_part(text: str) -> Part:
    return {"text": text}


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = orjson.loads(text)
    except (orjson.JSONDecodeError, TypeError):
        return None
    return value if isinstance(value, dict) else None


def _signatures(message: Message) -> dict[str, str]:
    """Thought signatures by tool call, from either place where we put them."""
    found = {}
    for detail in message.get("reasoning_details") or ():
        if _is_ours(detail) and detail.get("id"):
            found[str(detail["id"])] = str(detail.get("data"))
    for call in message.get("tool_calls") or ():
        extra = call.get("extra_content")
        google = extra.get("google") if isinstance(extra, Mapping) else None
        if isinstance(google, Mapping) and google.get("thought_signature"):
            found[str(call.get("id"))] = str(google["thought_signature"])
    return found


def _text_signature(message: Message) -> str | None:
    """The signature of the answer's text, which no call's id names."""
    for detail in message.get("reasoning_details") or ():
        if _is_ours(detail) and not detail.get("id"):
            return str(detail.get("data"))
    return None


def _is_ours(detail: Any) -> bool:
    return isinstance(detail, Mapping) and detail.get("format") == REASONING_FORMAT


def _user_parts(content: Any, where: str) -> list[Part]:
    written = [
        _user_part(part, f"{where}.content[{position}]")
        for position, part in enumerate(parts_of(content))
    ]
    # Gemini refuses empty text.
    parts = [part for part in written if part.get("text") != ""]
    if parts and not any("text" in part for part in parts):
        # A turn of media alone is refused.
        parts.append(_text_part(" "))
    return parts


def _user_part(part: Mapping[str, Any], where: str) -> Part:
    media = media_of(part, where)
    if media is None:
        if part.get("type") != "text":
            refuse(where, f"parts of type {part.get('type')} cannot be said to this provider")
        return _text_part(str(part.get("text", "")))
    if media.data:
        return {"inlineData": {"mimeType": media.media_type, "data": media.data}}
    if not media.media_type:
        refuse(where, "the address must end in a known file name extension, such as .png")
    return {"fileData": {"fileUri": media.url, "mimeType": media.media_type}}
