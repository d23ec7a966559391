"""The files that a run leaves: performance.json, performance.md, performance.svg."""

import json
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.faults.databases import POSTGRESQL
from bench.speed import plot
from bench.speed.scenarios import Scenario
from bench.speed.table import Table, faults

PACKAGES = ("flask", "gunicorn", "gevent", "geventhttpclient", "psycopg", "orjson", "sqlalchemy")
INTRODUCTION = """# Performance

Written by `make bench`; do not edit. All programs did the same work in the same run, one worker
each, one after the other in turns. Compare the rows with one another: what a figure is alone
depends on the machine, and most of all on what else it had to do.

"""
METHOD = """
## How it was measured

- {machine}
- What is measured runs on one core; callers, upstream and {database} on another. One worker each,
  {rounds} round(s), medians. Other programs took {others} cores meanwhile (median; 0 is a quiet
  machine).
- The upstream and the callers are the bench's own (`bench/speed/upstream.py`, `load.py`): answers
  and requests that were written beforehand, one thread each. Their row is *the upstream itself*:
  what those two reach on their core with nothing between; the callers' own cost was
  {callers} a request.
- An answer counts if its status is 200, its content is whole and its usage is the upstream's; one
  in fifty is compared to the letter. Errors are shown; none is taken out.
- CPU is user and kernel time of all processes of a program, from `/proc`, over the measured window.
  *Of the database*: of PostgreSQL's backends that work for it (their CPU is on top of the other).
- Books: afterwards every right answer of a program that keeps books must stand in them, and
  SolRouter's ledger must pass its own audit. {books}
- SolRouter runs as its Procfile starts it, in production mode, with everything on. LiteLLM keeps
  its keys and spend rows by its own extension points (`bench/speed/peers/litellm_books.py`).
{missing}
Packages: {packages}.

The questions:

{questions}
"""
GROWTH_TITLE = "\n## As work grows\n"
GROWTH_HEAD = (
    GROWTH_TITLE
    + """
64 at once, not streamed; {made}. {note}

| database | workers | completions | customers | requests/s | CPU per request | of the database | \
p50 / p99 ms | errors | cores of other programs |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
"""
)
GROWTH_NOTE = """One thing grows at a time. One customer is a hot account, many are cold ones.
*In one piece*: the same history without its months. With several workers nothing is kept on one
core: compare those with one another, and the others with one another. Where other programs took
cores, rates and times say how busy the machine was; CPU can be compared all the same."""


def surroundings() -> dict[str, Any]:
    """What the figures depend on."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {
        "cpu": cpu,
        "cores": _cores(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def _cores() -> int:
    text = Path("/proc/cpuinfo").read_text()
    return sum(line.startswith("processor") for line in text.splitlines())


def write(folder: Path, result: Mapping[str, Any], scenarios: Sequence[Scenario]) -> Path:
    """Writes the three files and says where the page is."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "performance.json").write_text(json.dumps(result, indent=1, ensure_ascii=False))
    table = Table(result["targets"], result["medians"])
    (folder / "performance.svg").write_text(plot.svg(result["targets"], table))
    page = folder / "performance.md"
    page.write_text(text(result, table, scenarios))
    return page


def text(result: Mapping[str, Any], table: Table, scenarios: Sequence[Scenario]) -> str:
    """The page."""
    parts = [INTRODUCTION, "![Requests and events per second](performance.svg)\n\n"]
    parts.append(table.markdown() if result["samples"] else "")
    told = faults(result["samples"])
    if told:
        parts.append("\nErrors:\n\n")
        parts += [f"- {target}: {count} × `{what}`\n" for (target, what), count in told.items()]
    parts.append(_method(result, table, scenarios))
    return "".join(parts) + growth_text(result)


def growth_text(result: Mapping[str, Any]) -> str:
    """The page's part about growth; empty where that was never measured."""
    if not result["growth"]:
        return ""
    head = GROWTH_HEAD.format(note=GROWTH_NOTE, made=result["growth_made"])
    return head + "".join(_growth_row(row) for row in result["growth"])


def former(folder: Path) -> dict[str, Any]:
    """What the last run left there; empty if there was none."""
    path = folder / "performance.json"
    return json.loads(path.read_text()) if path.exists() else {}


def write_growth(folder: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Puts the figures of growth in place of the page's former ones, and leaves the others."""
    result = former(folder) | {"growth": list(rows), "growth_made": made()}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "performance.json").write_text(json.dumps(result, indent=1, ensure_ascii=False))
    page = folder / "performance.md"
    others = page.read_text().partition(GROWTH_TITLE)[0] if page.exists() else INTRODUCTION
    page.write_text(others + growth_text(result))
    return page


def made() -> str:
    """When, and on what."""
    facts = surroundings()
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {facts['cores']} cores ({facts['cpu']})"


def _method(result: Mapping[str, Any], table: Table, scenarios: Sequence[Scenario]) -> str:
    facts = result["machine"]
    others = sorted(sample["others_cores"] for sample in result["samples"])
    own = table.figure("direct", "plain", "callers_cpu_us")
    missing = [
        f"- Missing in this run: {name} ({why}).\n" for name, why in result["missing"].items()
    ]
    books = [f"{one['title']}: {one['books']}." for one in result["targets"] if one.get("books")]
    return METHOD.format(
        machine=f"{result['made_at']}, {facts['cores']} cores ({facts['cpu']}), "
        f"Linux {facts['kernel']}, Python {facts['python']}.",
        database="PostgreSQL's backends"
        if result["is_database_moved"]
        else "(if it may) PostgreSQL",
        rounds=result["rounds"],
        others=f"{others[len(others) // 2]:.2f}" if others else "–",
        callers="–" if own is None else f"{own:.0f} µs",
        books=" ".join(books),
        missing="".join(missing),
        packages=", ".join(f"{name} {number}" for name, number in facts["packages"].items()),
        questions="\n".join(f"- *{one.name}*: {one.question}." for one in scenarios),
    )


def _growth_row(row: Mapping[str, Any]) -> str:
    is_in_one_piece = (
        row["completions"] and row["database"] == POSTGRESQL and not row["is_by_month"]
    )
    cells = (
        row["database"],
        row["workers"],
        f"{row['completions']:,}".replace(",", " ") + (" in one piece" if is_in_one_piece else ""),
        f"{row['customers']:,}".replace(",", " "),
        f"{row['requests_per_s']:.0f}",
        f"{row['cpu_us']:.0f} µs",
        f"{row['database_cpu_us']:.0f} µs",
        f"{row['p50_ms']} / {row['p99_ms']}",
        row["errors"],
        row.get("others_cores", "–"),
    )
    return "| " + " | ".join(map(str, cells)) + " |\n"
