"""What stands in the database, read beside the server, and reckoned by arithmetic of our own."""

import json
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import psycopg

MILLION = 1_000_000
SAMPLE_EVERY_S = 0.004
# What an attempt on a receipt is told to have cost the operator.
UPSTREAM_COST = "upstream_cost_nanos"
# Written anew from the published rule: an unnamed class costs what its plainer one costs.
PLAINER = {
    "cache_read": "input",
    "cache_write_5m": "input",
    "cache_write_1h": "cache_write_5m",
    "input_audio": "input",
    "input_image": "input",
    "output_audio": "output",
    "output_image": "output",
}
COLUMNS = (
    "id, account_id, requested_model, streamed, outcome, reason, usage, usage_source, held_nanos,"
    " charge_nanos, write_off_nanos, upstream_cost_nanos, upstream_id, prompt_tokens,"
    " completion_tokens, sale_card_id, attempts"
)


@dataclass(frozen=True)
class Row:
    """One receipt."""

    id: str
    account_id: int
    requested_model: str
    streamed: bool
    outcome: str
    reason: str
    usage: Mapping[str, int]
    usage_source: str
    held_nanos: int
    charge_nanos: int
    write_off_nanos: int
    upstream_cost_nanos: int
    upstream_id: str | None
    prompt_tokens: int
    completion_tokens: int
    sale_card_id: int
    attempts: Sequence[Mapping[str, Any]]

    @property
    def lost_nanos(self) -> int:
        """What its answer cost above what was charged: what the day's allowance bounds.

        Attempts that failed before the first content are never charged, whatever they told.
        """
        if self.usage_source == "none":
            return 0
        failed = sum(one.get(UPSTREAM_COST) or 0 for one in self.attempts[:-1])
        return max(self.upstream_cost_nanos - failed - self.charge_nanos, 0)


class Books:
    """The database of a place."""

    def __init__(self, url: str) -> None:
        self._url = url

    @contextmanager
    def open(self) -> Iterator[Any]:
        """A connection that reads, whatever the server does meanwhile."""
        if self._url.startswith("sqlite:///"):
            path = self._url.removeprefix("sqlite:///")
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
                connection.isolation_level = None
                connection.execute("PRAGMA busy_timeout = 5000")
                yield connection
        else:
            with psycopg.connect(self._url, autocommit=True) as found:
                yield found

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self.open() as connection:
            return [tuple(row) for row in connection.execute(query).fetchall()]

    def number(self, query: str) -> int:
        """The one number that a query answers."""
        return int(self.rows(query)[0][0] or 0)

    def receipts(self, where: str = "1 = 1") -> list[Row]:
        """Receipts in the order of their admission."""
        found = self.rows(f"SELECT {COLUMNS} FROM completions WHERE {where} ORDER BY id")
        return [_row(values) for values in found]

    def balance(self, account_id: int) -> tuple[int, int]:
        """What is posted and what is held, in nanodollars."""
        columns = "paid_nanos + granted_nanos, held_nanos"
        [(posted, held)] = self.rows(f"SELECT {columns} FROM accounts WHERE id = {account_id}")
        return int(posted), int(held)

    def running(self) -> int:
        """How many requests are held."""
        return self.number("SELECT count(*) FROM holds")

    def rates(self) -> dict[int, Mapping[str, int]]:
        """Every price card's rates; a card with tiers or windows is none of this program's."""
        cards = self.rows("SELECT id, rates, tiers, windows FROM price_cards")
        plain = [(card, rates) for card, rates, *rest in cards if not any(map(_json, rest))]
        return {card: _json(rates) for card, rates in plain}


def _json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str | bytes) else value


def _row(values: tuple[Any, ...]) -> Row:
    identifier, account, model, streamed, outcome, reason, usage, *rest, attempts = values
    if not isinstance(identifier, uuid.UUID):
        identifier = uuid.UUID(bytes=bytes(identifier))
    numbers = (outcome, reason, _json(usage) or {}, *rest, _json(attempts) or ())
    return Row(identifier.hex, int(account), model, bool(streamed), *numbers)


def cost(usage: Mapping[str, int], rates: Mapping[str, int]) -> int:
    """Usage × price in nanodollars: exact, and rounded once, half up."""
    exact = Fraction(0)
    for name, units in usage.items():
        # Reasoning tokens stand in the output already.
        if name != "reasoning":
            exact += Fraction(units * _rate(name, rates), MILLION)
    return int(exact + Fraction(1, 2))


def _rate(name: str, rates: Mapping[str, int]) -> int:
    while name not in rates:
        name = PLAINER[name]
    return rates[name]


def nanos(usd: str) -> int:
    """A decimal amount of USD in nanodollars, exactly."""
    exact = Fraction(usd) * 10**9
    assert exact.denominator == 1, usd
    return int(exact)


@dataclass
class Sampler:
    """Looks again and again how little any account has to spend, and how much is held."""

    books: Books
    lowest_nanos: int | None = None
    most_held: int = 0
    samples: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Sampler":
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        query = "SELECT min(paid_nanos + granted_nanos - held_nanos) FROM accounts"
        with self.books.open() as connection:
            while not self._stop.is_set():
                lowest = int(connection.execute(query).fetchone()[0])
                held = int(connection.execute("SELECT count(*) FROM holds").fetchone()[0])
                self.most_held = max(self.most_held, held)
                if self.lowest_nanos is None or lowest < self.lowest_nanos:
                    self.lowest_nanos = lowest
                self.samples += 1
                time.sleep(SAMPLE_EVERY_S)
