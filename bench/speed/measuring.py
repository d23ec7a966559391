"""One measurement: a load against a running target, and what both used meanwhile."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.speed import machine
from bench.speed.crowd import Crowd
from bench.speed.load import Outcome
from bench.speed.scenarios import CROWD, Scenario
from bench.speed.targets.base import Target

FAULTS_SHOWN = 3
Sample = dict[str, Any]


@dataclass
class Meter:
    """Looks at the clock and the processes as the window opens and as it closes."""

    target: Target
    upstream_pid: int
    readings: list[tuple[float, ...]] = field(default_factory=list)
    rss_mb_max: float = 0.0

    def read(self) -> None:
        """Notes the CPU time used so far: target's, database's, upstream's, the machine's."""
        used = (self.target.pids(), self.target.database_pids(), [self.upstream_pid])
        self.readings.append((*(machine.cpu_s(pids) for pids in used), machine.busy_s()))

    def look(self) -> None:
        """Notes the target's memory."""
        self.rss_mb_max = max(self.rss_mb_max, machine.rss_mb(self.target.pids()))

    def used(self) -> tuple[float, ...]:
        """What was used in the window."""
        first, last = self.readings[0], self.readings[-1]
        return tuple(after - before for before, after in zip(first, last, strict=True))


def measure(target: Target, scenario: Scenario, upstream_pid: int, round_number: int) -> Sample:
    """Runs one scenario against a target and returns the figures."""
    meter = Meter(target, upstream_pid)
    machine.move(target.database_pids(), max(machine.cores()))
    idle_mb = machine.rss_mb(target.pids())
    watch = meter.look if scenario.name == CROWD else (lambda: None)
    crowd = Crowd(scenario.load(target), target.port, on_window=meter.read, on_tick=watch)
    outcome = crowd.run()
    sample: Sample = {
        "round": round_number,
        "target": target.name,
        "scenario": scenario.name,
        **_rates(outcome, meter, is_streamed=scenario.is_streamed),
        **_times(outcome, scenario),
        "answers": outcome.answers,
        "right": outcome.right,
        "unsure": outcome.unsure,
        "errors": outcome.faults.total(),
        "faults": dict(outcome.faults.most_common(FAULTS_SHOWN)),
    }
    if scenario.name == CROWD:
        sample |= _memory(target, idle_mb, meter.rss_mb_max, scenario)
    return sample


def _rates(outcome: Outcome, meter: Meter, *, is_streamed: bool) -> Sample:
    """Work per second, and CPU in microseconds for each piece of it."""
    target_s, database_s, upstream_s, machine_s = meter.used()
    work = outcome.events if is_streamed else outcome.answers
    each = 1e6 / work if work else 0.0
    others_s = machine_s - target_s - database_s - upstream_s - outcome.own_cpu_s
    return {
        "requests_per_s": round(outcome.answers / outcome.window_s, 1),
        "events_per_s": round(outcome.events / outcome.window_s, 1) if is_streamed else None,
        "cpu_us": round(target_s * each, 2),
        "database_cpu_us": round(database_s * each, 2),
        "upstream_cpu_us": round(upstream_s * each, 2),
        "callers_cpu_us": round(outcome.own_cpu_s * each, 2),
        # Of all cores: what programs that have nothing to do with this took meanwhile.
        "others_cores": round(max(others_s, 0.0) / outcome.window_s, 2),
    }


def _times(outcome: Outcome, scenario: Scenario) -> Sample:
    sample: Sample = {
        "p50_ms": _ms(outcome.latencies, 0.5),
        "p99_ms": _ms(outcome.latencies, 0.99),
    }
    if scenario.is_streamed:
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            first_ms = _ms(outcome.first_contents, share)
            added = None if first_ms is None else round(first_ms - scenario.shape.first_ms, 3)
            sample[f"first_content_added_{name}_ms"] = added
    if scenario.probes:
        sample |= {"probe_p50_ms": _ms(outcome.probes, 0.5)}
        sample |= {"probe_p99_ms": _ms(outcome.probes, 0.99), "probes": len(outcome.probes)}
        sample |= {"probe_max_ms": _ms(outcome.probes, 1.0)}
    return sample


def _memory(target: Target, idle_mb: float, peak_mb: float, scenario: Scenario) -> Sample:
    time.sleep(scenario.rest_s)
    after_mb = machine.rss_mb(target.pids())
    return {
        "rss_before_mb": round(idle_mb, 1),
        "rss_peak_mb": round(peak_mb, 1),
        "rss_after_mb": round(after_mb, 1),
        "kb_per_stream": round(max(peak_mb - idle_mb, 0.0) * 1024 / scenario.at_once, 1),
    }


def _ms(sorted_s: Sequence[float], share: float) -> float | None:
    """A quantile of sorted times, in milliseconds."""
    if not sorted_s:
        return None
    return round(sorted_s[min(int(len(sorted_s) * share), len(sorted_s) - 1)] * 1000, 3)


def said(sample: Sample) -> str:
    """The line that a person sees while it runs."""
    parts = [f"round {sample['round']}  {sample['target']:<22} {sample['scenario']:<9}"]
    is_streamed = sample["events_per_s"] is not None
    rate, word = ("events_per_s", "event") if is_streamed else ("requests_per_s", "request")
    parts.append(f"{sample[rate]:>10,.0f} {word}s/s {sample['cpu_us']:>9,.1f} µs/{word}")
    parts.append(f"p50 {sample['p50_ms']} ms  p99 {sample['p99_ms']} ms")
    if sample["errors"]:
        parts.append(f"ERRORS {sample['errors']}: {sample['faults']}")
    return "  ".join(parts)


def say(text: str) -> None:
    """A line on standard error: standard output has the table alone."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
