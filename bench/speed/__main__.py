"""`python -m bench.speed`: measures, prints the table, and writes the page."""

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.faults.databases import POSTGRESQL, SQLITE, Databases
from bench.speed import growth, machine, page
from bench.speed.measuring import say
from bench.speed.run import NAMES, Run, clean, result_of, scratch, targets, upstream
from bench.speed.scenarios import PLAIN, ROUNDS, SIZES, Scenario
from bench.speed.table import Table
from bench.speed.targets.base import Surroundings
from tests.served import ROOT

# A whole run is what the repository shows; any other is for the person who asked for it.
PUBLISHED, PRIVATE = ROOT / "docs", ROOT / "var" / "bench"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs it; 1 when books were wrong."""
    options = _options(arguments)
    # Whoever ends this program must not leave servers and databases behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    scenarios = _chosen(options)
    names = _names(options)
    core, own_core = machine.cores()
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {own_core})
    try:
        with (
            tempfile.TemporaryDirectory(prefix="bench-") as name,
            upstream(own_core) as (port, pid),
        ):
            folder = scratch(Path(name))
            shapes = tuple(dict.fromkeys(one.shape for one in SIZES[options.size]))
            around = Surroundings(port, folder, shapes, core)
            with Databases(folder) as databases:
                if options.growth is not None:
                    return _grow(options, around, databases, pid)
                found, missing = targets(around, databases, names, options.customers)
                for missed, why in missing.items():
                    say(f"missing: {missed}: {why}")
                run = Run(found, scenarios, pid)
                try:
                    run.rounds(options.rounds)
                    result = result_of(run, missing, size=options.size, rounds=options.rounds)
                finally:
                    clean(found)
    finally:
        os.sched_setaffinity(0, before)
    # Growth is measured apart and seldom; its last figures stay.
    kept = ("growth", "growth_made")
    former = page.former(_folder(options))
    result |= {name: former[name] for name in kept if name in former}
    path = page.write(_folder(options), result, scenarios)
    sys.stdout.write(Table(result["targets"], result["medians"]).markdown())
    say(f"\nwritten: {path}")
    wrong = [one for one in result["targets"] if one["books"].startswith("WRONG")]
    for one in wrong:
        say(f"{one['name']}: {one['books']}")
    return 1 if wrong else 0


def _grow(options: argparse.Namespace, around: Surroundings, databases: Databases, pid: int) -> int:
    """Measures growth alone, and puts its table in place of the page's former one."""
    plain = next(one for one in SIZES[options.size] if one.name == PLAIN)
    steps = growth.steps(growth.kinds_of(options.database), full=options.growth == "full")
    folder = around.folder / "growth"
    folder.mkdir()
    rows = []
    for row in growth.run(replace(around, folder=folder), databases, plain, pid, steps):
        rows.append(row)
        path = page.write_growth(_folder(options), rows)
    sys.stdout.write(page.growth_text(page.former(_folder(options))))
    say(f"\nwritten: {path}")
    return 0


def _chosen(options: argparse.Namespace) -> list[Scenario]:
    return [one for one in SIZES[options.size] if options.only in (None, one.name)]


def _names(options: argparse.Namespace) -> list[str]:
    """The targets in their order; of SolRouter's those on the wanted database."""
    unwanted = {SQLITE: "solrouter-postgresql", POSTGRESQL: "solrouter-sqlite"}
    return [
        name
        for name in NAMES
        if (not options.targets or name in options.targets)
        and name != unwanted.get(options.database)
    ]


def _folder(options: argparse.Namespace) -> Path:
    if options.out is not None:
        return Path(options.out)
    is_whole = options.size == "long" and options.only is None and not options.targets
    return PUBLISHED if is_whole and options.database == "both" else PRIVATE


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.speed", description=__doc__)
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--short", dest="size", action="store_const", const="short", help="a minute")
    sizes.add_argument("--tiny", dest="size", action="store_const", const="tiny", help="seconds")
    parser.set_defaults(size="long")
    questions = [one.name for one in SIZES["long"]]
    parser.add_argument("--only", choices=questions, help="one question alone")
    parser.add_argument("--targets", nargs="+", choices=NAMES, help="some programs alone")
    parser.add_argument("--rounds", type=int, help="how often (3; 1 when short)")
    parser.add_argument("--database", choices=[SQLITE, POSTGRESQL, "both"], default="both")
    parser.add_argument("--customers", type=int, default=1, help="accounts with a key each")
    parser.add_argument("--growth", nargs="?", const="some", choices=["some", "full"])
    parser.add_argument("--out", help="the folder for the files (docs/ for a whole run)")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or ROUNDS[options.size]
    return options


if __name__ == "__main__":
    sys.exit(main())
