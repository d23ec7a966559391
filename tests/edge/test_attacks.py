"""What somebody may try who wants answers for nothing, in short; each attempt is paid for."""

from flask import Flask
from flask.testing import FlaskClient

from tests.edge.test_chat import balance, chunks, newest, post
from tests.factories import Person, make_offer
from tests.fakes.upstream import FakeUpstream

FIVE = 5_000_000_000


def test_leaving_before_the_first_token_of_a_silent_model_is_not_free(
    app: Flask, client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    """A thousand of these must cost a thousand times what one does: prompt and thinking time."""
    upstream.streams("late", reasoning="hm " * 50, stall_between_s=0.02)
    charges = []
    for _ in range(10):
        answer = post(client, alice, offered, stream=True, messages=long_prompt())
        next(iter(answer.response))
        answer.close()
        charges.append(newest(app, alice).charge_nanos)
    assert min(charges) >= 2_000 * 1_000
    assert balance(app, alice).posted_nanos == FIVE - sum(charges)


def test_a_stop_at_the_first_token_of_a_huge_prompt_costs_the_prompt(
    app: Flask, client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.answers(text="", usage=(50_000, 1), finish_reason="stop")
    post(client, alice, offered, stop=["a"], messages=long_prompt())
    assert balance(app, alice).posted_nanos == FIVE - 50_000_000 - 2_000


def test_a_limit_that_only_reasoning_fills_costs_that_reasoning(
    app: Flask, client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 500,
        "total_tokens": 510,
        "completion_tokens_details": {"reasoning_tokens": 500},
    }
    upstream.answers(text="", usage=usage, finish_reason="length")
    answer = post(client, alice, offered, max_tokens=500)
    assert answer.json["usage"]["completion_tokens_details"]["reasoning_tokens"] == 500
    assert balance(app, alice).posted_nanos == FIVE - 10_000 - 1_000_000


def test_a_key_in_many_hands_spends_no_more_than_its_account_has(
    app: Flask, client: FlaskClient, bob: Person, upstream: FakeUpstream
) -> None:
    from tests.factories import fund

    offered = make_offer(app, upstream.url)
    with app.app_context():
        fund(bob.account_id, "0.01")
    upstream.streams("x", usage=(10, 100_000), ignore_max_tokens=True)
    answers = [post(client, bob, offered, stream=True, max_tokens=300) for _ in range(20)]
    statuses = {answer.status_code for answer in answers if answer.get_data()}
    assert balance(app, bob).posted_nanos >= 0
    assert statuses <= {200, 402, 429}
    assert 200 in statuses


def test_asking_for_usage_by_event_is_billed_once(
    app: Flask, client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.streams(*["word "] * 40, usage=(12, 40), usage_mode="every_chunk")
    chunks(post(client, alice, offered, stream=True))
    assert balance(app, alice).posted_nanos == FIVE - 12_000 - 80_000


def long_prompt() -> list[dict[str, str]]:
    """About two thousand tokens."""
    return [{"role": "user", "content": "word " * 2_000}]
