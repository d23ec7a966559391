"""OpenAI's conversation in Anthropic's blocks. Pure, and the same bytes for the same messages:
newer models refuse a thinking block whose prefix has changed.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import orjson

from solrouter.providers.anthropic.traits import Traits
from solrouter.providers.keepsakes import Recall
from solrouter.providers.media import Media, media_of
from solrouter.providers.messages import Message, is_system, parts_of, tool_name
from solrouter.providers.parameters import refuse

Block = dict[str, Any]

# Names the blocks in `reasoning_details` that are ours to give back.
REASONING_FORMAT = "anthropic-claude-v1"
IMAGE_TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_CACHE_LIFETIMES = frozenset({"5m", "1h"})
_NOT_IN_AN_ID = re.compile(r"[^A-Za-z0-9_-]")
_ID_CHARACTERS_MAX = 64


def tool_use_id(identifier: Any) -> str:
    """A tool call's id within Anthropic's alphabet; calls and results go through the same."""
    return _NOT_IN_AN_ID.sub("_", str(identifier))[:_ID_CHARACTERS_MAX] or "_"


def conversation(
    messages: Sequence[Message], traits: Traits, recall: Recall
) -> tuple[list[Block], list[Block]]:
    """The system blocks and the turns. Raises UpstreamRefused for what cannot be said."""
    first_turn = next((i for i, m in enumerate(messages) if not is_system(m)), len(messages))
    leading, rest = list(messages[:first_turn]), messages[first_turn:]
    if not rest:
        # Anthropic needs a turn to answer; instructions alone become the user's words.
        return [], [{"role": "user", "content": _system_blocks(leading)}]
    if traits.thinking == "budget":
        # The last first: what they go on from counts, and not everything may be recalled.
        rest = [_with_thinking(message, recall) for message in reversed(rest)][::-1]
    turns: list[Block] = []
    for position, message in enumerate(rest, start=first_turn):
        role, blocks = _turn(message, f"messages[{position}]", traits)
        _append(turns, role, blocks)
    _check_end(turns, traits)
    return _system_blocks(leading), turns


def _with_thinking(message: Message, recall: Recall) -> Message:
    """A turn of calls with the thinking before them, which these models do not go on without."""
    calls = message.get("tool_calls")
    if not calls or message.get("reasoning_details"):
        return message
    details = recall(str(calls[0].get("id")), tool_name(calls[0]))
    return {**message, "reasoning_details": details} if details else message


def _append(turns: list[Block], role: str, blocks: list[Block]) -> None:
    """Adds a turn, or joins it to the one before: roles alternate, and tool results lead."""
    if not blocks:
        return
    if turns and turns[-1]["role"] == role:
        blocks = turns.pop()["content"] + blocks
    if role == "user":
        blocks = sorted(blocks, key=lambda block: block["type"] != "tool_result")
    turns.append({"role": role, "content": blocks})


def _check_end(turns: list[Block], traits: Traits) -> None:
    if not turns:
        refuse("messages", "there is nothing to answer")
    if turns[-1]["role"] != "assistant":
        return
    if not traits.prefill:
        refuse("messages", "this model does not continue a last message of the assistant")
    last = turns[-1]["content"][-1]
    if last["type"] == "text":
        # Anthropic refuses a beginning that ends in white space.
        last["text"] = last["text"].rstrip()


def _turn(message: Message, where: str, traits: Traits) -> tuple[str, list[Block]]:
    role = message.get("role")
    if is_system(message):
        if traits.inline_system:
            return "system", _system_blocks([message])
        blocks = _system_blocks([message])
        for block in blocks:
            block["text"] = f"<system>{block['text']}</system>"
        return "user", blocks
    if role == "assistant":
        return "assistant", _assistant_blocks(message, where)
    if role == "tool":
        return "user", [_tool_result(message, where)]
    if role == "user":
        return "user", _user_blocks(message.get("content"), where)
    return refuse(where, f"the role {role} cannot be said to this provider")


def _system_blocks(messages: Sequence[Message]) -> list[Block]:
    # Kept as separate blocks, so that a cached prefix stays one.
    blocks = []
    for message in messages:
        for part in parts_of(message.get("content")):
            if part.get("text"):
                blocks.append(with_cache(part, {"type": "text", "text": part["text"]}))
    return blocks


def _user_blocks(content: Any, where: str) -> list[Block]:
    blocks = []
    for position, part in enumerate(parts_of(content)):
        block = _user_block(part, f"{where}.content[{position}]")
        if block is not None:
            blocks.append(with_cache(part, block))
    return blocks


def _user_block(part: Mapping[str, Any], where: str) -> Block | None:
    media = media_of(part, where)
    if media is not None:
        return _media_block(media, where)
    if part.get("type") == "text":
        # Anthropic refuses empty text.
        return {"type": "text", "text": part["text"]} if part.get("text") else None
    return refuse(where, f"parts of type {part.get('type')} cannot be said to this provider")


def _media_block(media: Media, where: str) -> Block:
    if media.media_type.startswith("audio/"):
        refuse(where, "this provider does not hear sound")
    if media.data and _is_text(media.media_type):
        source = {"type": "text", "media_type": "text/plain", "data": _decoded(media, where)}
        return _document(source, media)
    is_document = media.media_type == "application/pdf" or (media.url and media.is_file)
    if media.url:
        source = {"type": "url", "url": media.url}
    else:
        source = {"type": "base64", "media_type": media.media_type, "data": media.data}
    if is_document:
        return _document(source, media)
    if media.data and media.media_type not in IMAGE_TYPES:
        refuse(where, f"this provider does not read {media.media_type}")
    return {"type": "image", "source": source}


def _is_text(media_type: str) -> bool:
    return media_type.startswith("text/") or media_type == "application/json"


def _document(source: Block, media: Media) -> Block:
    block: Block = {"type": "document", "source": source}
    if media.name:
        block["title"] = media.name
    return block


def _decoded(media: Media, where: str) -> str:
    try:
        return base64.b64decode(media.data, validate=True).decode()
    except ValueError:
        return refuse(where, "the text file is not UTF-8 in base64")


def with_cache(part: Mapping[str, Any], block: Block) -> Block:
    """The block with the cache marker of what it was made from, its lifetime included."""
    told = part.get("cache_control")
    if isinstance(told, Mapping):
        block["cache_control"] = {"type": "ephemeral"}
        if told.get("ttl") in _CACHE_LIFETIMES:
            block["cache_control"]["ttl"] = told["ttl"]
    return block


def _assistant_blocks(message: Message, where: str) -> list[Block]:
    for field in ("function_call", "audio"):
        if message.get(field):
            refuse(f"{where}.{field}", "this provider has nothing like it")
    blocks = []
    for part in parts_of(message.get("content")):
        text = part.get("text") or part.get("refusal")
        if text:
            blocks.append(with_cache(part, {"type": "text", "text": text}))
    if message.get("refusal"):
        blocks.append({"type": "text", "text": message["refusal"]})
    for position, call in enumerate(message.get("tool_calls") or ()):
        blocks.append(_tool_use(call, f"{where}.tool_calls[{position}]"))
    ends_in_a_call = bool(message.get("tool_calls"))
    for place, block in _thinking_blocks(message):
        # A call is never followed by thinking, whatever the client made of the texts.
        blocks.insert(min(place, len(blocks) - ends_in_a_call), block)
    return blocks


def _thinking_blocks(message: Message) -> list[tuple[int, Block]]:
    """The thinking that we gave out, unmodified, and its place among all the answer's blocks.

    Without its signature it is worth nothing. Thinking between texts and calls must come back
    where it stood; a client that lost the places gets it in front.
    """
    blocks: list[tuple[int, Block]] = []
    for detail in message.get("reasoning_details") or ():
        if not isinstance(detail, Mapping) or detail.get("format") != REASONING_FORMAT:
            continue
        told = detail.get("index")
        place = told if isinstance(told, int) and told >= 0 else len(blocks)
        if detail.get("type") == "reasoning.text" and detail.get("signature"):
            text, signature = detail.get("text") or "", detail["signature"]
            thought = {"type": "thinking", "thinking": text, "signature": signature}
            blocks.append((place, thought))
        elif detail.get("type") == "reasoning.encrypted":
            blocks.append((place, {"type": "redacted_thinking", "data": detail.get("data")}))
    return sorted(blocks, key=itemgetter(0))


def _tool_use(call: Mapping[str, Any], where: str) -> Block:
    identifier = tool_use_id(call.get("id"))
    if isinstance(custom := call.get("custom"), Mapping):
        value = {"input": custom.get("input")}
        return {"type": "tool_use", "id": identifier, "name": custom.get("name"), "input": value}
    function = call.get("function") or {}
    arguments = written_arguments(function.get("arguments"), f"{where}.function.arguments")
    return {"type": "tool_use", "id": identifier, "name": function.get("name"), "input": arguments}


def written_arguments(text: Any, where: str) -> orjson.Fragment:
    """A tool call's arguments as the object they are, byte for byte; none at all are an empty one.

    Raises UpstreamRefused for what is no object.
    """
    try:
        is_object = isinstance(orjson.loads(text or "{}"), dict)
    except (orjson.JSONDecodeError, TypeError):
        is_object = False
    if not is_object:
        refuse(where, "the arguments must be a JSON object")
    # Never parsed and written again: large numbers would not survive it.
    return orjson.Fragment(text or "{}")


def _tool_result(message: Message, where: str) -> Block:
    content = message.get("content")
    block: Block = {
        "type": "tool_result",
        "tool_use_id": tool_use_id(message.get("tool_call_id")),
        "content": content if isinstance(content, str) else _user_blocks(content, where),
    }
    return with_cache(message, block)
