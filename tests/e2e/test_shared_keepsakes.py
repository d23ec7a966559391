"""Two servers of one installation: what one was given to keep, the next turn finds at the other."""

from collections.abc import Callable
from typing import Any

import pytest
from openai import OpenAI

from solrouter import create_app
from tests.conftest import close, settings
from tests.factories import make_offer, make_person
from tests.fakes.upstream import FakeUpstream
from tests.served import Served

pytestmark = pytest.mark.postgresql

TOOLS: Any = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
CALL = {"id": "call_1", "name": "f", "arguments": '{"a": 1}'}
MODELS = {"google": "gemini-3.5-pro", "anthropic": "claude-sonnet-4-5"}


@pytest.fixture
def servers(serve: Callable[..., Served], postgresql_url: str) -> list[Served]:
    return [serve(postgresql_url, SOLROUTER_LEASE_S="3") for _ in range(2)]


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("kind", MODELS)
def test_a_plain_clients_next_turn_is_signed_wherever_it_lands(
    servers: list[Served], postgresql_url: str, tmp_path: Any, kind: str, stream: bool
) -> None:
    app = create_app(settings(postgresql_url, tmp_path))
    with FakeUpstream() as upstream:
        model = make_offer(
            app, upstream.origin, model=f"of/{kind}", kind=kind, upstream=MODELS[kind]
        )
        alice = make_person(app, "alice@example.com", credit="5.00", plan="unlimited")
        bob = make_person(app, "bob@example.com", credit="5.00", plan="unlimited")
        close(app)
        upstream.answers(tool_calls=[CALL], reasoning="hm", signature="c2ln")
        messages: list[Any] = [{"role": "user", "content": "Do it."}]
        asked = {"model": model, "tools": TOOLS, "max_tokens": 4000, "reasoning_effort": "low"}
        with OpenAI(base_url=servers[0].api, api_key=alice.key_text, max_retries=0) as client:
            answer = client.chat.completions.create(messages=messages, stream=stream, **asked)
            messages.append(plain(answer))
        messages.append({"role": "tool", "tool_call_id": "call_1", "content": "ok"})
        signed = {}
        for person in (alice, bob):
            with OpenAI(base_url=servers[1].api, api_key=person.key_text, max_retries=0) as client:
                client.chat.completions.create(messages=messages, **asked)
            signed[person.email] = "c2ln" in upstream.last.raw.decode()
    assert signed == {alice.email: True, bob.email: False}


def plain(answer: Any) -> dict[str, Any]:
    """The turn as a client keeps it that knows nothing but OpenAI's schema."""
    if not hasattr(answer, "choices"):
        for _ in answer:
            pass
    call = {"name": CALL["name"], "arguments": CALL["arguments"]}
    told = {"id": CALL["id"], "type": "function", "function": call}
    return {"role": "assistant", "content": None, "tool_calls": [told]}
