"""From samples to medians, and from medians to the table with its ratios."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from bench.speed.scenarios import ALONE, CROWD, GAP, PLAIN, STREAMED

FACTS = ("round", "target", "scenario", "faults")
SUMS = ("answers", "right", "unsure", "errors", "probes")
Medians = Mapping[str, Mapping[str, Mapping[str, Any]]]
NONE = "–"
FLOOR, BASE = "floor", "litellm"
HEADINGS = (
    "",
    "books kept?",
    "requests/s, 64 at once",
    "× LiteLLM",
    "CPU per request",
    "× floor",
    "of the database",
    "p50 / p99",
    "events/s streamed",
    "× LiteLLM",
    "CPU per event",
    "× floor",
    "added, one at a time",
)
CROWD_HEADINGS = (
    "",
    "added time to first token, p50 / p99",
    "memory: idle → peak → after",
    "a stream",
    "ready after",
    "fresh",
    "`/healthz` under 256 at once, p50 / p99",
    "errors",
)


def medians(samples: Iterable[Mapping[str, Any]]) -> Medians:
    """By target and scenario: the median of each figure over the rounds, and sums of counts."""
    found: dict[str, dict[str, dict[str, list[Any]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for sample in samples:
        figures = found[sample["target"]][sample["scenario"]]
        for name, value in sample.items():
            if name not in FACTS and value is not None:
                figures[name].append(value)
    return {
        target: {
            scenario: {
                name: sum(values) if name in SUMS else round(median(values), 3)
                for name, values in figures.items()
            }
            for scenario, figures in scenarios.items()
        }
        for target, scenarios in found.items()
    }


def faults(samples: Iterable[Mapping[str, Any]]) -> Counter[tuple[str, str]]:
    """What went wrong, by target."""
    told: Counter[tuple[str, str]] = Counter()
    for sample in samples:
        for fault, count in sample["faults"].items():
            told[sample["target"], fault] += count
    return told


class Table:
    """The rows of the run's targets, in the order in which they are given."""

    def __init__(self, targets: Sequence[Mapping[str, Any]], found: Medians) -> None:
        self.targets, self.found = targets, found

    def figure(self, target: str, scenario: str, name: str) -> float | None:
        """One median, if it was measured."""
        value = self.found.get(target, {}).get(scenario, {}).get(name)
        return None if value is None else float(value)

    def ratio(self, target: str, scenario: str, name: str, to: str) -> float | None:
        """How often a figure contains that of another target of the same run."""
        own, others = self.figure(target, scenario, name), self.figure(to, scenario, name)
        return None if own is None or not others else own / others

    def added_ms(self, target: str) -> float | None:
        """What a target adds to one request at a time."""
        own, direct = (self.figure(one, ALONE, "p50_ms") for one in (target, "direct"))
        return None if own is None or direct is None else own - direct

    def markdown(self) -> str:
        """Both tables."""
        speed = [self._speed_row(one) for one in self.targets]
        crowd = [self._crowd_row(one) for one in self.targets]
        return f"{_table(HEADINGS, speed)}\n\n{_table(CROWD_HEADINGS, crowd)}\n"

    def _speed_row(self, target: Mapping[str, Any]) -> list[str]:
        name = target["name"]
        p50, p99 = (self.figure(name, PLAIN, key) for key in ("p50_ms", "p99_ms"))
        alone = None if name == "direct" else self.added_ms(name)
        own = name != "direct"
        return [
            target["title"],
            target["keeps_books"],
            _number(self.figure(name, PLAIN, "requests_per_s")),
            _times(self.ratio(name, PLAIN, "requests_per_s", BASE)),
            _number(self.figure(name, PLAIN, "cpu_us" if own else "upstream_cpu_us"), "µs"),
            _times(self.ratio(name, PLAIN, "cpu_us", FLOOR) if own else None),
            _number(self.figure(name, PLAIN, "database_cpu_us") or None, "µs"),
            _joined((p50, p99), " / ", "ms"),
            _number(self.figure(name, STREAMED, "events_per_s")),
            _times(self.ratio(name, STREAMED, "events_per_s", BASE)),
            _number(self.figure(name, STREAMED, "cpu_us" if own else "upstream_cpu_us"), "µs"),
            _times(self.ratio(name, STREAMED, "cpu_us", FLOOR) if own else None),
            _number(alone, "ms"),
        ]

    def _crowd_row(self, target: Mapping[str, Any]) -> list[str]:
        name = target["name"]
        first = (
            self.figure(name, CROWD, f"first_content_added_{one}_ms") for one in ("p50", "p99")
        )
        memory = (self.figure(name, CROWD, f"rss_{one}_mb") for one in ("before", "peak", "after"))
        probe = (self.figure(name, GAP, f"probe_{one}_ms") for one in ("p50", "p99"))
        errors = sum(int(one.get("errors", 0)) for one in self.found.get(name, {}).values())
        is_ours = name != "direct"
        return [
            target["title"],
            _joined(first, " / ", "ms"),
            _joined(memory, " → ", "MB") if is_ours else NONE,
            _number(self.figure(name, CROWD, "kb_per_stream") if is_ours else None, "kB"),
            _number(target.get("ready_s"), "s") if is_ours else NONE,
            _number(target.get("fresh_mb"), "MB") if is_ours else NONE,
            _joined(probe, " / ", "ms") if is_ours else NONE,
            str(errors),
        ]


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _number(value: float | None, unit: str = "") -> str:
    """Three digits that mean something, with thin thousands."""
    if value is None:
        return NONE
    places = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{places}f}".replace(",", " ") + (f" {unit}" if unit else "")


def _times(value: float | None) -> str:
    return NONE if value is None else f"{_number(value)} ×"


def _joined(values: Iterable[float | None], between: str, unit: str) -> str:
    """Several figures of one unit; a dash when none was measured."""
    known = list(values)
    if all(value is None for value in known):
        return NONE
    return f"{between.join(map(_number, known))} {unit}"
