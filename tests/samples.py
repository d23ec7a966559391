"""The code samples of the docs pages, read from the Markdown that ships with the package.

A sample is a fenced block whose info string carries an id: "```python id=python-stream".
Tests run what this returns, so a page and its test cannot drift apart. The placeholders
of the pages (`{{ api_base_url }}` and its like) are still in the code.
"""

import re
from dataclasses import dataclass
from pathlib import Path

DOCS_PAGES = Path(__file__).resolve().parent.parent / "solrouter" / "docs_pages"

_FENCE = re.compile(
    r"^```(?P<language>[a-z]+)(?: id=(?P<id>[a-z0-9-]+))?\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


class DuplicateSample(Exception):
    """Two samples of one page have the same id."""


@dataclass(frozen=True)
class Sample:
    """One fenced block; `id` is None where the page gives none. `code` ends with a newline."""

    id: str | None
    language: str
    code: str


def fences(markdown: str) -> list[Sample]:
    """Every fenced block of a page in order, with an id or without."""
    return [Sample(**match.groupdict()) for match in _FENCE.finditer(markdown)]


def without_fences(markdown: str) -> list[str]:
    """The texts between the fenced blocks: one more than there are blocks."""
    texts: list[str] = []
    start = 0
    for match in _FENCE.finditer(markdown):
        texts.append(markdown[start : match.start()])
        start = match.end()
    return [*texts, markdown[start:]]


def samples(path: Path) -> dict[str, Sample]:
    """The samples of one page by id. Raises DuplicateSample."""
    by_id: dict[str, Sample] = {}
    for sample in fences(path.read_text(encoding="utf-8")):
        if sample.id is None:
            continue
        if sample.id in by_id:
            raise DuplicateSample(f"{path.name}: id={sample.id}")
        by_id[sample.id] = sample
    return by_id
