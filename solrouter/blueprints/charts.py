"""Stacked bars by day, as numbers and words that a template draws: inline SVG needs no script and
no style. Each chart has a table behind it, of the same numbers.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

from solrouter.blueprints import filters
from solrouter.services.usage_days import Slice, Used

WIDTH, HEIGHT = 720, 180
GAP = 0.22
SERIES_MAX = 5
OTHERS, NAMELESS = "Others", "No key"


class Measure(NamedTuple):
    """What is drawn of what was used, and how people read it."""

    of: Callable[[Used], int]
    shown: Callable[[int], str]


MEASURES = {
    "cost": Measure(lambda used: used.charge_nanos, filters.usd),
    "requests": Measure(lambda used: used.requests, filters.count),
    "tokens": Measure(lambda used: used.prompt_tokens + used.completion_tokens, filters.count),
}


class Bar(NamedTuple):
    """One piece of a day's column; `series` is the number of its colour, from 1."""

    y: float
    height: float
    series: int


class Column(NamedTuple):
    """A day: where it stands, its bars from below, and its numbers in words."""

    day: date
    x: float
    width: float
    bars: Sequence[Bar]
    # What each series came to, empty where nothing, and all of them together.
    amounts: Sequence[str]
    total: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Columns for each day from the first to the last; `totals` are the series', all days."""

    days: Sequence[date]
    names: Sequence[str]
    columns: Sequence[Column]
    totals: Sequence[str]
    most: str
    is_empty: bool


def stacked(slices: Iterable[Slice], first: date, last: date, measure: Measure) -> Chart:
    """The chart of these days; all but the largest names are one."""
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    found = [(each.day, (each.name, each.label), measure.of(each.used)) for each in slices]
    sizes: Counter[tuple[str, str]] = Counter()
    for _, key, value in found:
        sizes[key] += value
    top = [key for key, size in sizes.most_common(SERIES_MAX) if size]
    has_more = sum(1 for size in sizes.values() if size) > len(top)
    names = [label or name or NAMELESS for name, label in top] + ([OTHERS] if has_more else [])
    place = {key: number for number, key in enumerate(top)}
    values = {day: [0] * len(names) for day in days}
    for day, key, value in found:
        if value and day in values:
            values[day][place.get(key, len(names) - 1)] += value
    most = max((sum(row) for row in values.values()), default=0)
    totals = [measure.shown(sum(each)) for each in zip(*values.values(), strict=True)]
    columns = _columns(values, most, measure) if most else []
    return Chart(days, names, columns, totals, measure.shown(most), not most)


def _columns(values: dict[date, list[int]], most: int, measure: Measure) -> list[Column]:
    step = WIDTH / len(values)
    width = round(step * (1 - GAP), 2)
    return [
        Column(
            day,
            round(number * step + step * GAP / 2, 2),
            width,
            _bars(row, most),
            [measure.shown(value) if value else "" for value in row],
            measure.shown(sum(row)),
        )
        for number, (day, row) in enumerate(values.items())
        if any(row)
    ]


def _bars(row: Sequence[int], most: int) -> list[Bar]:
    top, bars = float(HEIGHT), []
    for series, value in enumerate(row):
        if value:
            height = max(value / most * HEIGHT, 1.0)
            top -= height
            bars.append(Bar(round(max(top, 0), 2), round(height, 2), series + 1))
    return bars
