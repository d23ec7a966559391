"""The vendors' own packages as clients of the fake: it speaks the real dialects."""

from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import errors, types

from tests.fakes.upstream import FakeUpstream

CALLS = [
    {"id": "c1", "name": "weather", "arguments": {"city": "Zürich", "days": 3}},
    {"id": "c2", "name": "clock", "arguments": {}},
]
ANSWER: dict[str, Any] = {
    "text": "Grüezi 世界 👋",
    "reasoning": "let me think",
    "tool_calls": CALLS,
    "usage": (20, 9),
    "cached_tokens": 5,
    "signature": "c2lnbmVk",
    "pings": True,
}
ASKED: list[Any] = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def fluent(upstream: FakeUpstream) -> FakeUpstream:
    upstream.answers(**ANSWER)
    return upstream


@pytest.fixture
def claude(upstream: FakeUpstream) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(api_key="k", base_url=upstream.origin, max_retries=0) as client:
        yield client


@pytest.fixture
def gpt(upstream: FakeUpstream) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="k", base_url=upstream.url, max_retries=0) as client:
        yield client


@pytest.fixture
def gemini(upstream: FakeUpstream) -> Iterator[genai.Client]:
    client = genai.Client(api_key="k", http_options=types.HttpOptions(base_url=upstream.origin))
    yield client
    client.close()


def test_anthropics_own_client(fluent: FakeUpstream, claude: anthropic.Anthropic) -> None:
    asked: dict[str, Any] = {"model": "claude-x", "max_tokens": 100, "messages": ASKED}
    whole = claude.messages.create(**asked)
    with claude.messages.stream(**asked) as stream:
        streamed = stream.get_final_message()
    for message in (whole, streamed):
        thinking, text, *calls = [block.to_dict() for block in message.content]
        assert (thinking["thinking"], thinking["signature"]) == ("let me think", "c2lnbmVk")
        assert text["text"] == ANSWER["text"]
        assert [(call["id"], call["name"], call["input"]) for call in calls] == [
            (call["id"], call["name"], call["arguments"]) for call in CALLS
        ]
        assert message.stop_reason == "tool_use"
        assert (message.usage.input_tokens, message.usage.output_tokens) == (15, 9)
        assert message.usage.cache_read_input_tokens == 5


def test_geminis_own_client(fluent: FakeUpstream, gemini: genai.Client) -> None:
    whole = [gemini.models.generate_content(model="gemini-x", contents="Hi")]
    streamed = list(gemini.models.generate_content_stream(model="gemini-x", contents="Hi"))
    for answers in (whole, streamed):
        candidates = [one.candidates[0] for one in answers if one.candidates]
        parts = [part for c in candidates if c.content for part in c.content.parts or ()]
        thoughts = "".join(part.text or "" for part in parts if part.thought)
        text = "".join(part.text or "" for part in parts if not part.thought)
        assert (thoughts, text) == ("let me think", ANSWER["text"])
        called = [part for part in parts if part.function_call]
        assert [
            (p.function_call.name, p.function_call.args) for p in called if p.function_call
        ] == [(call["name"], call["arguments"]) for call in CALLS]
        assert [part.thought_signature for part in called] == [b"signed", None]
        assert candidates[-1].finish_reason == types.FinishReason.STOP
        usage = answers[-1].usage_metadata
        assert usage is not None
        assert (usage.prompt_token_count, usage.total_token_count) == (20, 29)
        assert (usage.thoughts_token_count, usage.cached_content_token_count) == (3, 5)


def test_openais_own_client(fluent: FakeUpstream, gpt: openai.OpenAI) -> None:
    whole = gpt.chat.completions.create(model="gpt-x", messages=ASKED)
    with gpt.chat.completions.stream(
        model="gpt-x", messages=ASKED, stream_options={"include_usage": True}
    ) as stream:
        streamed = stream.get_final_completion()
    for completion in (whole, streamed):
        message = completion.choices[0].message
        assert message.content == ANSWER["text"]
        calls = [call for call in message.tool_calls or () if call.type == "function"]
        assert [(call.id, call.function.name) for call in calls] == [
            (call["id"], call["name"]) for call in CALLS
        ]
        assert calls[0].function.arguments == '{"city":"Zürich","days":3}'
        assert completion.choices[0].finish_reason == "tool_calls"
        assert completion.usage is not None
        assert completion.usage.total_tokens == 29


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
def test_errors_are_the_vendors_own(
    upstream: FakeUpstream,
    claude: anthropic.Anthropic,
    gpt: openai.OpenAI,
    gemini: genai.Client,
    status: int,
) -> None:
    upstream.answers(status=status)
    with pytest.raises(anthropic.APIStatusError) as of_claude:
        claude.messages.create(model="m", max_tokens=1, messages=ASKED)
    with pytest.raises(openai.APIStatusError) as of_gpt:
        gpt.chat.completions.create(model="m", messages=ASKED)
    with pytest.raises(errors.APIError) as of_gemini:
        gemini.models.generate_content(model="m", contents="Hi")
    assert (of_claude.value.status_code, of_gpt.value.status_code) == (status, status)
    assert of_gemini.value.code == status


def test_an_error_in_a_stream_raises(
    upstream: FakeUpstream, claude: anthropic.Anthropic, gpt: openai.OpenAI
) -> None:
    upstream.streams("a", "b", error_event=(1, {"message": "Broke."}), counting="content")
    with (
        pytest.raises(anthropic.APIStatusError),
        claude.messages.stream(model="m", max_tokens=9, messages=ASKED) as stream,
    ):
        stream.get_final_message()
    with pytest.raises(openai.APIError):
        list(gpt.chat.completions.create(model="m", messages=ASKED, stream=True))
