"""Counts of tokens that no request can have: they are not believed, in whichever dialect."""

from collections.abc import Callable
from typing import Any

import pytest

from solrouter.chat import Usage
from solrouter.providers.anthropic.usage import usage_from_anthropic
from solrouter.providers.counts import TOKENS_MAX
from solrouter.providers.google.usage import usage_from_google
from solrouter.providers.openai_compatible.usage import usage_from_openai

DIALECTS: dict[str, tuple[Callable[[Any], Usage | None], str, str]] = {
    "openai": (lambda usage: usage_from_openai(usage, {}), "prompt_tokens", "completion_tokens"),
    "anthropic": (usage_from_anthropic, "input_tokens", "output_tokens"),
    "google": (usage_from_google, "promptTokenCount", "candidatesTokenCount"),
}


@pytest.mark.parametrize(
    "beyond", [TOKENS_MAX + 1, 2**62, 1e300], ids=["a little", "2^62", "1e300"]
)
@pytest.mark.parametrize("side", [1, 2], ids=["input", "output"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_count_beyond_any_sense_is_not_believed(dialect: str, side: int, beyond: float) -> None:
    read, *names = DIALECTS[dialect]
    told: dict[str, Any] = dict.fromkeys(names, 7)
    believed = read(told)
    assert believed is not None
    assert (believed.prompt_tokens, believed.completion_tokens) == (7, 7)
    assert read({**told, names[side - 1]: beyond}) is None
