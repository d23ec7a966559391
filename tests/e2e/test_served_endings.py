"""How a request can end, and what it costs, through the served app: DESIGN's table row by row.

Each row on SQLite and on PostgreSQL, streamed and not, with the official client or a plain socket,
which can leave. A customer whose credit is LITTLE asks for one piece and is served from a stream,
since the hold has to grow. After each test the books are proven (`Customer.receipts`). The
row "our own fault, crash or shutdown" is in test_shutdown and test_faults.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from bench.faults.client import Answer
from solrouter import tokens
from solrouter.services.admission import OUTPUT_TOKENS_ASSUMED
from tests.e2e.fault_matrix import ask
from tests.e2e.place import until
from tests.e2e.scene import INPUT_NANOS, OUTPUT_NANOS, WAIT_S, Customer, Scene, open_scene

SETTINGS = {
    "SOLROUTER_KEEP_ALIVE_S": "1.1",
    "SOLROUTER_UNRECOVERED_PER_DAY": "0.0001",
    "SOLROUTER_UNRECOVERED_PERCENT": "0",
}
ALLOWANCE_NANOS = 100_000
# Four holds of the longest answer do not fit, eight of a shorter one do.
LITTLE = "0.06"
ABORTED_WITHIN_S = 2.0
# Of upstreams that stall, and of our own total; a busy machine must come to the content within it.
HASTE = {"first_token_s": 1.0, "between_chunks_s": 1.0}
TOTAL_S = 4.0
STALL_S = 30.0
FORTY_WORDS = ["word "] * 40
LONG_PROMPT = "word " * 2_000
KEEP_ALIVE = b": keep-alive\n"
SILENT_TOKENS_PER_S = 50
Script = Mapping[str, Any]

both_ways = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])


@pytest.fixture(scope="module")
def scene(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for all of these, on each database."""
    with open_scene(kind, tmp_path_factory.mktemp("endings"), **SETTINGS) as found:
        yield found
        assert "Traceback" not in found.served.log


@pytest.fixture
def customer(scene: Scene) -> Customer:
    return scene.customer()


def nanos(prompt_tokens: int, completion_tokens: int) -> int:
    return prompt_tokens * INPUT_NANOS + completion_tokens * OUTPUT_NANOS


def usd(nanos: int) -> float:
    return nanos / 1_000_000_000


def details(prompt: int, completion: int, **more: Any) -> Script:
    """Usage as OpenAI tells it."""
    total = prompt + completion
    return {
        "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total, **more,
    }  # fmt: skip


# Finished, with usage: that usage, exactly.

REASONED = {"completion_tokens_details": {"reasoning_tokens": 500}}
EVERY_CLASS = details(
    1_000,
    50,
    prompt_tokens_details={
        "cached_tokens": 300, "cache_write_tokens": 200, "audio_tokens": 100, "image_tokens": 50,
    },
    completion_tokens_details={"reasoning_tokens": 20, "audio_tokens": 5, "image_tokens": 4},
)  # fmt: skip
FINISHED: Mapping[str, tuple[Script, Mapping[str, int]]] = {
    **{
        reason: (
            {"text": "Hi", "usage": (100, 10), "finish_reason": reason},
            {"input": 100, "output": 10},
        )
        for reason in ("stop", "length", "content_filter", "tool_calls")
    },
    "a stop sequence at once": (
        {"text": "", "usage": (50, 1), "finish_reason": "stop"},
        {"input": 50, "output": 1},
    ),
    "nothing but reasoning": (
        {
            "text": "",
            "reasoning": "hm " * 20,
            "usage": details(10, 500, **REASONED),
            "finish_reason": "length",
        },
        {"input": 10, "output": 500, "reasoning": 500},
    ),
    "every class": (
        {"text": "Hi", "usage": EVERY_CLASS, "finish_reason": "stop"},
        {
            "input": 350, "cache_read": 300, "cache_write_5m": 200, "input_audio": 100,
            "input_image": 50, "output": 41, "output_audio": 5, "output_image": 4, "reasoning": 20,
        },
    ),
}  # fmt: skip


@both_ways
@pytest.mark.parametrize("case", FINISHED)
def test_finished_with_usage_costs_that_usage(
    scene: Scene, customer: Customer, case: str, *, stream: bool
) -> None:
    script, classes = FINISHED[case]
    said = customer.ask(scene.offer(**script), stream=stream, max_tokens=1_000)
    assert said.error is None
    [row] = customer.receipts()
    assert (row.outcome, row.reason) == ("finished", script["finish_reason"])
    assert (row.usage_source, row.usage) == ("upstream", classes)
    assert row.charge_nanos == nanos(row.prompt_tokens, row.completion_tokens)
    assert float(said.charge or 0) == usd(row.charge_nanos)


# Finished, no usage: our own count.

NO_USAGE: Mapping[str, Script] = {
    **{mode: {"usage_mode": mode} for mode in ("none", "null", "negative", "absurd")},
    "2^62": {"usage": details(2**62, 2**62)},
}


@both_ways
@pytest.mark.parametrize("case", NO_USAGE)
def test_finished_without_usage_costs_our_count(
    scene: Scene, customer: Customer, case: str, *, stream: bool
) -> None:
    customer.ask(scene.offer(pieces=FORTY_WORDS, **NO_USAGE[case]), stream=stream)
    [row] = customer.receipts()
    assert (row.outcome, row.usage_source) == ("finished", "estimated")
    assert row.completion_tokens == tokens.count("".join(FORTY_WORDS))
    assert 0 < row.prompt_tokens < 20


@both_ways
@pytest.mark.parametrize(
    ("told", "source"), [(2, "upstream"), (1, "estimated"), (0, "estimated")],
    ids=["by both", "by one", "by none"],
)  # fmt: skip
def test_of_several_calls_only_those_are_estimated_that_did_not_tell(
    scene: Scene, customer: Customer, told: int, source: str, *, stream: bool
) -> None:
    """Anthropic's dialect makes one choice at a time, so that two are two calls."""
    model = scene.offer(kind="anthropic")
    for number in range(2):
        tells = {"usage": (500, 7)} if number < told else {"usage_mode": "none"}
        scene.plays(model, times=1, pieces=FORTY_WORDS, **tells)
    said = customer.ask(model, stream=stream, n=2)
    assert said.error is None
    [row] = customer.receipts()
    counted = tokens.count("".join(FORTY_WORDS * (2 - told)))
    assert row.usage_source == source
    assert row.completion_tokens == told * 7 + counted
    assert told * 500 <= row.prompt_tokens < told * 500 + (2 - told) * 20 + 1


# The client left.


@both_ways
def test_who_leaves_pays_the_usage_that_was_seen(
    scene: Scene, customer: Customer, *, stream: bool
) -> None:
    """Not streamed it is seen where the answer is put together from a stream."""
    customer = customer if stream else scene.customer(LITTLE)
    usage = {"usage": (12, 9), "usage_mode": "every_chunk"}
    model = scene.offer(pieces=["word "], endless=True, stall_between_s=0.05, **usage)
    if stream:
        leave(customer, model, when=lambda answer: answer.data.count(b"word") >= 3)
    else:
        leave_after(scene, customer, model, 1.0)
    [row] = customer.receipts()
    assert (row.outcome, row.usage_source) == ("cancelled", "upstream")
    # The provider tells running totals.
    assert (row.prompt_tokens, row.charge_nanos) == (12, nanos(12, row.completion_tokens))
    assert 0 < row.completion_tokens <= 9
    assert_aborted(scene, model)


@both_ways
def test_who_leaves_pays_for_reasoning(scene: Scene, customer: Customer, *, stream: bool) -> None:
    customer = customer if stream else scene.customer(LITTLE)
    model = scene.offer(reasoning="hm " * 2_000, stall_between_s=0.02)
    if stream:
        leave(customer, model, when=lambda answer: answer.data.count(b"hm") >= 20)
    else:
        leave_after(scene, customer, model, 1.0)
    [row] = customer.receipts()
    assert (row.outcome, row.usage_source) == ("cancelled", "estimated")
    assert 10 <= row.completion_tokens < 400
    assert_aborted(scene, model)


@both_ways
def test_who_leaves_a_silent_upstream_pays_for_its_time(
    scene: Scene, customer: Customer, *, stream: bool
) -> None:
    model = scene.offer(stall_before_s=STALL_S)
    leave_after(scene, customer, model, 1.5, stream=stream)
    [row] = customer.receipts()
    assert (row.outcome, row.usage_source) == ("cancelled", "estimated")
    assert SILENT_TOKENS_PER_S <= row.completion_tokens <= SILENT_TOKENS_PER_S * WAIT_S
    assert_aborted(scene, model)


def test_who_leaves_in_our_own_pause_pays_nothing(scene: Scene, customer: Customer) -> None:
    """Nobody is being asked: we wait as the provider told us to."""
    model = scene.offer(status=429, retry_after=4)
    leave(customer, model, when=lambda answer: KEEP_ALIVE in answer.data)
    [row] = customer.receipts()
    assert (row.outcome, row.charge_nanos, row.completion_tokens) == ("cancelled", 0, 0)


# Before the first content: nothing, and the next offer is tried.

BEFORE: Mapping[str, Script] = {
    "refused": {"status": 401},
    "failed": {"status": 500},
    "timed out": {"stall_before_s": STALL_S},
    "cut": {"cut_after_events": 0, "counting": "content"},
    "garbage": {"garbage": True},
    "an error": {"error_body": {"message": "Something broke."}},
    "neither reason nor token": {"empty": True, "no_finish": True, "no_done": True},
}


@both_ways
@pytest.mark.parametrize("case", BEFORE)
def test_a_fault_before_content_costs_nothing(
    scene: Scene, customer: Customer, case: str, *, stream: bool
) -> None:
    model = scene.offer(**BEFORE[case])
    if case == "timed out":
        scene.change_offers(model, deadlines={**HASTE, "total_s": 1.0})
    said = customer.ask(model, stream=stream)
    assert said.text == ""
    assert said.error is not None
    [row] = customer.receipts()
    assert (row.outcome, row.charge_nanos) == ("failed", 0)


@both_ways
@pytest.mark.parametrize("case", BEFORE)
def test_the_next_one_is_tried_and_alone_paid_for(
    scene: Scene, customer: Customer, case: str, *, stream: bool
) -> None:
    model = scene.offer(**BEFORE[case])
    if case == "timed out":
        scene.change_offers(model, deadlines=HASTE)
    scene.offer(model=model, text="Hi", usage=(100, 10))
    said = customer.ask(model, stream=stream)
    assert said.text == "Hi"
    [row] = customer.receipts()
    assert (row.outcome, row.charge_nanos) == ("finished", nanos(100, 10))
    failed, served = customer.told(said.id)["attempts"]
    assert failed["error"]
    assert served["error"] is None


def test_every_attempt_is_kept_with_what_it_cost_us(scene: Scene, customer: Customer) -> None:
    told = {"choices": [], "usage": details(1_000, 0)}
    model = scene.offer(events=[told], no_done=True)
    scene.offer(model=model, text="Hi", usage=(100, 10))
    said = customer.ask(model, stream=True)
    assert said.text == "Hi"
    [row] = customer.receipts()
    assert row.charge_nanos == nanos(100, 10)
    assert row.upstream_cost_nanos == nanos(1_000, 0) + nanos(100, 10)
    assert len(customer.told(said.id)["attempts"]) == 2


# After content: nothing within the daily allowance, beyond it what was delivered.

AFTER: Mapping[str, Script] = {
    "cut": {"cut_after_events": 3},
    "cut in an event": {"cut_after_events": 3, "cut_mid_event": True},
    "stalled": {"stall_after": (3, STALL_S)},
    "an error": {"error_event": (3, {"error": {"message": "boom", "code": 500}})},
    "garbage": {"garbage": True, "garbage_after": 3},
    "no end": {"no_finish": True},
}


@both_ways
@pytest.mark.parametrize("case", AFTER)
def test_a_fault_after_content_costs_nothing_within_the_allowance(
    scene: Scene, case: str, *, stream: bool
) -> None:
    customer = scene.customer(LITTLE)
    model = scene.offer(pieces=["word "] * 9, usage=(12, 9), **AFTER[case])
    if case == "stalled":
        scene.change_offers(model, deadlines={"between_chunks_s": HASTE["between_chunks_s"]})
    said = customer.ask(model, stream=stream)
    assert said.error is not None
    [row] = customer.receipts()
    assert (row.outcome, row.charge_nanos) == ("failed", 0)
    assert row.completion_tokens > 0
    assert row.upstream_cost_nanos > 0


@both_ways
def test_beyond_the_allowance_a_fault_costs_what_was_delivered(
    scene: Scene, *, stream: bool
) -> None:
    customer = scene.customer(LITTLE)
    model = scene.offer(pieces=FORTY_WORDS, usage=(12, 40), cut_after_events=31)
    for _ in range(4):
        customer.ask(model, stream=stream)
    rows = customer.receipts(4)
    forgiven = sum(row.upstream_cost_nanos for row in rows if row.charge_nanos == 0)
    assert 0 < forgiven <= ALLOWANCE_NANOS
    assert rows[0].charge_nanos == 0
    assert rows[-1].charge_nanos == rows[-1].upstream_cost_nanos > 0
    assert rows[-1].reason == "beyond_allowance"


@both_ways
@pytest.mark.parametrize("is_beyond", [False, True], ids=["within", "beyond"])
def test_where_cancelling_does_not_help_the_allowance_decides(
    scene: Scene, customer: Customer, *, is_beyond: bool, stream: bool
) -> None:
    """Within it the upstream is let go at once; beyond it the answer is read to its end."""
    if is_beyond:
        spend_the_allowance(scene, customer)
    pause = {"stall_between_s": 0.05} if stream else {"stall_before_s": 2.0}
    model = scene.offer(pieces=FORTY_WORDS, usage=(12, 40), **pause)
    scene.change_offers(model, bills_after_cancel=True)
    if stream:
        leave(customer, model, when=lambda answer: b"word" in answer.data)
    else:
        leave_after(scene, customer, model, 0.1)
    row = customer.receipts(2 if is_beyond else 1)[-1]
    assert row.outcome == "cancelled"
    if is_beyond:
        assert (row.usage_source, row.charge_nanos) == ("upstream", nanos(12, 40))
        assert scene.name_of(model) not in scene.upstream.aborts()
    else:
        assert row.usage_source == "estimated"
        assert row.charge_nanos < nanos(12, 40)
        assert_aborted(scene, model)


# Our total deadline, the key's limit or the balance was reached while content flowed.


@both_ways
def test_our_total_deadline_ends_an_answer_charged_as_served(scene: Scene, *, stream: bool) -> None:
    customer = scene.customer(LITTLE)
    model = scene.offer(pieces=["word "], endless=True, stall_between_s=0.05)
    scene.change_offers(model, deadlines={"total_s": TOTAL_S})
    said = customer.ask(model, stream=stream)
    assert (said.error, said.finish_reason) == (None, "length")
    [row] = customer.receipts()
    assert (row.outcome, row.reason) == ("stopped", "total_deadline")
    assert row.completion_tokens == tokens.count(said.text) > 0


@both_ways
@pytest.mark.parametrize("of", ["balance", "key"])
def test_the_end_of_the_money_ends_an_answer_charged_as_served(
    scene: Scene, of: str, *, stream: bool
) -> None:
    """Another request of the account's holds a part of what this one would need."""
    customer = scene.customer("0.05" if of == "balance" else "1")
    payer = customer if of == "balance" else customer.with_limited_key("0.05")
    slow = scene.offer(pieces=["word "], endless=True, stall_between_s=0.2)
    model = scene.offer(pieces=["word " * 100] * 400, usage_mode="none", ignore_max_tokens=True)
    scene.change_offers(model, output_tokens_max=100_000)
    with beside(scene, payer, slow, max_tokens=8_000):
        said = payer.ask(model, stream=stream)
    assert (said.error, said.finish_reason) == (None, "length")
    row = next(row for row in customer.receipts(2) if row.requested_model == model)
    reason = "balance" if of == "balance" else "key_limit"
    assert (row.outcome, row.reason, row.write_off_nanos) == ("stopped", reason, 0)
    assert row.completion_tokens == tokens.count(said.text) > OUTPUT_TOKENS_ASSUMED


# Cost above the hold.


@both_ways
def test_an_upstream_that_ignores_its_limit_costs_the_hold_and_what_is_free(
    scene: Scene, *, stream: bool
) -> None:
    customer = scene.customer("0.001")
    said = customer.ask(scene.offer(text="Hi", usage=(100, 5_000)), stream=stream, max_tokens=10)
    assert said.charge == "0.001"
    [row] = customer.receipts()
    assert row.write_off_nanos == nanos(100, 5_000) - 1_000_000
    assert scene.books.balance(customer.person.account_id) == (0, 0)


# The same Idempotency-Key and body again.


@both_ways
def test_the_same_request_again_costs_nothing(
    scene: Scene, customer: Customer, *, stream: bool
) -> None:
    model = scene.offer(text="Good day.", usage=(100, 10))
    with customer.sdk(**{"Idempotency-Key": "once"}) as client:
        said = [ask(client, model, stream=stream) for _ in range(3)]
    assert said[0].text == "Good day."
    assert said[1] == said[2] == said[0]
    [row] = customer.receipts()
    assert row.charge_nanos == nanos(100, 10)
    assert scene.upstream.counts()[scene.name_of(model)] == 1


# What somebody may try who wants answers for nothing.

CANCELS, AT_ONCE = 1_000, 334
# They come one after another: all at a stroke would only try the line for the database.
COME_EVERY_S = 0.02
# Of them may be told once that the machine is too busy; more would be a fault of ours.
REFUSED_MAX = 20
PROMPT = "word " * 500


def test_a_thousand_cancels_before_the_first_token_are_paid_for_one_by_one(scene: Scene) -> None:
    """They leave at our second sign of life, when the model has been thinking for a second."""
    customer = scene.customer("10")
    model = scene.offer(stall_after_headers_s=STALL_S)

    async def cancel() -> Answer:
        return await customer.caller.chat(
            model,
            stream=True,
            text=PROMPT,
            max_tokens=1_000,
            leave_when=lambda answer: answer.data == KEEP_ALIVE * 2,
        )

    refused: list[Answer] = []

    async def attack() -> None:
        turns = iter(range(CANCELS))

        async def one_after_another(number: int) -> None:
            await asyncio.sleep(number * COME_EVERY_S)
            for _ in turns:
                # A machine that is too busy refuses before the admission: once more, as SDKs do.
                while (answer := await cancel()).status == 503:
                    refused.append(answer)
                    assert len(refused) <= REFUSED_MAX, answer.code
                assert (answer.fault, answer.data) == ("", KEEP_ALIVE * 2)

        await asyncio.gather(*(one_after_another(number) for number in range(AT_ONCE)))

    asyncio.run(attack())
    rows = customer.receipts(CANCELS)
    assert {(row.outcome, row.usage_source) for row in rows} == {("cancelled", "estimated")}
    assert min(row.prompt_tokens for row in rows) >= 500
    assert min(row.completion_tokens for row in rows) >= SILENT_TOKENS_PER_S
    assert min(row.charge_nanos for row in rows) >= nanos(500, SILENT_TOKENS_PER_S)
    assert scene.upstream.counts()[scene.name_of(model)] == CANCELS


@both_ways
def test_a_stop_at_the_first_token_of_a_huge_prompt_costs_the_prompt(
    scene: Scene, customer: Customer, *, stream: bool
) -> None:
    model = scene.offer(text="", usage=(100_000, 1), finish_reason="stop")
    huge = [{"role": "user", "content": LONG_PROMPT * 50}]
    said = customer.ask(model, stream=stream, stop=["a"], messages=huge)
    assert said.text == ""
    [row] = customer.receipts()
    assert row.charge_nanos == nanos(100_000, 1)


@both_ways
def test_a_limit_that_only_reasoning_fills_costs_that_reasoning(
    scene: Scene, customer: Customer, *, stream: bool
) -> None:
    usage = details(10, 500, **REASONED)
    model = scene.offer(text="", reasoning="hm " * 500, usage=usage, finish_reason="length")
    said = customer.ask(model, stream=stream, max_tokens=500)
    assert (said.text, said.finish_reason) == ("", "length")
    [row] = customer.receipts()
    assert (row.usage["reasoning"], row.charge_nanos) == (500, nanos(10, 500))


def test_streams_slower_than_the_total_deadline_are_paid_for_one_by_one(
    scene: Scene, customer: Customer
) -> None:
    model = scene.offer(pieces=["word "], endless=True, stall_between_s=0.3)
    scene.change_offers(model, deadlines={"total_s": TOTAL_S})

    async def attack() -> list[Answer]:
        asked = (customer.caller.chat(model, stream=True, text=LONG_PROMPT) for _ in range(20))
        return list(await asyncio.gather(*asked))

    answers = asyncio.run(attack())
    rows = {row.id: row for row in customer.receipts(len(answers))}
    for answer in answers:
        row = rows[answer.id]
        assert answer.is_done
        assert (row.outcome, row.reason) == ("stopped", "total_deadline")
        assert row.prompt_tokens >= 2_000
        assert row.completion_tokens == tokens.count("word " * answer.data.count(b"word")) > 0
        assert float(answer.charge or 0) == usd(row.charge_nanos)


# What the tests above are made of.


def leave(customer: Customer, model: str, *, when: Callable[[Answer], bool]) -> Answer:
    """Asks for a stream, and leaves when what came is enough."""
    return asyncio.run(customer.caller.chat(model, stream=True, leave_when=when))


def leave_after(
    scene: Scene, customer: Customer, model: str, seconds: float, *, stream: bool = False
) -> None:
    """Asks, and leaves so long after the provider has been asked."""

    async def ask_and_leave() -> None:
        asking = asyncio.create_task(customer.caller.chat(model, stream=stream))
        is_asked = partial(is_known, scene, model)
        await asyncio.to_thread(until, lambda: asking.done() or is_asked(), within_s=WAIT_S)
        done, _ = await asyncio.wait({asking}, timeout=seconds)
        assert not done, asking.result()
        asking.cancel()
        await asyncio.wait({asking})

    asyncio.run(ask_and_leave())


def is_known(scene: Scene, model: str) -> bool:
    """Whether the model's first provider has been asked."""
    return scene.name_of(model) in scene.upstream.counts()


def assert_aborted(scene: Scene, model: str) -> None:
    name = scene.name_of(model)
    until(lambda: name in scene.upstream.aborts(), within_s=ABORTED_WITHIN_S)


def spend_the_allowance(scene: Scene, customer: Customer) -> None:
    """A fault after content that costs the operator all that a day allows."""
    said = {"choices": [{"index": 0, "delta": {"content": "Hi"}}]}
    told = {"choices": [], "usage": details(60, 20)}
    assert nanos(60, 20) == ALLOWANCE_NANOS
    assert customer.ask(scene.offer(events=[said, told], no_done=True), stream=True).error


@contextmanager
def beside(scene: Scene, customer: Customer, model: str, **more: Any) -> Iterator[None]:
    """Another request of the customer's runs meanwhile, and holds what it may cost."""
    is_over = threading.Event()

    def run() -> None:
        with customer.sdk() as client, client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Hi"}], stream=True, **more
        ) as stream:  # fmt: skip
            for _ in stream:
                if is_over.is_set():
                    return

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    until(partial(is_known, scene, model), within_s=WAIT_S)
    try:
        yield
    finally:
        is_over.set()
        thread.join()
