"""A receipt in words and lines for people: tokens by class × price. Pure; it charges nothing."""

from collections.abc import Mapping
from dataclasses import dataclass

from solrouter.chat import Usage
from solrouter.money import UNITS_PER_PRICE, divide_half_up
from solrouter.services import pricing
from solrouter.services.activity import Receipt

CLASS_NAMES = {
    "input": "Input",
    "cache_read": "Input read from cache",
    "cache_write_5m": "Input written to cache, 5 minutes",
    "cache_write_1h": "Input written to cache, 1 hour",
    "input_audio": "Audio input",
    "input_image": "Image input",
    "output": "Output",
    "output_audio": "Audio output",
    "output_image": "Image output",
}
CHARGED = {
    "finished": "The answer was complete. You pay for exactly what it used.",
    "stopped": "A limit was reached while the answer was running. You pay for what was served.",
    "cancelled": "Your side closed the connection. You pay for what had been used until then.",
    "failed": "The answer broke off, and today's allowance for such failures is used up. "
    "You pay for what was delivered.",
    "interrupted": "The server stopped before the answer ended.",
}
FREE = {
    "finished": "The answer was complete and cost nothing.",
    "stopped": "A limit was reached before anything was served. You pay nothing.",
    "cancelled": "Your side closed the connection before anything was used. You pay nothing.",
    "failed": "No provider gave a complete answer. You pay nothing.",
    "interrupted": "The server stopped before the answer ended. You pay nothing.",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One class of tokens. Its amount is rounded for display; the cost is rounded once, whole."""

    name: str
    tokens: int
    rate_nanos: int
    amount_nanos: int


def lines(receipt: Receipt) -> list[Line]:
    """What the tokens cost by class, at the prices that the request was sold by."""
    if receipt.rates is None:
        return []
    card = _card(receipt, receipt.rates)
    rates = pricing.rates_for(card, input_tokens=receipt.prompt_tokens, at=receipt.created_at)
    found = []
    for name, title in CLASS_NAMES.items():
        tokens = receipt.usage.get(name, 0)
        if tokens:
            rate = card.rate(name, rates)
            found.append(Line(title, tokens, rate, divide_half_up(tokens * rate, UNITS_PER_PRICE)))
    return found


def cost_nanos(receipt: Receipt) -> int | None:
    """What the tokens cost by the price card, before anything was waived; None without a card."""
    if receipt.rates is None:
        return None
    card = _card(receipt, receipt.rates)
    counted = {name: receipt.usage.get(name, 0) for name in CLASS_NAMES}
    return pricing.cost_nanos(Usage(**counted), card, at=receipt.created_at)


def in_plain_words(receipt: Receipt) -> str:
    """Why the request cost what it cost."""
    words = CHARGED if receipt.charge_nanos else FREE
    return words.get(receipt.outcome, receipt.reason)


def _card(receipt: Receipt, rates: Mapping[str, int]) -> pricing.PriceCard:
    return pricing.PriceCard(
        0, receipt.created_at, rates, tuple(receipt.tiers), tuple(receipt.windows)
    )
