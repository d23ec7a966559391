"""What the mails say: a kind and its facts become a subject, a text and an HTML. Pure.

Each kind is one template in templates/mail/. Its first line is the subject; then come paragraphs
with blank lines between; a paragraph that is an address alone is a link, and one that is indented
is a quiet remark. The text is that, and the HTML is made from it: so both say the same. A fact is
folded into one line first, so that no fact can be a paragraph of its own.
"""

import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

COLUMNS = 72
SITE_NAME = "SolRouter"
QUIET = "  "
LINK = re.compile(r"https?://\S+")


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail's words, twice."""

    subject: str
    text: str
    html: str

    @property
    def links(self) -> list[str]:
        """The addresses that stand alone."""
        parts = (part.strip() for part in self.text.split("\n\n"))
        return [part for part in parts if LINK.fullmatch(part)]


@dataclass(frozen=True, slots=True)
class _Paragraph:
    text: str
    is_link: bool
    is_quiet: bool


def compose(kind: str, facts: Mapping[str, object]) -> Letter:
    """The letter of this kind."""
    folded = {name: " ".join(str(value).split()) for name, value in facts.items()}
    source = _plain().get_template(f"{kind}.txt").render(site_name=SITE_NAME, **folded)
    subject, _, body = source.strip().partition("\n")
    paragraphs = [_paragraph(part) for part in re.split(r"\n\s*\n", body.strip("\n"))]
    html = (
        _escaping()
        .get_template("shell.html.jinja")
        .render(site_name=SITE_NAME, subject=subject, paragraphs=paragraphs)
    )
    return Letter(subject=subject, text="\n\n".join(map(_as_text, paragraphs)) + "\n", html=html)


def moment(at: datetime) -> str:
    """A time as letters say it: `22 Nov 2026, 19:41 UTC`."""
    at = at.astimezone(UTC)
    return f"{at.day} {at:%b %Y, %H:%M} UTC"


def _paragraph(part: str) -> _Paragraph:
    text = " ".join(part.split())
    is_link = LINK.fullmatch(text) is not None
    return _Paragraph(text, is_link=is_link, is_quiet=part.startswith(QUIET))


def _as_text(paragraph: _Paragraph) -> str:
    return (
        paragraph.text
        if paragraph.is_link
        else textwrap.fill(paragraph.text, COLUMNS, break_on_hyphens=False)
    )


@cache
def _plain() -> Environment:
    # Plain text: there is nothing to escape for.
    return _environment(escapes=False)


@cache
def _escaping() -> Environment:
    return _environment(escapes=True)


def _environment(*, escapes: bool) -> Environment:
    loader = PackageLoader("solrouter", "templates/mail")
    return Environment(loader=loader, autoescape=escapes, undefined=StrictUndefined)
