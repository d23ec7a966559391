"""Bars as SVG, by hand: one group of bars for each question, longer is better, log scale."""

from collections.abc import Mapping, Sequence
from html import escape
from math import log10
from typing import Any

from bench.speed.scenarios import PLAIN, STREAMED
from bench.speed.table import Table

LABEL_PX, BAR_PX, ROW_PX, WIDTH_PX = 290, 420, 24, 800
QUESTIONS = (
    (PLAIN, "requests_per_s", "Requests per second, 64 at once, one worker on one core"),
    (STREAMED, "events_per_s", "Streamed events per second, 16 streams, one worker on one core"),
)
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#333}.t{font-weight:600}.b{fill:#9aa7b8}"
    ".o{fill:#2f6fde}@media(prefers-color-scheme:dark){text{fill:#ddd}.b{fill:#66717f}}"
)


def svg(targets: Sequence[Mapping[str, Any]], table: Table) -> str:
    """The picture."""
    parts, y = [], 0
    for scenario, name, title in QUESTIONS:
        rows = [(one, table.figure(one["name"], scenario, name)) for one in targets]
        known = [(one, value) for one, value in rows if value]
        if not known:
            continue
        y += ROW_PX
        parts.append(f'<text class="t" x="0" y="{y}">{escape(title)} (log scale)</text>')
        least = min(value for _, value in known)
        most = max(value for _, value in known)
        for one, value in sorted(known, key=lambda row: -row[1]):
            y += ROW_PX
            parts.append(_bar(one, value, y, log10(value / least) / (log10(most / least) or 1)))
        y += ROW_PX // 2
    height = y + ROW_PX // 2
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH_PX} {height}" role="img">'
    return f"{head}<style>{STYLE}</style>{''.join(parts)}</svg>\n"


def _bar(target: Mapping[str, Any], value: float, y: int, share: float) -> str:
    width = 8 + share * (BAR_PX - 8)
    kind = "o" if str(target["name"]).startswith("solrouter") else "b"
    label = escape(str(target["title"]))
    return (
        f'<text x="{LABEL_PX - 8}" y="{y}" text-anchor="end">{label}</text>'
        f'<rect class="{kind}" x="{LABEL_PX}" y="{y - 13}" width="{width:.0f}" height="16"/>'
        f'<text x="{LABEL_PX + width + 6:.0f}" y="{y}">{value:,.0f}</text>'
    )
