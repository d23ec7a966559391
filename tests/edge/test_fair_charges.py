"""What looks like use and is none: our own pauses, others' failures, what never arrived."""

from collections.abc import Callable
from dataclasses import replace

from flask import Flask
from sqlalchemy import select, update

from solrouter import database, tokens
from solrouter.models import Completion, Plan
from solrouter.services import admission, catalogue
from tests.edge.test_chat import balance, chunks, newest, post, text_of
from tests.factories import make_offer, make_person
from tests.fakes.upstream import FakeUpstream
from tests.services.test_admission import ask

FIVE = 5_000_000_000
QUIET = {"SOLROUTER_KEEP_ALIVE_S": "0.1"}
ORDER = {"order": ["first", "second"]}


def write_off(app: Flask) -> int:
    with app.app_context(), database.read() as connection:
        newest_first = select(Completion.write_off_nanos).order_by(Completion.id.desc())
        return int(connection.execute(newest_first).scalars().first() or 0)


def test_the_silence_of_one_who_failed_is_not_charged(make_app: Callable[..., Flask]) -> None:
    app = make_app(**QUIET, SOLROUTER_FIRST_TOKEN_S="2")
    alice = make_person(app, "alice@example.com", credit="5.00")
    with FakeUpstream() as first, FakeUpstream() as second:
        offered = make_offer(app, first.url, provider="first")
        make_offer(app, second.url, provider="second")
        first.streams("never", stall_before_s=60)
        second.streams("never", stall_before_s=60)
        answer = post(app.test_client(), alice, offered, stream=True, provider=ORDER)
        for _ in answer.response:
            if second.requests:
                break
        answer.close()
    assert newest(app, alice).completion_tokens == 0


def test_a_hold_grows_at_the_price_of_whoever_serves(make_app: Callable[..., Flask]) -> None:
    app = make_app()
    bob = make_person(app, "bob@example.com", credit="3.00")
    size = {"max_output": 20_000, "context": 200_000}
    with FakeUpstream() as first, FakeUpstream() as second:
        dear = {"input_usd": "10", "output_usd": "100", **size}
        offered = make_offer(app, first.url, provider="first", **dear)
        make_offer(app, second.url, provider="second", input_usd="1", output_usd="1", **size)
        second.answers(status=500)
        first.answers(status=429, retry_after=1, times=1)
        first.streams(*["word " * 400] * 40, usage=(10, 18_000), ignore_max_tokens=True)
        with app.app_context():
            offers = catalogue.fresh().models[offered].offers
            offer = next(offer for offer in offers if offer.provider_slug == "first")
            other = replace(ask(bob, output_limit=24_000, prompt_bound=0), offer=offer)
            admission.admit(other)
        said = chunks(post(app.test_client(), bob, offered, stream=True, provider=ORDER))
    assert said[-1]["choices"][0]["finish_reason"] == "length"
    assert write_off(app) == 0


def test_what_cannot_be_paid_is_neither_delivered_nor_charged(
    make_app: Callable[..., Flask],
) -> None:
    app = make_app()
    bob = make_person(app, "bob@example.com", credit="0.05")
    with FakeUpstream() as first:
        offered = make_offer(app, first.url, output_usd="2", max_output=100_000, context=200_000)
        with app.app_context():
            offer = catalogue.fresh().models[offered].offers[0]
            other = replace(ask(bob, output_limit=15_000, prompt_bound=0), offer=offer)
            admission.admit(other)
        first.streams(*["word " * 1_000] * 40, usage_mode="none", ignore_max_tokens=True)
        said = chunks(post(app.test_client(), bob, offered, stream=True))
    receipt = newest(app, bob)
    assert (receipt.outcome, receipt.reason) == ("stopped", "balance")
    assert receipt.completion_tokens == tokens.count(text_of(said)) > 4_000
    assert write_off(app) == 0


def test_a_file_holds_what_its_pages_may_be(make_app: Callable[..., Flask]) -> None:
    """A few bytes of PDF are hundreds of pages, and who sends them pays for them: nobody else."""
    app = make_app()
    bob = make_person(app, "bob@example.com", credit="1.00")
    pdf = {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0="}}
    asked = {"messages": [{"role": "user", "content": [pdf]}], "max_tokens": 20}
    with FakeUpstream() as first:
        offered = make_offer(app, first.url, input_usd="3", context=200_000)
        first.answers(text="Long", usage=(180_000, 10))
        answers = [
            app.test_client().post(
                "/v1/chat/completions", json={"model": offered, **asked}, headers=bob.bearer
            )
            for _ in range(2)
        ]
        assert [answer.status_code for answer in answers] == [200, 402]
        assert first.requests == 1
    assert write_off(app) == 0
    assert balance(app, bob).posted_nanos == 1_000_000_000 - 180_000 * 3_000 - 10 * 2_000


def test_a_file_takes_its_usual_part_of_the_token_limits(make_app: Callable[..., Flask]) -> None:
    """Its bound is the whole context, which a small plan could never take."""
    app = make_app()
    bob = make_person(app, "bob@example.com", credit="5.00")
    with app.app_context():
        small = update(Plan).values(tokens_per_minute=50_000)
        database.transact(lambda connection: connection.execute(small).rowcount)
    pdf = {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0="}}
    asked = {"messages": [{"role": "user", "content": [pdf]}], "max_tokens": 20}
    with FakeUpstream() as first:
        offered = make_offer(app, first.url, context=200_000)
        first.answers(text="Short", usage=(2_000, 10))
        body = {"model": offered, **asked}
        answer = app.test_client().post("/v1/chat/completions", json=body, headers=bob.bearer)
    assert answer.status_code == 200, answer.json


def test_max_cost_is_the_most_whatever_the_upstream_says(make_app: Callable[..., Flask]) -> None:
    app = make_app()
    alice = make_person(app, "alice@example.com", credit="5.00")
    with FakeUpstream() as first:
        offered = make_offer(app, first.url)
        first.answers(text="Hi", usage=(100, 5_000))
        answer = post(app.test_client(), alice, offered, max_tokens=5, max_cost="0.0005")
    assert answer.json["usage"]["cost"] == 0.0005
    assert balance(app, alice).available_nanos == FIVE - 500_000


def test_an_error_after_the_admission_names_its_receipt_and_its_route(
    make_app: Callable[..., Flask],
) -> None:
    app = make_app()
    alice = make_person(app, "alice@example.com", credit="5.00")
    with FakeUpstream() as first:
        offered = make_offer(app, first.url, provider="first")
        first.answers(status=401)
        headers = {**alice.bearer, "X-SolRouter-Explain": "1"}
        body = {"model": offered, "messages": [{"role": "user", "content": "Hi"}]}
        answer = app.test_client().post("/v1/chat/completions", json=body, headers=headers)
    assert answer.status_code == 502
    assert answer.headers["X-Generation-Id"] == newest(app, alice).id
    assert "tried: first=upstream_auth" in answer.headers["X-SolRouter-Route"]


def test_a_refusal_of_one_dialect_is_not_the_end(make_app: Callable[..., Flask]) -> None:
    app = make_app()
    alice = make_person(app, "alice@example.com", credit="5.00")
    with FakeUpstream() as first, FakeUpstream() as second:
        offered = make_offer(app, first.origin, provider="first", kind="anthropic")
        make_offer(app, second.url, provider="second")
        second.answers(text="Hi", usage=(10, 1))
        functions = [{"name": "look", "parameters": {"type": "object"}}]
        answer = post(app.test_client(), alice, offered, functions=functions, provider=ORDER)
        assert first.requests == 0
    assert answer.json["choices"][0]["message"]["content"] == "Hi"


def test_a_prompt_too_long_for_one_goes_to_another(make_app: Callable[..., Flask]) -> None:
    app = make_app()
    alice = make_person(app, "alice@example.com", credit="5.00")
    text = [{"role": "user", "content": "word " * 5_000}]
    with FakeUpstream() as first:
        offered = make_offer(app, first.url, context=1_000)
        answer = post(app.test_client(), alice, offered, messages=text)
        assert first.requests == 0
    assert (answer.status_code, answer.json["error"]["code"]) == (400, "context_length_exceeded")
