"""Markdown and code as HTML. Pure: text in, markup out. Raw HTML is shown, never obeyed.

A page may begin with front matter: lines of `name: value` between two lines of `---`.
"""

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict
from markupsafe import Markup, escape
from mdit_py_plugins.anchors import anchors_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

FENCE = "---"
HEADINGS_IN_CONTENTS = ("h2", "h3")
TITLES = {
    "bash": "Shell",
    "dotenv": ".env",
    "env": ".env",
    "http": "HTTP",
    "js": "JavaScript",
    "javascript": "JavaScript",
    "json": "JSON",
    "python": "Python",
    "sh": "Shell",
    "sse": "Stream",
    "text": "Text",
    "ts": "TypeScript",
    "typescript": "TypeScript",
}
_COPY = Markup(
    '<button class="copy" type="button" data-copy="{id}">'
    "<span data-label>Copy</span>"
    '<span class="visually-hidden"> {title}</span></button>'
)
_ANCHOR = Markup('<a class="anchor" href="#{id}" aria-label="Link to “{words}”">#</a>')
_CODE = Markup(
    '<div class="code"><div class="code-head"><span>{title}</span>{copy}</div>'
    '<pre class="highlight" tabindex="0"><code id="{id}">{html}</code></pre></div>\n'
)


@dataclass(frozen=True, slots=True)
class Heading:
    """One line of a table of contents: `level` 2 or 3, the anchor's id, the words."""

    level: int
    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Page:
    """A rendered text: its front matter, its HTML, its headings."""

    facts: dict[str, str]
    html: Markup
    headings: tuple[Heading, ...]


@lru_cache(maxsize=128)
def page(text: str) -> Page:
    """The page that `text` says. The same text is rendered once."""
    facts, body = _split_front_matter(text)
    tokens = _PARSER.parse(body)
    html = _PARSER.renderer.render(tokens, _PARSER.options, {})
    return Page(facts, Markup(html), tuple(_headings(tokens)))


def front_matter(text: str) -> dict[str, str]:
    """The `name: value` lines at the top of `text`; empty where there are none."""
    return _split_front_matter(text)[0]


def coloured(code: str, language: str) -> Markup:
    """`code` as HTML with Pygments' short classes; plain where the language is not known."""
    try:
        lexer = get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        return escape(code)
    return Markup(highlight(code, lexer, HtmlFormatter(nowrap=True)))


def _split_front_matter(text: str) -> tuple[dict[str, str], str]:
    if not text.startswith(FENCE + "\n"):
        return {}, text
    head, separator, body = text[len(FENCE) + 1 :].partition(f"\n{FENCE}\n")
    if not separator:
        return {}, text
    pairs = (line.partition(":") for line in head.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}, body


def _headings(tokens: Sequence[Token]) -> list[Heading]:
    found = []
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open" and opening.tag in HEADINGS_IN_CONTENTS:
            found.append(Heading(int(opening.tag[1:]), str(opening.attrs["id"]), _words(inline)))
    return found


def _words(inline: Token) -> str:
    return "".join(child.content for child in inline.children or ())


class _Renderer(RendererHTML):
    """Code blocks get a title, colours and a copy button, headings a link to themselves, and words
    of code may break behind their underscores; wide tables scroll by themselves.
    """

    def fence(
        self,
        tokens: Sequence[Token],
        idx: int,
        options: OptionsDict,
        env: MutableMapping[str, Any],
    ) -> str:
        token = tokens[idx]
        language = (token.info.split() or ["text"])[0]
        number = sum(other.type in ("fence", "code_block") for other in tokens[: idx + 1])
        identifier = f"code-{number}"
        title = TITLES.get(language, language)
        copy = _COPY.format(id=identifier, title=title)
        html = coloured(token.content.rstrip("\n"), language)
        return str(_CODE.format(id=identifier, title=title, copy=copy, html=html))

    code_block = fence

    def code_inline(self, tokens: Sequence[Token], idx: int, *_: Any) -> str:
        words = escape(tokens[idx].content).replace("_", Markup("_<wbr>"))
        return f"<code>{words}</code>"

    def heading_close(self, tokens: Sequence[Token], idx: int, *_: Any) -> str:
        opening, inline, closing = tokens[idx - 2 : idx + 1]
        identifier = opening.attrs.get("id")
        link = _ANCHOR.format(id=identifier, words=_words(inline)) if identifier else ""
        return f"{link}</{closing.tag}>\n"

    def table_open(self, *_: Any) -> str:
        return '<div class="table-scroll" tabindex="0"><table class="table table-keep">\n'

    def table_close(self, *_: Any) -> str:
        return "</table></div>\n"

    def th_open(self, *_: Any) -> str:
        return '<th scope="col">'

    def td_open(self, *_: Any) -> str:
        return "<td>"


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}, renderer_cls=_Renderer).enable("table")
    parser.use(anchors_plugin, min_level=2, max_level=4)
    return parser


_PARSER = _parser()
