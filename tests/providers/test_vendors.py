"""Each vendor's deviations from OpenAI: what its flags make of one request, what we make of it.

The facts come from the vendors' own SDKs and documentation as of November 2026; no vendor is asked.
"""

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from solrouter.chat import Usage
from solrouter.providers.choices import calls_needed
from solrouter.providers.openai_compatible.flags import NAMES, Flags
from solrouter.providers.openai_compatible.request import written_request
from solrouter.providers.openai_compatible.servers import ANY, SERVERS
from tests.fakes.upstream import FakeUpstream
from tests.providers.calls import make_call, play

ROOT = Path(__file__).parents[2]
ROWS = json.loads((ROOT / "solrouter" / "data" / "catalogue.json").read_text())["providers"]
CAPABILITIES: dict[str, dict[str, Any]] = {
    **{row["slug"]: row["capabilities"] for row in ROWS if row["kind"] == "openai"},
    **{name: dict(flags) for name, flags in SERVERS.items()},
}
# A model of each house whose name a rule finds.
MODELS = {"openai": "gpt-6.1-sol", "xai": "grok-4.7", "groq": "qwen/qwen3.8-27b"}

CALL = {"type": "function", "function": {"name": "weather", "arguments": '{"city":"Rom"}'}}
RICH: dict[str, Any] = {
    "messages": [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Hi", "name": "alice"},
        {
            "role": "assistant",
            "content": None,
            "reasoning_details": [{"type": "reasoning.text", "text": "hm"}],
            "tool_calls": [{"id": "call_0123456789", **CALL}],
        },
        {"role": "tool", "tool_call_id": "call_0123456789", "content": "Sun."},
    ],
    "tools": [
        {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}},
        {"type": "function", "function": {"name": "time"}},
    ],
    "tool_choice": {
        "type": "allowed_tools",
        "allowed_tools": {
            "mode": "required",
            "tools": [{"type": "function", "function": {"name": "weather"}}],
        },
    },
    "temperature": 0.5,
    "seed": 7,
    "stop": ["END"],
    "top_k": 5,
    "logit_bias": {"1": 1},
    "logprobs": True,
    "frequency_penalty": 0.1,
    "parallel_tool_calls": False,
    "user": "someone",
    "reasoning_effort": "xhigh",
}
LIMIT = {"max_tokens": 500}
REQUIRED = {"tool_choice": "required"}
# Vendor -> what stands in the request as nowhere else, what is gone from it, what is said of it.
EXPECTED: dict[str, tuple[dict[str, Any], set[str], list[str]]] = {
    "openai": (
        {"max_completion_tokens": 500, "tool_choice": RICH["tool_choice"], "seed": 7},
        {"max_tokens", "stop", "temperature", "logprobs", "top_k"},
        ["frequency_penalty", "logit_bias", "logprobs", "stop", "temperature", "top_k"],
    ),
    "deepseek": (
        {**LIMIT, **REQUIRED, "thinking": {"type": "enabled"}, "reasoning_effort": "high"},
        {"top_k"},
        ["top_k"],
    ),
    "mistral": (
        {**LIMIT, **REQUIRED, "random_seed": 7, "top_k": 5, "reasoning_effort": "xhigh"},
        {"seed", "user", "logit_bias", "stream_options"},
        ["messages[].name", "logit_bias", "user"],
    ),
    "xai": (
        {**LIMIT, **REQUIRED, "temperature": 0.5, "logprobs": True},
        {"stop", "frequency_penalty"},
        ["frequency_penalty", "stop", "top_k"],
    ),
    "groq": (
        {**LIMIT, **REQUIRED, "reasoning_effort": "high"},
        {"logprobs", "logit_bias"},
        ["logit_bias", "logprobs", "messages[].name", "top_k"],
    ),
    "together": (
        {**LIMIT, **REQUIRED, "top_k": 5, "logit_bias": {"1": 1}},
        {"logprobs", "parallel_tool_calls", "user"},
        ["logprobs", "parallel_tool_calls", "user"],
    ),
    "fireworks": ({**LIMIT, **REQUIRED, "top_k": 5}, set(), []),
    "cerebras": (
        {**LIMIT, **REQUIRED, "reasoning_effort": "high"},
        {"frequency_penalty", "logit_bias"},
        ["frequency_penalty", "logit_bias", "top_k"],
    ),
    "openrouter": (
        {**LIMIT, **REQUIRED, "reasoning": {"effort": "xhigh"}, "top_k": 5},
        {"reasoning_effort"},
        [],
    ),
    "deepinfra": ({**LIMIT, **REQUIRED}, set(), ["top_k"]),
    "meta": ({**LIMIT, **REQUIRED}, set(), ["top_k"]),
    "moonshot": ({**LIMIT, **REQUIRED}, set(), ["top_k"]),
    "ollama": ({**LIMIT, "top_k": 5, "reasoning_effort": "xhigh"}, {"logit_bias"}, ["logit_bias"]),
    "vllm": (
        {**LIMIT, "top_k": 5, "logit_bias": {"1": 1}},
        {"parallel_tool_calls", "user"},
        ["parallel_tool_calls", "user"],
    ),
    "llama.cpp": ({**LIMIT, "top_k": 5, "parallel_tool_calls": False}, set(), []),
}
CALLS_FOR_THREE = {"deepseek", "groq", "openrouter", "ollama", "llama.cpp"}
VENDORS = pytest.mark.parametrize("vendor", sorted(CAPABILITIES))


def rich_call(vendor: str, **changes: Any) -> Any:
    return make_call(
        provider=vendor,
        model=MODELS.get(vendor, "m"),
        capabilities=CAPABILITIES[vendor],
        **{**RICH, **changes},
    )


def test_every_vendor_is_expected_and_every_flag_known() -> None:
    assert EXPECTED.keys() == CAPABILITIES.keys()
    known = NAMES | {"model_rules", "native", "messages_base_url"}
    for row in ROWS:
        flags = row["capabilities"]
        rules = flags.get("model_rules", ())
        used = {name for rule in rules for name in rule} - {"match"}
        assert flags.keys() | used <= known, row["slug"]
        assert flags["passes_unknown_fields"] is False, "off for the vendors that we ship"
    assert ANY["passes_unknown_fields"] is True


@VENDORS
def test_what_is_sent(vendor: str) -> None:
    sent, gone, warned = EXPECTED[vendor]
    body, warnings = written_request(rich_call(vendor))
    assert {name: body.get(name) for name in sent} == sent
    assert gone & body.keys() == set()
    assert [warning.split(":")[0] for warning in warnings] == warned
    roles = [message["role"] for message in body["messages"]]
    assert roles == ["developer" if vendor == "openai" else "system", "user", "assistant", "tool"]
    called, answered = body["messages"][2]["tool_calls"][0], body["messages"][3]
    assert called["id"] == answered["tool_call_id"]
    assert called["function"] == CALL["function"]
    if vendor != "openai":
        assert [tool["function"]["name"] for tool in body["tools"]] == ["weather"]


@VENDORS
def test_what_would_be_left_out_is_refused_when_asked_strictly(
    upstream: FakeUpstream, vendor: str
) -> None:
    call = rich_call(vendor, base_url=upstream.url, is_strict=True)
    warned = EXPECTED[vendor][2]
    outcome = play("openai", call)
    if warned:
        assert outcome.error is not None
        assert getattr(outcome.error, "upstream_code", None) == "unsupported_parameter"
        assert getattr(outcome.error, "param", None) == warned[0]
        assert upstream.requests == 0
    else:
        assert outcome.error is None


@VENDORS
def test_how_many_calls_three_choices_take(vendor: str) -> None:
    calls = calls_needed("openai", CAPABILITIES[vendor], 3, MODELS.get(vendor, "m"))
    assert calls == (3 if vendor in CALLS_FOR_THREE else 1)


def chunk(delta: dict[str, Any], reason: str | None = None, **extra: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return {"id": "u", "object": "chat.completion.chunk", "choices": [choice], **extra}


COUNTS = {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}
# Vendor -> its stream's peculiarities, the text, the thinking and the usage that come of it.
ANSWERS: dict[str, tuple[list[Any], str, str, Usage]] = {
    "deepseek": (
        [
            chunk({"role": "assistant", "content": None, "reasoning_content": "hm"}),
            chunk({"content": "Hi", "reasoning_content": None}),
            chunk(
                {"content": ""},
                "stop",
                usage={**COUNTS, "prompt_cache_hit_tokens": 6, "prompt_cache_miss_tokens": 4},
            ),
        ],
        "Hi",
        "hm",
        Usage(input=4, cache_read=6, output=4),
    ),
    "mistral": (
        [
            chunk({"content": [{"type": "thinking", "thinking": [{"text": "hm"}]}]}),
            chunk({"content": [{"type": "text", "text": "Hi"}]}),
            chunk({"content": ""}, "model_length", usage=COUNTS),
        ],
        "Hi",
        "hm",
        Usage(input=10, output=4),
    ),
    "xai": (
        [
            chunk({"reasoning_content": "hm"}),
            chunk({"content": "Hi"}),
            chunk({}, "stop"),
            {
                "choices": [],
                "usage": {
                    "prompt_tokens": 10,
                    "completion_tokens": 4,
                    "total_tokens": 17,
                    "completion_tokens_details": {"reasoning_tokens": 3},
                },
            },
        ],
        "Hi",
        "hm",
        Usage(input=10, output=7, reasoning=3),
    ),
    "groq": (
        [
            chunk({"role": "assistant"}, x_groq={"id": "req_1"}),
            chunk({"reasoning": "hm"}),
            chunk({"content": "Hi"}),
            chunk({}, "stop", x_groq={"id": "req_1", "usage": COUNTS}),
        ],
        "Hi",
        "hm",
        Usage(input=10, output=4),
    ),
    "openrouter": (
        [
            chunk({"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text"}]}),
            chunk({"content": "Hi"}),
            chunk({"content": ""}, "stop", provider="Somebody"),
            {"choices": [], "usage": {**COUNTS, "cost": 0.1, "cost_details": {}}},
        ],
        "Hi",
        "hm",
        Usage(input=10, output=4),
    ),
    "fireworks": (
        [chunk({"content": "Hi"}), chunk({}, "stop", usage=COUNTS)],
        "Hi",
        "",
        Usage(input=10, output=4),
    ),
    "cerebras": (
        [chunk({"content": "Hi"}), chunk({}, "stop", usage=COUNTS, time_info={"queue_time": 0.1})],
        "Hi",
        "",
        Usage(input=10, output=4),
    ),
    "vllm": (
        [
            chunk({"role": "assistant", "content": ""}, usage={**COUNTS, "completion_tokens": 0}),
            chunk({"reasoning": "hm", "reasoning_content": "hm"}),
            chunk({"content": "Hi"}, usage={**COUNTS, "completion_tokens": 2}),
            chunk({"content": ""}, "stop", usage=COUNTS),
        ],
        "Hi",
        "hm",
        Usage(input=10, output=4),
    ),
    "llama.cpp": (
        [
            chunk({"reasoning_content": "hm"}),
            chunk({"content": "Hi"}),
            chunk({}, "stop", timings={"prompt_n": 1}),
            {"choices": [], "usage": COUNTS},
        ],
        "Hi",
        "hm",
        Usage(input=10, output=4),
    ),
}


@pytest.mark.parametrize("vendor", sorted(ANSWERS))
def test_what_comes_back_is_openais(upstream: FakeUpstream, vendor: str) -> None:
    events, text, thinking, usage = ANSWERS[vendor]
    upstream.answers(events=[*events, "[DONE]"], comments=vendor == "openrouter")
    outcome = play("openai", rich_call(vendor, base_url=upstream.url))
    assert outcome.error is None
    assert (outcome.joined(), outcome.joined("reasoning_content")) == (text, thinking)
    assert outcome.usage == usage
    assert outcome.finish_reasons() == {0: "length" if vendor == "mistral" else "stop"}
    for one in outcome.chunks:
        assert not {"usage", "x_groq", "id"} & one.payload.keys()
        assert all("reasoning" not in choice["delta"] for choice in one.payload["choices"])


def test_openrouters_error_in_the_middle_is_an_error(upstream: FakeUpstream) -> None:
    error = {"code": 502, "message": "Provider disconnected"}
    events = [chunk({"content": "Hi"}), chunk({"content": ""}, "error", error=error)]
    upstream.answers(events=events)
    outcome = play("openai", rich_call("openrouter", base_url=upstream.url))
    assert outcome.error is not None
    assert outcome.error.message == "Provider disconnected"


@pytest.mark.parametrize(
    ("flags", "asked", "param"),
    [
        ({"stops_max": 1}, {"stop": ["a", "b"]}, "stop"),
        (
            {"image_urls": False},
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}
                        ],
                    }
                ]
            },
            "messages[0].content[0].image_url.url",
        ),
        (
            {},
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "file", "file": {"file_data": "https://a.example/b.pdf"}}
                        ],
                    }
                ]
            },
            "messages[0].content[0].file.file_data",
        ),
        ({"params": ["stop"]}, {"tools": RICH["tools"]}, "tools"),
        ({"params": ["stop"]}, {"response_format": {"type": "json_object"}}, "response_format"),
        ({}, {"reasoning_effort": "enormous"}, "reasoning_effort"),
    ],
    ids=["stops", "image", "file", "tools", "format", "effort"],
)
def test_what_cannot_be_left_out_is_refused(
    upstream: FakeUpstream, flags: dict[str, Any], asked: dict[str, Any], param: str
) -> None:
    outcome = play("openai", make_call(upstream.url, capabilities=flags, **asked))
    assert getattr(outcome.error, "param", None) == param
    assert upstream.requests == 0


@pytest.mark.parametrize(
    ("flags", "asked", "sent", "warned"),
    [
        ({"temperature_max": 1}, {"temperature": 1.5}, {"temperature": 1}, ["temperature"]),
        ({"temperature_max": 1}, {"temperature": 1}, {"temperature": 1}, []),
        ({}, {"stop": ["", "x"]}, {"stop": ["x"]}, ["stop"]),
        ({}, {"stop": "x"}, {"stop": "x"}, []),
        ({}, {"reasoning": {"enabled": False}}, {"reasoning_effort": "none"}, []),
        (
            {},
            {"reasoning": {"max_tokens": 9, "exclude": True}},
            {"reasoning_effort": "medium"},
            ["reasoning.exclude", "reasoning.max_tokens"],
        ),
        (
            {"reasoning_format": "object"},
            {"reasoning": {"max_tokens": 9, "exclude": True}},
            {"reasoning": {"max_tokens": 9, "exclude": True}},
            [],
        ),
        (
            {"reasoning_format": "thinking"},
            {"reasoning_effort": "none"},
            {"thinking": {"type": "disabled"}, "reasoning_effort": None},
            [],
        ),
        ({"efforts": ["low"]}, {"reasoning_effort": "none"}, {}, ["reasoning_effort"]),
        ({"efforts": ["low"]}, {"reasoning_effort": "minimal"}, {"reasoning_effort": "low"}, []),
        ({"params": ["stop"]}, {"reasoning_effort": "low"}, {}, ["reasoning_effort"]),
        ({"max_tokens_field": "max_output"}, {}, {"max_output": 500, "max_tokens": None}, []),
        (
            {"params": []},
            {"parallel_tool_calls": True, "logprobs": False},
            {"parallel_tool_calls": None},
            [],
        ),
    ],
    ids=str,
)
def test_flags_shape_parameters(
    flags: dict[str, Any], asked: dict[str, Any], sent: dict[str, Any], warned: list[str]
) -> None:
    body, warnings = written_request(make_call(capabilities=flags, **asked))
    assert {name: body.get(name) for name in sent} == sent
    assert [warning.split(":")[0] for warning in warnings] == warned


def test_tools_with_free_text_become_functions_where_unknown() -> None:
    custom = {"type": "custom", "custom": {"name": "run"}}
    messages = [
        {"role": "user", "content": "Hi"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "a", "type": "custom", "custom": {"name": "run", "input": "ls"}}],
        },
        {"role": "tool", "tool_call_id": "a", "content": "b"},
    ]
    choice = {"type": "custom", "custom": {"name": "run"}}
    asked: dict[str, Any] = {"messages": messages, "tools": [custom], "tool_choice": choice}
    body, warnings = written_request(make_call(**asked))
    assert body["tools"][0]["function"]["parameters"]["required"] == ["input"]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "run"}}
    arguments = body["messages"][1]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(arguments) == {"input": "ls"}
    assert [warning.split(":")[0] for warning in warnings] == ["tools[0]"]
    body, warnings = written_request(make_call(capabilities={"custom_tools": True}, **asked))
    assert (body["tools"], body["tool_choice"], warnings) == ([custom], choice, ())


def test_cache_markers_reach_who_reads_them() -> None:
    hint = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    tool = {"type": "function", "function": {"name": "f"}, **hint}
    content = [{"type": "text", "text": "Long.", **hint}]
    asked: dict[str, Any] = {
        "messages": [{"role": "user", "content": content, **hint}],
        "tools": [tool],
    }
    body, warnings = written_request(make_call(capabilities={"cache_control": True}, **asked))
    assert (body["messages"], body["tools"]) == (asked["messages"], [tool])
    assert warnings == ()
    body, warnings = written_request(make_call(**asked))
    assert "cache_control" not in json.dumps(body)
    assert [warning.split(":")[0] for warning in warnings] == ["cache_control"]


def test_a_models_own_facts_come_on_top() -> None:
    facts = {"drop_params": ["seed"], "stops_max": 2}
    capabilities = {"drop_params": ["user"], "stops_max": 1}
    call = make_call(facts=facts, capabilities=capabilities, seed=1, user="u", stop=["a", "b"])
    body, _ = written_request(call)
    assert body["stop"] == ["a", "b"]
    assert not {"seed", "user"} & body.keys()


def test_every_flag_is_documented_with_its_default() -> None:
    text = (ROOT / "docs" / "adding-a-provider.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", text, re.MULTILINE))
    assert rows.keys() - {"model_rules", "native", "messages_base_url"} == NAMES
    for field in fields(Flags):
        if field.default in (True, False):
            assert rows[field.name] == str(field.default).lower(), field.name


def test_a_server_of_ones_own_gets_parts_as_they_came() -> None:
    """What is no object is left to the server to judge, here as in a list of calls."""
    messages = [
        {"role": "user", "content": ["Hi"]},
        {"role": "assistant", "content": "", "tool_calls": [None, {"type": "function"}]},
    ]
    body, _ = written_request(make_call(messages=messages, top_p=None))
    assert body["messages"] == messages
    assert "top_p" not in body


def test_nothing_said_of_thinking_says_nothing() -> None:
    body, _ = written_request(
        make_call(capabilities={"reasoning_format": "object"}, reasoning={"exclude": False})
    )
    assert "reasoning" not in body
    body, _ = written_request(make_call(capabilities={"reasoning_format": "object"}))
    assert "reasoning" not in body
