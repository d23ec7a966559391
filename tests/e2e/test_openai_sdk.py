"""The official Python client finds what it knows from OpenAI: answers, streams, errors, headers."""

import asyncio
import json
from typing import Any

import pytest
from openai import (
    APIError,
    APIStatusError,
    AsyncOpenAI,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    NotFoundError,
    OpenAI,
    RateLimitError,
)
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel

from tests.e2e.place import DEMO_MODEL, TINY_MODEL, Place, browser, make_customer, sign_up, until
from tests.fakes.upstream import FakeUpstream
from tests.samples import DOCS_PAGES, samples

HELLO: Any = [{"role": "user", "content": "Hello!"}]
WRONG_KEY = "sr_" + "0" * 44
REQUESTS_PER_MINUTE_OF_FREE = 20
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather at a place.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


class City(BaseModel):
    """What the model is asked to fill in."""

    name: str
    inhabitants: int


def spoken(chunks: list[ChatCompletionChunk]) -> str:
    """The text of a stream."""
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


def cost_of(completion: ChatCompletion) -> float:
    """What `usage` says was charged."""
    assert completion.usage is not None
    cost: float = (completion.usage.model_extra or {})["cost"]
    return cost


# Answers.


@pytest.mark.parametrize("model", [DEMO_MODEL, TINY_MODEL])
def test_a_whole_answer(sdk: OpenAI, upstream: FakeUpstream, model: str) -> None:
    completion = sdk.chat.completions.create(model=model, messages=HELLO)
    assert completion.object == "chat.completion"
    assert completion.id.startswith("chatcmpl-")
    assert completion.model == model
    choice = completion.choices[0]
    assert (choice.index, choice.finish_reason, choice.message.role) == (0, "stop", "assistant")
    assert choice.message.content
    assert choice.message.tool_calls is None
    assert completion.usage is not None
    total = completion.usage.prompt_tokens + completion.usage.completion_tokens
    assert completion.usage.total_tokens == total > 0
    assert cost_of(completion) > 0


@pytest.mark.parametrize("model", [DEMO_MODEL, TINY_MODEL])
def test_a_stream_says_what_the_whole_answer_says(
    sdk: OpenAI, upstream: FakeUpstream, model: str
) -> None:
    whole = sdk.chat.completions.create(model=model, messages=HELLO)
    with sdk.chat.completions.create(model=model, messages=HELLO, stream=True) as stream:
        chunks = list(stream)
    assert spoken(chunks) == whole.choices[0].message.content
    assert len({chunk.id for chunk in chunks}) == 1
    assert {(chunk.object, chunk.model) for chunk in chunks} == {("chat.completion.chunk", model)}
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "stop"


@pytest.mark.parametrize("model", [DEMO_MODEL, TINY_MODEL])
def test_usage_unasked_is_on_the_finish_chunk_and_no_chunk_is_without_choices(
    sdk: OpenAI, upstream: FakeUpstream, model: str
) -> None:
    with sdk.chat.completions.create(model=model, messages=HELLO, stream=True) as stream:
        chunks = list(stream)
    assert all(chunk.choices for chunk in chunks)
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens > 0


@pytest.mark.parametrize("model", [DEMO_MODEL, TINY_MODEL])
def test_usage_asked_for_is_one_more_chunk_without_choices(
    sdk: OpenAI, upstream: FakeUpstream, model: str
) -> None:
    with sdk.chat.completions.create(
        model=model, messages=HELLO, stream=True, stream_options={"include_usage": True}
    ) as stream:
        *chunks, last = list(stream)
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.total_tokens > 0
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_the_clients_own_stream_reader_puts_the_answer_together(sdk: OpenAI) -> None:
    question: Any = [{"role": "user", "content": "Use get_weather, please."}]
    with sdk.chat.completions.stream(
        model=DEMO_MODEL, messages=question, tools=[WEATHER]
    ) as stream:
        completion = stream.get_final_completion()
    calls = completion.choices[0].message.tool_calls
    assert calls is not None
    assert json.loads(calls[0].function.arguments) == {"city": "example"}
    assert completion.choices[0].finish_reason == "tool_calls"


def test_the_asynchronous_client(place: Place) -> None:
    async def ask() -> str:
        async with AsyncOpenAI(base_url=place.served.api, api_key=place.key) as client:
            stream = await client.chat.completions.create(
                model=DEMO_MODEL, messages=HELLO, stream=True
            )
            return spoken([chunk async for chunk in stream])

    assert asyncio.run(ask()).startswith("You said: “Hello!”")


# What can be asked for.


def test_a_tool_is_called_and_its_result_answered(sdk: OpenAI) -> None:
    messages: Any = [{"role": "user", "content": "Call get_weather for me."}]
    first = sdk.chat.completions.create(model=DEMO_MODEL, messages=messages, tools=[WEATHER])
    assert first.choices[0].finish_reason == "tool_calls"
    said = first.choices[0].message
    assert said.content is None
    assert said.tool_calls is not None
    [call] = said.tool_calls
    assert call.type == "function"
    assert (call.function.name, call.function.arguments) == ("get_weather", '{"city":"example"}')

    result = {"role": "tool", "tool_call_id": call.id, "content": "Sunny, 21 degrees"}
    messages += [said.model_dump(exclude_none=True), result]
    second = sdk.chat.completions.create(model=DEMO_MODEL, messages=messages, tools=[WEATHER])
    assert second.choices[0].finish_reason == "stop"
    assert second.choices[0].message.content == "The tool answered: Sunny, 21 degrees"


def test_an_answer_is_parsed_into_a_model_of_the_callers(sdk: OpenAI) -> None:
    parsed = sdk.chat.completions.parse(
        model=DEMO_MODEL, messages=HELLO, response_format=City
    ).choices[0].message.parsed  # fmt: skip
    assert parsed == City(name="example", inhabitants=0)


def test_json_mode(sdk: OpenAI) -> None:
    completion = sdk.chat.completions.create(
        model=DEMO_MODEL, messages=HELLO, response_format={"type": "json_object"}
    )
    assert json.loads(completion.choices[0].message.content or "")["answer"]


def test_two_answers_at_once(sdk: OpenAI) -> None:
    completion = sdk.chat.completions.create(model=DEMO_MODEL, messages=HELLO, n=2)
    assert [choice.index for choice in completion.choices] == [0, 1]
    first, second = (choice.message.content for choice in completion.choices)
    assert first != second


def test_a_stop_sequence_ends_the_answer_before_it(sdk: OpenAI) -> None:
    completion = sdk.chat.completions.create(model=DEMO_MODEL, messages=HELLO, stop=["Hello"])
    assert completion.choices[0].message.content == "You said: “"
    assert completion.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("model", [DEMO_MODEL, TINY_MODEL])
def test_the_callers_limit_cuts_the_answer(
    sdk: OpenAI, upstream: FakeUpstream, model: str, name: str
) -> None:
    limit: Any = {name: 2}
    completion = sdk.chat.completions.create(model=model, messages=HELLO, **limit)
    assert completion.choices[0].finish_reason == "length"
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 2


@pytest.mark.parametrize("mount", ["/v1", "/v1/", "/ai", "/api/v1"])
def test_every_base_url_of_the_api(place: Place, mount: str) -> None:
    with OpenAI(base_url=place.served.url + mount, api_key=place.key) as client:
        completion = client.chat.completions.create(model=DEMO_MODEL, messages=HELLO)
    assert completion.choices[0].message.content


# Models.


def test_models_are_listed_each_once(sdk: OpenAI) -> None:
    ids = [model.id for model in sdk.models.list()]
    assert len(ids) == len(set(ids)) > 100
    assert {DEMO_MODEL, TINY_MODEL, "openai/gpt-4o-mini"} <= set(ids)


def test_every_model_of_the_quickstart_can_be_looked_up(sdk: OpenAI) -> None:
    table = (DOCS_PAGES / "quickstart.md").read_text().partition("## 7. Pick a model")[2]
    rows = [line.split("|") for line in table.partition("Browse")[0].splitlines()[4:] if line]
    ids = [cells[2].strip(" `") for cells in rows if len(cells) == 4][2:]
    assert len(ids) == 8
    for model_id in ids:
        model = sdk.models.retrieve(model_id)
        assert (model.id, model.object) == (model_id, "model")
        assert model.owned_by == model_id.partition("/")[0]


def test_an_unknown_model_cannot_be_looked_up(sdk: OpenAI) -> None:
    with pytest.raises(NotFoundError) as caught:
        sdk.models.retrieve("acme/none-such")
    assert caught.value.code == "model_not_found"


# Headers.


def test_headers_name_the_request_and_the_answer(sdk: OpenAI) -> None:
    answer = sdk.chat.completions.with_raw_response.create(model=DEMO_MODEL, messages=HELLO)
    assert answer.headers["X-Request-Id"] == answer.request_id
    assert answer.headers["X-Generation-Id"] == answer.parse().id


def test_a_limited_caller_sees_the_limit_come_and_is_told_how_long_to_wait(place: Place) -> None:
    key = make_customer(place.served, "pia@example.com", "--plan", "free", "--credit", "1")
    left = []
    with OpenAI(base_url=place.served.api, api_key=key, max_retries=0) as client:
        chat = client.chat.completions.with_raw_response
        with pytest.raises(RateLimitError) as caught:
            # The plan's whole minute at once, and all that it could refill meanwhile.
            for _ in range(2 * REQUESTS_PER_MINUTE_OF_FREE):
                headers = chat.create(model=DEMO_MODEL, messages=HELLO, max_tokens=20).headers
                left.append(int(headers["x-ratelimit-remaining-requests"]))
    assert left[:3] == [19, 18, 17]
    assert min(left) == 0
    assert headers["x-ratelimit-limit-requests"] == str(REQUESTS_PER_MINUTE_OF_FREE)
    assert headers["x-ratelimit-limit-tokens"] == "100000"
    assert 0 < int(headers["x-ratelimit-remaining-tokens"]) < 100_000
    assert headers["x-ratelimit-reset-requests"].endswith("s")
    assert (caught.value.code, caught.value.type) == ("requests_per_minute", "rate_limit_error")
    assert 1 <= int(caught.value.response.headers["Retry-After"]) <= 3


# Errors.


def test_a_wrong_key_is_refused_in_the_words_of_the_quickstart(place: Place) -> None:
    example = json.loads(samples(DOCS_PAGES / "quickstart.md")["error-body"].code)
    with (
        OpenAI(base_url=place.served.api, api_key=WRONG_KEY) as client,
        pytest.raises(AuthenticationError) as caught,
    ):
        client.chat.completions.create(model=DEMO_MODEL, messages=HELLO)
    assert caught.value.response.json() == {"error": {**example["error"], "param": None}}
    assert caught.value.code == "invalid_api_key"
    assert caught.value.type == "authentication_error"
    assert caught.value.request_id


@pytest.mark.parametrize(
    ("request_", "code", "param"),
    [
        ({"model": "acme/none-such", "messages": HELLO}, "model_not_found", "model"),
        ({"model": "openai/gpt-4o-mini", "messages": HELLO}, "model_unavailable", "model"),
        ({"model": DEMO_MODEL}, "missing_parameter", "messages"),
        ({"messages": HELLO}, "missing_parameter", "model"),
        ({"model": DEMO_MODEL, "messages": "Hello!"}, "invalid_request", "messages"),
    ],
    ids=[
        "unknown model",
        "unavailable model",
        "no messages",
        "no model",
        "messages of a wrong type",
    ],
)
def test_a_request_that_does_not_fit_is_refused_by_name(
    sdk: OpenAI, request_: dict[str, Any], code: str, param: str
) -> None:
    with pytest.raises(BadRequestError) as caught:
        sdk.post("/chat/completions", body=request_, cast_to=ChatCompletion)
    assert (caught.value.code, caught.value.param) == (code, param)
    assert caught.value.type == "invalid_request_error"


def test_an_empty_balance_is_refused_with_402(place: Place) -> None:
    with browser() as visitor:
        key = sign_up(place.served, "paula@example.com", visitor)
    with (
        OpenAI(base_url=place.served.api, api_key=key) as client,
        pytest.raises(APIStatusError) as caught,
    ):
        client.chat.completions.create(model=TINY_MODEL, messages=HELLO)
    assert caught.value.status_code == 402
    assert (caught.value.code, caught.value.type) == (
        "insufficient_balance",
        "insufficient_credits",
    )
    assert caught.value.response.headers["x-should-retry"] == "false"


def test_a_path_that_is_not_there_is_refused_in_the_same_shape(sdk: OpenAI) -> None:
    with pytest.raises(NotFoundError) as caught:
        sdk.embeddings.create(model=DEMO_MODEL, input="Hello!")
    assert (caught.value.code, caught.value.type) == ("not_found", "invalid_request_error")


def test_a_provider_that_fails_is_a_502(sdk: OpenAI, upstream: FakeUpstream) -> None:
    upstream.answers(status=500)
    with pytest.raises(InternalServerError) as caught:
        sdk.chat.completions.create(model=TINY_MODEL, messages=HELLO)
    assert caught.value.status_code == 502
    assert (caught.value.code, caught.value.type) == ("upstream_error", "upstream_error")


# Streams that do not reach their end.


def test_a_stream_that_breaks_off_raises(sdk: OpenAI, place: Place, upstream: FakeUpstream) -> None:
    upstream.streams("One", " two", " three", cut_after_events=3)
    seen = []
    with (
        sdk.chat.completions.create(model=TINY_MODEL, messages=HELLO, stream=True) as stream,
        pytest.raises(APIError) as caught,
    ):
        seen.extend(stream)
    assert spoken(seen) == "One two"
    assert (caught.value.code, caught.value.type) == ("upstream_error", "upstream_error")
    receipt = place.receipt(seen[0].id)
    assert (receipt["outcome"], receipt["charge"]) == ("failed", "0")


def test_a_client_that_leaves_pays_for_what_it_had(
    sdk: OpenAI, place: Place, upstream: FakeUpstream
) -> None:
    upstream.streams(*["word "] * 2000, stall_between_s=0.02)
    with sdk.chat.completions.create(model=TINY_MODEL, messages=HELLO, stream=True) as stream:
        first = next(iter(stream))
    upstream.wait_for(lambda: upstream.aborted)
    receipt = place.receipt(first.id)
    assert (receipt["outcome"], receipt["reason"]) == ("cancelled", "client_left")
    assert 0 < receipt["tokens_completion"] < 1000


def test_a_client_that_leaves_the_demo_is_noticed_too(sdk: OpenAI, place: Place) -> None:
    question: Any = [{"role": "user", "content": "long " * 60}]
    with sdk.chat.completions.create(model=DEMO_MODEL, messages=question, stream=True) as stream:
        first = next(iter(stream))
    assert until(lambda: place.receipt(first.id))["outcome"] == "cancelled"
