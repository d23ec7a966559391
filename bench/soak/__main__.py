"""`python -m bench.soak [--short] [--minutes N] [--only NAME] [--database KIND]`."""

import argparse
import signal
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from bench.faults.databases import POSTGRESQL, SQLITE, Databases
from bench.faults.place import Stage
from bench.faults.report import Report
from bench.faults.upstream import Upstream
from bench.soak import aborts, mixed

ABORTS, MIXED = "aborts", "mixed"
# The start that does not count is this part of a shorter soak.
WARM_UP_SHARE = 4


def main() -> int:
    """Runs the checks; 1 when one failed."""
    options = _options()
    # Whoever ends this program must not leave servers and databases behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    began_s = time.monotonic()
    report = Report()
    kinds = (SQLITE, POSTGRESQL) if options.database == "both" else (options.database,)
    for kind in kinds:
        if kind == POSTGRESQL and not Databases.has_postgresql():
            report.begin(kind)
            report.check(False, "a PostgreSQL server answers", "none does")
            continue
        for name in (ABORTS, MIXED):
            if options.only in (None, name):
                _run(report, kind, name, options)
    took_s = time.monotonic() - began_s
    failed = "".join(f"\n  {line}" for line in report.failed)
    sys.stdout.write(
        f"\n{report.passed} checks held, {len(report.failed)} failed, in {took_s:.0f} s{failed}\n"
    )
    return 1 if report.failed else 0


def _run(report: Report, kind: str, name: str, options: argparse.Namespace) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="soak-") as folder,
        Databases(Path(folder)) as databases,
        Upstream.start() as upstream,
    ):
        stage = Stage(databases, kind, upstream, Path(folder), workers_max=2)
        if name == ABORTS:
            aborts.run(report, stage, aborts.SHORT if options.short else aborts.LONG)
            return
        size = mixed.SHORT if options.short else mixed.LONG
        if options.minutes is not None:
            seconds = options.minutes * 60
            warm_up_s = min(size.warm_up_s, seconds / WARM_UP_SHARE)
            size = replace(size, seconds=seconds, warm_up_s=warm_up_s)
        mixed.run(report, stage, size)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--short", action="store_true", help="two minutes instead of an hour")
    parser.add_argument("--minutes", type=float, help="how long the mixed load lasts")
    parser.add_argument("--only", choices=[ABORTS, MIXED], help="one check alone")
    parser.add_argument("--database", choices=[SQLITE, POSTGRESQL, "both"], default=SQLITE)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
