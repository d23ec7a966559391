"""Stacked bars by day, as numbers that a template draws: inline SVG needs no script and no style.

Each chart has a table behind it, of the same numbers.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from solrouter.services.usage_days import Slice, Used

WIDTH, HEIGHT = 720, 180
GAP = 0.22
SERIES_MAX = 5
OTHERS = "Others"
Measure = Callable[[Used], int]
MEASURES: dict[str, Measure] = {
    "cost": lambda used: used.charge_nanos,
    "requests": lambda used: used.requests,
    "tokens": lambda used: used.prompt_tokens + used.completion_tokens,
}


@dataclass(frozen=True, slots=True)
class Bar:
    """One piece of a day's bar; `series` is the number of its colour, from 1."""

    x: float
    y: float
    width: float
    height: float
    series: int
    title: str
    day: date
    value: int


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars for each day from the first to the last, and the numbers behind them."""

    days: Sequence[date]
    names: Sequence[str]
    rows: Sequence[tuple[date, Sequence[int]]]
    bars: Sequence[Bar]
    totals: Sequence[int]
    most: int

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not self.most


def stacked(slices: Iterable[Slice], first: date, last: date, measure: Measure) -> Chart:
    """The chart of these days; all but the largest names are one."""
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    found = list(slices)
    sizes: Counter[tuple[str, str]] = Counter()
    for each in found:
        sizes[each.name, each.label] += measure(each.used)
    top = [key for key, size in sizes.most_common(SERIES_MAX) if size]
    has_more = sum(1 for size in sizes.values() if size) > len(top)
    names = [label or name for name, label in top] + ([OTHERS] if has_more else [])
    place = {key: number for number, key in enumerate(top)}
    values = {day: [0] * len(names) for day in days}
    for each in found:
        value = measure(each.used)
        if value and each.day in values:
            values[each.day][place.get((each.name, each.label), len(names) - 1)] += value
    most = max((sum(row) for row in values.values()), default=0)
    rows = [(day, values[day]) for day in days]
    totals = [sum(row[number] for _, row in rows) for number in range(len(names))]
    return Chart(days, names, rows, _bars(rows, names, most), totals, most)


def _bars(rows: Sequence[tuple[date, Sequence[int]]], names: Sequence[str], most: int) -> list[Bar]:
    if not most:
        return []
    step = WIDTH / len(rows)
    bars = []
    for number, (day, row) in enumerate(rows):
        top = float(HEIGHT)
        for series, value in enumerate(row):
            if not value:
                continue
            height = max(value / most * HEIGHT, 1.0)
            top -= height
            x, width = number * step + step * GAP / 2, step * (1 - GAP)
            bars.append(
                Bar(
                    round(x, 2), round(max(top, 0), 2), round(width, 2), round(height, 2),
                    series + 1, names[series], day, value,
                )
            )  # fmt: skip
    return bars
