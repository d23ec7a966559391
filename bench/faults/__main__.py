"""`python -m bench.faults [--short] [--only NAME] [--database sqlite|postgresql|both]`."""

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

from bench.faults import kill, leave, outage, overspend, receipts, restore, rolling
from bench.faults.databases import POSTGRESQL, SQLITE, Databases, postgresql_programs
from bench.faults.front import nginx_program
from bench.faults.place import Stage
from bench.faults.report import Report
from bench.faults.upstream import Upstream

ON_EACH = {
    "overspend": overspend,
    "receipts": receipts,
    "leave": leave,
    "kill": kill,
    "restore": restore,
}
OUTAGE, ROLLING, MACHINES = "outage", "rolling", "machines"


def main() -> int:
    """Runs the checks; 1 when one failed."""
    options = _options()
    # Whoever ends this program must not leave servers and databases behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    began_s = time.monotonic()
    report = Report()
    kinds = (SQLITE, POSTGRESQL) if options.database == "both" else (options.database,)
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        folder = Path(name)
        with Databases(folder) as databases:
            for kind in kinds:
                if kind == POSTGRESQL and not Databases.has_postgresql():
                    report.begin(kind)
                    report.check(False, "a PostgreSQL server answers", "none does")
                    continue
                _on_each(report, databases, kind, folder, options)
            if POSTGRESQL in kinds and options.only in (None, OUTAGE):
                _outage(report, databases, folder, is_short=options.short)
            if POSTGRESQL in kinds:
                _behind_nginx(report, databases, folder, options)
    took_s = time.monotonic() - began_s
    sys.stdout.write(
        f"\n{report.passed} checks held, {len(report.failed)} failed, in {took_s:.0f} s\n"
    )
    return 1 if report.failed else 0


def _on_each(
    report: Report, databases: Databases, kind: str, folder: Path, options: argparse.Namespace
) -> None:
    for name, module in ON_EACH.items():
        if options.only not in (None, name):
            continue
        with Upstream.start() as upstream:
            stage = Stage(databases, kind, upstream, folder)
            module.run(report, stage, module.SHORT if options.short else module.LONG)


def _outage(report: Report, databases: Databases, folder: Path, *, is_short: bool) -> None:
    if postgresql_programs() is None:
        report.begin(OUTAGE)
        report.check(False, "initdb and pg_ctl are on this machine", "they are not")
        return
    with Upstream.start() as upstream:
        stage = Stage(databases, POSTGRESQL, upstream, folder)
        outage.run(report, stage, outage.SHORT if is_short else outage.LONG)


def _behind_nginx(
    report: Report, databases: Databases, folder: Path, options: argparse.Namespace
) -> None:
    """Two machines on one database: their limits together, and one restarted after the other."""
    checks = {MACHINES: overspend, ROLLING: rolling}
    wanted = [name for name in checks if options.only in (None, name)]
    if wanted and nginx_program() is None:
        report.begin(wanted[0])
        report.check(False, "nginx is on this machine", "it is not: apt-get install nginx-light")
        return
    for name in wanted:
        module = checks[name]
        with Upstream.start() as upstream:
            stage = Stage(databases, POSTGRESQL, upstream, folder, workers_max=2, machines=2)
            module.run(report, stage, module.SHORT if options.short else module.LONG)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.faults", description=__doc__)
    parser.add_argument("--short", action="store_true", help="a minute instead of many")
    parser.add_argument(
        "--only", choices=[*ON_EACH, OUTAGE, MACHINES, ROLLING], help="one check alone"
    )
    parser.add_argument("--database", choices=[SQLITE, POSTGRESQL, "both"], default="both")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
