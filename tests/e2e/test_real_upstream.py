"""SolRouter before an OpenAI-compatible server that nobody here wrote: llama.cpp's own.

`make test-real` installs it and runs these, and the samples of the docs pages too. The weights are
a toy's, so what it says is not judged.
"""

from decimal import Decimal
from typing import Any

import pytest
from openai import BadRequestError, OpenAI

from tests.e2e.llama import CONTEXT_TOKENS, INPUT_NANOS, OUTPUT_NANOS, OUTPUT_TOKENS_MAX
from tests.e2e.place import Place

pytestmark = pytest.mark.real

HELLO: Any = [{"role": "user", "content": "Say hello to the reader."}]


def check_bill(place: Place, completion_id: str, usage: dict[str, Any]) -> None:
    """The provider's own count is what was billed, to the nanodollar."""
    assert usage["prompt_tokens"] > 0
    assert usage["completion_tokens"] > 0
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    nanos = usage["prompt_tokens"] * INPUT_NANOS + usage["completion_tokens"] * OUTPUT_NANOS
    assert Decimal(usage["cost_details"]["charge"]) == nanos * Decimal("1e-9")
    receipt = place.receipt(completion_id)
    assert Decimal(receipt["charge"]) == nanos * Decimal("1e-9")
    assert (receipt["usage_source"], receipt["provider_name"]) == ("upstream", "llama")


def test_a_whole_answer_is_billed(sdk: OpenAI, place: Place, llama_model: str) -> None:
    completion = sdk.chat.completions.create(model=llama_model, messages=HELLO, max_tokens=24)
    assert completion.model == llama_model
    assert completion.choices[0].message.content
    assert completion.choices[0].finish_reason in ("stop", "length")
    assert completion.usage is not None
    check_bill(place, completion.id, completion.usage.to_dict())


@pytest.mark.parametrize("asked", [False, True], ids=["usage unasked", "usage asked for"])
def test_a_stream_is_billed(sdk: OpenAI, place: Place, llama_model: str, *, asked: bool) -> None:
    with sdk.chat.completions.create(
        model=llama_model,
        messages=HELLO,
        max_tokens=24,
        stream=True,
        stream_options={"include_usage": asked},
    ) as stream:
        chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert [chunk for chunk in chunks if not chunk.choices] == ([chunks[-1]] if asked else [])
    assert {chunk.model for chunk in chunks} == {llama_model}
    assert chunks[-1].usage is not None
    check_bill(place, chunks[-1].id, chunks[-1].usage.to_dict())


def test_the_callers_limit_is_kept(sdk: OpenAI, llama_model: str) -> None:
    story: Any = [{"role": "user", "content": "Tell me a long story about a lighthouse."}]
    completion = sdk.chat.completions.create(model=llama_model, messages=story, max_tokens=5)
    assert completion.choices[0].finish_reason == "length"
    assert completion.usage is not None
    assert completion.usage.completion_tokens <= 5


def test_a_prompt_beyond_the_context_is_the_callers_fault(sdk: OpenAI, llama_model: str) -> None:
    endless: Any = [{"role": "user", "content": "lighthouse " * (2 * CONTEXT_TOKENS)}]
    with pytest.raises(BadRequestError) as caught:
        sdk.chat.completions.create(model=llama_model, messages=endless, max_tokens=5)
    assert caught.value.code == "context_length_exceeded"


def test_a_client_that_leaves_is_billed_for_what_it_had(
    sdk: OpenAI, place: Place, llama_model: str
) -> None:
    story: Any = [{"role": "user", "content": "Count from one to five hundred, in words."}]
    with sdk.chat.completions.create(
        model=llama_model, messages=story, max_tokens=OUTPUT_TOKENS_MAX, stream=True
    ) as stream:
        first = next(iter(stream))
    receipt = place.receipt(first.id)
    assert receipt["outcome"] == "cancelled"
    assert 0 < receipt["tokens_completion"] < OUTPUT_TOKENS_MAX
