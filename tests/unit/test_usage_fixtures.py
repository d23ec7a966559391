"""Usage as vendors send it, and what it must cost: a table worked out by hand.

Each row of tests/data/usage.json says what came (`whole`, and `stream` where a stream tells it in
other pieces), which classes that is, and the sum in USD per million as `units*price + …`. It is
verified with fractions, apart from `services.pricing`, and some rows by another reckoner.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from copy import deepcopy
from datetime import UTC, datetime
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

import genai_prices
import pytest

from solrouter.chat import Chunk, Usage
from solrouter.providers.anthropic.response import AnthropicReader
from solrouter.providers.google.response import GoogleReader
from solrouter.providers.openai_compatible.response import OpenAIReader
from solrouter.services import pricing
from solrouter.services.pricing import PriceCard

ROOT = Path(__file__).resolve().parents[2]
ROWS = json.loads((ROOT / "tests" / "data" / "usage.json").read_text(encoding="utf-8"))
CATALOGUE = json.loads((ROOT / "solrouter" / "data" / "catalogue.json").read_text(encoding="utf-8"))
PROVIDERS = {provider["slug"]: provider for provider in CATALOGUE["providers"]}
OFFERS = {
    (offer["provider"], model["id"]): offer
    for model in CATALOGUE["models"]
    for offer in model["offers"]
}
NOW = "2026-11-25T12:00:00Z"  # a Wednesday, outside every peak
VENDORS = (
    "anthropic", "deepseek", "google", "groq", "llama.cpp", "mistral", "openai", "openrouter",
    "vllm", "xai",
)  # fmt: skip
Row = Mapping[str, Any]
every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def begun(row: Row) -> datetime:
    return instant(row.get("at", NOW))


def provider_of(row: Row) -> Mapping[str, Any]:
    """The packaged provider; servers of one's own have OpenAI's dialect and no capabilities."""
    server: dict[str, Any] = {"kind": "openai", "capabilities": {}}
    return PROVIDERS.get(row["offer"].split()[0], server)


def card(row: Row) -> PriceCard:
    """The rates that the row gives, or the offer's packaged price at that time."""
    if "rates" in row:
        return PriceCard(1, begun(row), {name: per_million(r) for name, r in row["rates"].items()})
    provider, model = row["offer"].split()
    prices = [
        price
        for price in OFFERS[provider, model]["prices"]
        if instant(price["effective_at"]) <= begun(row)
    ]
    price = max(prices, key=lambda price: instant(price["effective_at"]))
    return PriceCard(
        1,
        instant(price["effective_at"]),
        price["rates"],
        tuple(price.get("tiers", ())),
        tuple(price.get("windows", ())),
    )


def per_million(usd: str) -> int:
    nanos = Fraction(usd) * 10**9
    assert nanos.denominator == 1
    return int(nanos)


def told_whole(row: Row) -> Usage | None:
    """What the adapter makes of an answer that is not streamed."""
    usage, provider = deepcopy(row["whole"]), provider_of(row)
    if provider["kind"] == "anthropic":
        content = [{"type": "text", "text": "Hi"}]
        answer = {"type": "message", "content": content, "stop_reason": "end_turn"}
        return AnthropicReader().whole({**answer, "usage": usage}).usage
    if provider["kind"] == "google":
        return GoogleReader().whole(google_event(usage, last=True)).usage
    message = {"role": "assistant", "content": "Hi"}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    reader = OpenAIReader(provider["capabilities"])
    return reader.whole({"choices": choices, "usage": usage}).usage


def told_streamed(row: Row) -> Usage | None:
    """The last word of a stream whose events bring the row's pieces, or all of it at the end."""
    kind = provider_of(row)["kind"]
    pieces = deepcopy(row.get("stream", [row["whole"]]))
    chunks = {"anthropic": anthropic_chunks, "google": google_chunks, "openai": openai_chunks}
    told = [chunk.usage for chunk in chunks[kind](row, pieces) if chunk.usage is not None]
    return told[-1] if told else None


def anthropic_chunks(row: Row, pieces: list[Any]) -> Iterator[Chunk]:
    reader = AnthropicReader()
    first, last = pieces
    start = {"type": "message_start", "message": {"id": "msg_1", "usage": first}}
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text"}}
    text = {"type": "content_block_delta", "index": 0}
    text["delta"] = {"type": "text_delta", "text": "Hi"}
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": last}
    for event in (start, block, text, end, {"type": "message_stop"}):
        yield from reader.event(event["type"], event)
    yield from reader.end()


def google_chunks(row: Row, pieces: list[Any]) -> Iterator[Chunk]:
    reader = GoogleReader()
    for place, usage in enumerate(pieces, start=1):
        yield from reader.event("", google_event(usage, last=place == len(pieces)))
    yield from reader.end()


def google_event(usage: Any, *, last: bool) -> dict[str, Any]:
    candidate: dict[str, Any] = {"index": 0, "content": {"parts": [{"text": "Hi"}]}}
    if last:
        candidate["finishReason"] = "STOP"
    return {"candidates": [candidate], "usageMetadata": usage}


def openai_chunks(row: Row, pieces: list[Any]) -> Iterator[Chunk]:
    """OpenAI's order: content, the finish, then usage with no choices."""
    reader = OpenAIReader(provider_of(row)["capabilities"])
    for usage in pieces[:-1]:
        choice = {"index": 0, "delta": {"content": "Hi"}}
        yield from reader.event("", {"choices": [choice], "usage": usage})
    finish = {"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}
    yield from reader.event("", {"choices": [finish], "usage": None})
    last = pieces[-1] if "x_groq" in pieces[-1] else {"usage": pieces[-1]}
    yield from reader.event("", {"choices": [], **last})
    yield from reader.end()


def summands(row: Row) -> list[tuple[int, Fraction]]:
    """Units and USD per million of each part of the row's sum."""
    parts = (part.split("*") for part in row["arithmetic"].split(" + "))
    return [(int(units), Fraction(price)) for units, price in parts]


@every_row
def test_both_modes_tell_the_classes(row: Row) -> None:
    for usage in (told_whole(row), told_streamed(row)):
        assert usage is not None
        assert usage.classes() == row["classes"]


@every_row
def test_the_cost_is_what_was_worked_out_by_hand(row: Row) -> None:
    usage = Usage(**row["classes"])
    assert pricing.cost_nanos(usage, card(row), at=begun(row)) == row["nanos"]


@every_row
def test_the_hand_was_right(row: Row) -> None:
    """The sum is of the row's own units, each class once, and rounds half up to its nanodollars."""
    billed = [units for name, units in row["classes"].items() if name != "reasoning"]
    assert Counter(units for units, _ in summands(row)) == Counter(billed)
    # USD per million units is microdollars a unit.
    exact = 1000 * sum(units * price for units, price in summands(row))
    assert floor(exact + Fraction(1, 2)) == row["nanos"]


@every_row
def test_the_classes_add_up_to_the_vendors_total(row: Row) -> None:
    """Anthropic gives none. xAI's and Gemini's hold the reasoning that their parts leave out."""
    usage, told = Usage(**row["classes"]), row["whole"]
    total = told.get("total_tokens", told.get("totalTokenCount"))
    if provider_of(row)["kind"] == "anthropic":
        assert total is None
        total = sum(
            told.get(name) or 0
            for name in (
                "input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens",
                "output_tokens",
            )
        )  # fmt: skip
    assert usage.prompt_tokens + usage.completion_tokens == usage.total_tokens == total
    assert usage.reasoning <= usage.output


def test_the_table_is_long_and_wide() -> None:
    assert len(ROWS) >= 60
    assert len({row["id"] for row in ROWS}) == len(ROWS)
    vendors = Counter(row["offer"].split()[0] for row in ROWS)
    assert not [vendor for vendor in VENDORS if vendors[vendor] < 2]
    used = {name for row in ROWS for name in row["classes"]}
    assert used == {*pricing.PRICED_CLASSES, "reasoning"}


@pytest.mark.parametrize("row", [row for row in ROWS if "genai" in row], ids=lambda row: row["id"])
def test_another_reckoner_agrees(row: Row) -> None:
    """genai-prices counts inclusively and in Decimal; at least a dozen rows are models it knows."""
    usage = Usage(**row["classes"])
    provider, model = row["genai"].split()
    theirs = genai_prices.Usage(
        input_tokens=usage.prompt_tokens,
        cache_read_tokens=usage.cache_read,
        cache_write_tokens=usage.cache_write_5m + usage.cache_write_1h,
        output_tokens=usage.completion_tokens,
    )
    price = genai_prices.calc_price(
        theirs, model, provider_id=provider, genai_request_timestamp=begun(row).astimezone(UTC)
    )
    assert abs(Fraction(price.total_price) * 10**9 - row["nanos"]) <= Fraction(1, 2)


def test_a_dozen_rows_are_reckoned_twice() -> None:
    assert sum("genai" in row for row in ROWS) >= 12
