"""`python -m bench.pages`: seeds a database, walks every page, prints the table.

The time is the server's: the app is asked in its own process, without a network.
"""

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

from bench.faults.databases import POSTGRESQL, SQLITE, Databases, settings
from bench.pages import history, walk
from bench.pages.walk import Page
from bench.speed.measuring import say
from solrouter import create_app, database, process
from solrouter.services import admission, billing
from tests.house.permissions import make_place

COMPLETIONS = 1_000_000
TIME_MS_MAX = 100.0
STATEMENTS_MAX = 6


def main() -> int:
    """Measures; 1 when a page is above a limit or the books are wrong."""
    options = _options()
    # Whoever ends this program must not leave databases behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    kinds = (SQLITE, POSTGRESQL) if options.database == "both" else (options.database,)
    bad = 0
    with (
        tempfile.TemporaryDirectory(prefix="bench-pages-") as name,
        Databases(Path(name)) as databases,
    ):
        for kind in kinds:
            if kind == POSTGRESQL and not databases.has_postgresql():
                say("PostgreSQL does not answer: not measured")
                continue
            bad += _run(databases.fresh(kind), kind, Path(name), options)
    return 1 if bad else 0


def _run(url: str, kind: str, folder: Path, options: argparse.Namespace) -> int:
    app = create_app(settings(url, folder))
    with app.app_context():
        admission.beat(process.worker_id())
        admission.lead(process.worker_id())
    place = make_place(app)
    began_s = time.monotonic()
    history.fill(app, place.people["owner"], options.completions)
    say(f"{kind}: {options.completions:,} completions in {time.monotonic() - began_s:.0f} s")
    # As a server does when it has started.
    process.keep_what_is_built()
    try:
        found = sorted(walk.pages(place), key=lambda page: -page.median_ms)
        with app.app_context():
            wrong = list(billing.audit())
    finally:
        with app.app_context():
            database.current().close()
    _print(found, kind, options)
    for problem in wrong:
        say(f"WRONG BOOKS: {problem}")
    return sum(map(_is_bad, found)) + len(wrong)


def _is_bad(page: Page) -> bool:
    return page.median_ms > TIME_MS_MAX or page.statements > STATEMENTS_MAX


def _print(found: list[Page], kind: str, options: argparse.Namespace) -> None:
    bad = [page for page in found if _is_bad(page)]
    shown = found if options.all else [*bad, *[p for p in found if p not in bad][: options.rows]]
    out = sys.stdout.write
    out(f"\n{kind}, {options.completions:,} completions, {len(found)} pages\n\n")
    out("| page | median ms | of it CPU here | worst ms | statements | kB |\n")
    out("|---|--:|--:|--:|--:|--:|\n")
    for page in shown:
        mark = " **above**" if page in bad else ""
        times = " | ".join(f"{ms:.1f}" for ms in (page.median_ms, page.cpu_ms, page.worst_ms))
        size = f"{page.bytes / 1000:.0f}"
        out(f"| `{page.path[:70]}`{mark} | {times} | {page.statements} | {size} |\n")
    out(f"\n{len(bad)} above {TIME_MS_MAX:.0f} ms or {STATEMENTS_MAX} statements\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.pages", description=__doc__)
    parser.add_argument("--completions", type=int, default=COMPLETIONS)
    parser.add_argument("--database", choices=("both", SQLITE, POSTGRESQL), default="both")
    parser.add_argument("--rows", type=int, default=15, help="pages to show beside the bad ones")
    parser.add_argument("--all", action="store_true", help="show every page")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
