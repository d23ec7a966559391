"""Tools and the choice among them, for upstreams that know less of both than OpenAI. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from solrouter.providers.messages import tool_name
from solrouter.providers.openai_compatible.flags import Flags
from solrouter.providers.parameters import Notes

_TEXT = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}


def written_choice(tools: Sequence[Any], choice: Any, flags: Flags) -> tuple[list[Any], Any]:
    """The tools to offer and the word that chooses among them.

    `allowed_tools` becomes a shorter list where the provider does not know it; a choice of a tool
    with free text one of a function.
    """
    offered = list(tools)
    if not isinstance(choice, Mapping):
        return offered, choice
    if choice.get("type") == "allowed_tools" and not flags.allowed_tools:
        allowed = choice.get("allowed_tools") or {}
        names = {tool_name(tool) for tool in allowed.get("tools") or ()}
        mode = str(allowed.get("mode", "auto"))
        return [tool for tool in offered if tool_name(tool) in names], mode
    if choice.get("type") == "custom" and not flags.custom_tools:
        choice = {"type": "function", "function": {"name": tool_name(choice)}}
    return offered, choice


def written_tools(tools: Sequence[Any], flags: Flags, notes: Notes) -> list[Any]:
    """The tools in words that the provider knows. A tool with free text becomes a function."""
    return [_tool(tool, f"tools[{i}]", flags, notes) for i, tool in enumerate(tools)]


def _tool(tool: Any, where: str, flags: Flags, notes: Notes) -> Any:
    keeps_hint = flags.cache_control or flags.passes_unknown_fields
    hint = {"cache_control": tool["cache_control"]} if "cache_control" in tool else {}
    if hint and not keeps_hint:
        notes.warn("cache_control", "unknown to this provider, so it was not sent")
    custom = tool.get("custom")
    if isinstance(custom, Mapping) and not flags.custom_tools:
        notes.warn(where, "sent as a function whose one argument is `input`")
        function = {"name": custom.get("name"), "parameters": _TEXT}
        if custom.get("description"):
            function["description"] = custom["description"]
        tool = {"type": "function", "function": function, **hint}
    return tool if keeps_hint else {k: v for k, v in tool.items() if k != "cache_control"}
