"""What the demo provider says. Pure: the same request always gets the same answer."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from solrouter.chat import ChatRequest, Usage
from solrouter.providers.demo.example import example_of
from solrouter.providers.demo.orders import last_user_text
from solrouter.providers.messages import text_of

BYTES_PER_TOKEN = 4
QUOTED_CHARACTERS_MAX = 200
ARGUMENT_PIECE_CHARACTERS = 12

_MEANING = re.compile(r"meaning of life", re.IGNORECASE)
_MEANING_ANSWER = (
    "People have found it in love, in work, in wonder and in being of use to one another. "
    "If you need a number, it is 42."
)
_WORD = re.compile(r"\s*\S+\s*$|\s*\S+|\s+$")
_NO_THINKING = frozenset({"none", "minimal"})


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a function."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One choice: thinking, then text or calls."""

    seed: str
    text: str = ""
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str = "stop"

    def message(self) -> dict[str, Any]:
        """The assistant's message."""
        message: dict[str, Any] = {"content": self.text if not self.tool_calls else None}
        if self.thinking:
            message["reasoning_content"] = self.thinking
        if self.tool_calls:
            message["tool_calls"] = [_call(call) for call in self.tool_calls]
        return message

    def deltas(self) -> Iterator[dict[str, Any]]:
        """The same in pieces: words, and arguments a few characters at a time."""
        for word in _WORD.findall(self.thinking):
            yield {"reasoning_content": word}
        for word in _WORD.findall(self.text):
            yield {"content": word}
        for index, call in enumerate(self.tool_calls):
            yield {"tool_calls": [{"index": index, **_call(replace(call, arguments=""))}]}
            for start in range(0, len(call.arguments), ARGUMENT_PIECE_CHARACTERS):
                piece = call.arguments[start : start + ARGUMENT_PIECE_CHARACTERS]
                yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def token_count_of(*texts: str) -> int:
    """One token for each four UTF-8 bytes, rounded up, and at least one."""
    size = sum(len(text.encode(errors="replace")) for text in texts)
    return max(1, -(-size // BYTES_PER_TOKEN))


def usage(request: ChatRequest, given: tuple[Answer, ...]) -> Usage:
    """What the answers used, by the rule above."""
    return Usage(
        input=token_count_of(_prompt_text(request)),
        output=sum(_output_tokens(answer) for answer in given),
        reasoning=sum(token_count_of(a.thinking) for a in given if a.thinking),
    )


def _output_tokens(answer: Answer) -> int:
    said = [answer.text, *(text for c in answer.tool_calls for text in (c.name, c.arguments))]
    if not answer.thinking:
        return token_count_of(*said)
    return token_count_of(answer.thinking) + (token_count_of(*said) if any(said) else 0)


def _prompt_text(request: ChatRequest) -> str:
    texts = [text_of(message.get("content")) for message in request.body["messages"]]
    if tools := request.body.get("tools"):
        texts.append(orjson.dumps(tools).decode())
    return "\n".join(texts)


def answers(request: ChatRequest, output_limit: int) -> tuple[Answer, ...]:
    """As many answers as were asked for, each within the limit."""
    return tuple(
        _limited(_answer(request, i), request, output_limit) for i in range(request.choices)
    )


def _answer(request: ChatRequest, index: int) -> Answer:
    seed = hashlib.blake2b(_prompt_text(request).encode(errors="replace"), digest_size=8)
    answer = Answer(seed.hexdigest(), thinking=_thinking(request))
    if calls := _tool_calls(request, answer.seed):
        return replace(answer, tool_calls=calls, finish_reason="tool_calls")
    text = _text(request)
    if index and "response_format" not in request.body:
        text = f"{text} (answer {index + 1})"
    return replace(answer, text=text)


def _thinking(request: ChatRequest) -> str:
    effort = request.body.get("reasoning_effort")
    if not isinstance(effort, str) or effort in _NO_THINKING:
        return ""
    return f"The question is short and the effort asked for is {effort}. I will answer plainly."


def _text(request: ChatRequest) -> str:
    form = request.body.get("response_format") or {}
    if form.get("type") == "json_schema":
        schema = (form.get("json_schema") or {}).get("schema") or {}
        return orjson.dumps(example_of(schema)).decode()
    last = request.body["messages"][-1]
    if last.get("role") == "tool":
        text = f"The tool answered: {_quoted(text_of(last.get('content')))}"
    else:
        text = _plain_answer(last_user_text(request))
    return orjson.dumps({"answer": text}).decode() if form.get("type") == "json_object" else text


def _plain_answer(question: str) -> str:
    if _MEANING.search(question):
        return _MEANING_ANSWER
    if not question.strip():
        return "This is the demo model of SolRouter. Send me a message and I will answer it."
    return (
        f"You said: “{_quoted(question)}” This is the demo model of SolRouter: it runs inside "
        "the server, needs no key and always answers the same question in the same way."
    )


def _quoted(text: str) -> str:
    text = " ".join(text.split())
    if len(text) <= QUOTED_CHARACTERS_MAX:
        return text
    return text[:QUOTED_CHARACTERS_MAX].rstrip() + "…"


def _tool_calls(request: ChatRequest, seed: str) -> tuple[ToolCall, ...]:
    functions = [
        tool["function"] for tool in request.body.get("tools") or () if tool.get("function")
    ]
    wanted = _wanted(request, [function["name"] for function in functions])
    if request.body.get("parallel_tool_calls") is False:
        wanted = wanted[:1]
    schemas = {function["name"]: function.get("parameters") or {} for function in functions}
    return tuple(
        ToolCall(f"call_{seed}{i}", name, orjson.dumps(example_of(schemas[name])).decode())
        for i, name in enumerate(wanted)
        if name in schemas
    )


def _wanted(request: ChatRequest, names: list[str]) -> list[str]:
    """The tools to call: the one forced, else those that the last user message names."""
    choice = request.body.get("tool_choice", "auto")
    if choice == "none" or request.body["messages"][-1].get("role") == "tool":
        return []
    if isinstance(choice, Mapping):
        return [(choice.get("function") or {}).get("name", "")]
    text = last_user_text(request)
    mentioned = [name for name in names if name in text]
    return mentioned or (names[:1] if choice == "required" else [])


def _limited(answer: Answer, request: ChatRequest, output_limit: int) -> Answer:
    """Cut at the first stop sequence and at the limit, thinking first."""
    stop = request.body.get("stop") or ()
    places = [
        answer.text.find(s) for s in ([stop] if isinstance(stop, str) else stop) if s in answer.text
    ]
    if places:
        answer = replace(answer, text=answer.text[: min(places)])
    if _output_tokens(answer) <= output_limit:
        return answer
    thinking = _cut(answer.thinking, output_limit)
    left = output_limit - (token_count_of(thinking) if thinking else 0)
    # Half a call helps nobody: what does not fit is left out.
    return replace(
        answer,
        thinking=thinking,
        text=_cut(answer.text, left),
        tool_calls=(),
        finish_reason="length",
    )


def _cut(text: str, tokens: int) -> str:
    return text.encode(errors="replace")[: tokens * BYTES_PER_TOKEN].decode(errors="ignore")
