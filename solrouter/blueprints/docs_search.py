"""Search in the documentation: sections that hold every word, the best first."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from markupsafe import Markup

from solrouter import markdown

RESULTS_MAX = 20
QUERY_CHARACTERS_MAX = 100
EXCERPT_CHARACTERS = 180
IN_TITLE, IN_HEADING = 100, 30
_HEADING = re.compile(r"^(#{2,4}) (.+)$")
_LINK = re.compile(r"\[([^]]*)\]\([^)]*\)")
_MARKS = re.compile(r"^[ |:-]*-{3}[ |:-]*$|[*|]|^[>#-]+ ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Section:
    """A heading of a page and the words below it; without a heading, what comes before the first.

    `anchor` is the heading's id on the page.
    """

    page: str
    title: str
    heading: str
    anchor: str
    words: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A section that was found, and the place in it, with the words marked."""

    section: Section
    excerpt: Markup


def search(pages: Iterable[tuple[str, str, str]], query: str) -> list[Hit]:
    """The sections of (name, title, Markdown) that hold every word of the query."""
    words = query.lower()[:QUERY_CHARACTERS_MAX].split()
    if not words:
        return []
    scored = [
        (_score(section, words), section)
        for name, title, text in pages
        for section in sections(name, title, text)
        if _holds(section, words)
    ]
    scored.sort(key=lambda pair: -pair[0])
    return [Hit(section, _excerpt(section.words, words)) for _, section in scored[:RESULTS_MAX]]


@lru_cache(maxsize=64)
def sections(name: str, title: str, text: str) -> tuple[Section, ...]:
    """The page cut at its headings."""
    anchors = {heading.text: heading.id for heading in markdown.page(text).headings}
    return tuple(_cut(name, title, text, anchors))


def _cut(name: str, title: str, text: str, anchors: dict[str, str]) -> Iterator[Section]:
    lines: list[str] = []
    heading, is_code = "", False
    for line in _body(text):
        is_code ^= line.startswith("```")
        found = None if is_code else _HEADING.match(line)
        plain = _plain(found.group(2)) if found else ""
        # A smaller heading than those of the contents stays with the words around it.
        if found and plain in anchors:
            yield Section(name, title, heading, anchors.get(heading, ""), _plain("\n".join(lines)))
            heading, lines = plain, []
        elif not line.startswith("```"):
            lines.append(line)
    yield Section(name, title, heading, anchors.get(heading, ""), _plain("\n".join(lines)))


def _body(text: str) -> list[str]:
    """The lines below the front matter."""
    lines = text.splitlines()
    if lines[:1] == [markdown.FENCE]:
        return lines[lines.index(markdown.FENCE, 1) + 1 :]
    return lines


def _plain(text: str) -> str:
    return " ".join(_MARKS.sub(" ", _LINK.sub(r"\1", text).replace("`", "")).split())


def _holds(section: Section, words: Iterable[str]) -> bool:
    text = f"{section.title} {section.heading} {section.words}".lower()
    return all(word in text for word in words)


def _score(section: Section, words: Iterable[str]) -> int:
    title, heading, text = section.title.lower(), section.heading.lower(), section.words.lower()
    return sum(
        IN_TITLE * (word in title and not heading)
        + IN_HEADING * (word in heading)
        + min(text.count(word), 5)
        for word in words
    )


def _excerpt(text: str, words: list[str]) -> Markup:
    """The text around the first word that it holds, every word marked."""
    places = [place for word in words if (place := text.lower().find(word)) >= 0]
    begin = max(min(places, default=0) - EXCERPT_CHARACTERS // 3, 0)
    shown = text[begin : begin + EXCERPT_CHARACTERS]
    pattern = re.compile("|".join(re.escape(word) for word in words), re.IGNORECASE)
    marked, end = Markup(), 0
    for match in pattern.finditer(shown):
        marked += shown[end : match.start()]
        marked += Markup("<mark>{}</mark>").format(match.group())
        end = match.end()
    marked += shown[end:]
    return Markup("{}{}{}").format(
        "…" if begin else "", marked, "…" if begin + EXCERPT_CHARACTERS < len(text) else ""
    )
