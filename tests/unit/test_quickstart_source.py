"""The quickstart page is the user's own text: nothing missing, nothing added, nothing reordered.

`tests/data/quickstart.txt` is that text as it was given; never edit it. Both texts are
brought to one form (no white space, no Markdown, placeholders filled) and compared.
"""

import re
from pathlib import Path

import pytest

from tests.samples import DOCS_PAGES, DuplicateSample, fences, samples, without_fences

PAGE = DOCS_PAGES / "quickstart.md"
SOURCE = Path(__file__).resolve().parent.parent / "data" / "quickstart.txt"
ORIGINALS = {
    "{{ api_base_url }}": "https://api.solrouter.io/v1",
    "{{ site_host }}": "solrouter.io",
    "{{ key_hint }}": "sr_YOUR_API_KEY",
}
ALLOWANCE = {"{{ unrecovered_per_day }}", "{{ unrecovered_percent }}"}
LIMITS = {
    "{{ body_mebibytes_max }}",
    "{{ messages_max }}",
    "{{ body_deadline_s }}",
    "{{ keep_alive_s }}",
}
PLACEHOLDERS = {*ORIGINALS, *ALLOWANCE, *LIMITS, "{{ site_url }}"}
SAMPLE_IDS = {
    "env-file",
    "gitignore",
    "node-first-request",
    "fetch-first-request",
    "python-first-request",
    "curl-first-request",
    "annotated-response",
    "ts-access",
    "node-system-prompt",
    "node-support-bot-prompt",
    "node-support-bot-call",
    "ts-conversation",
    "ts-trim-history",
    "ts-trim-call",
    "error-body",
    "ts-retry",
}
STREAMING_IDS = {"python-stream", "node-stream", "curl-stream"}

_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_TABLE_RULE = re.compile(r"^\|(?:-+\|)+$", re.MULTILINE)
_LINE_MARK = re.compile(r"^(?:#+ |> |- )", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]*)\]\([^)\s]+\)")
_SIGNS = re.compile(r"`|\\?\|")
_BULLET = re.compile(r"^ *• ", re.MULTILINE)


def test_the_page_is_the_users_text_from_first_word_to_last() -> None:
    # The first line of the text, "Quickstart", is the title in the page's front matter.
    assert PAGE.read_text(encoding="utf-8").startswith("---\ntitle: Quickstart\n")
    assert "Quickstart" + plain_page() == plain_source(SOURCE.read_text(encoding="utf-8"))


def test_every_line_of_the_users_text_is_on_the_page() -> None:
    """Says less than the test above, but names the line that is missing."""
    page = "Quickstart" + plain_page()
    lines = SOURCE.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if plain_source(line) not in page] == []


def test_every_code_block_is_the_users_to_the_byte() -> None:
    source = SOURCE.read_text(encoding="utf-8")
    for fence in fences(PAGE.read_text(encoding="utf-8")):
        assert with_originals(fence.code).rstrip("\n") in source


def test_the_pages_have_all_the_samples_that_tests_run() -> None:
    assert samples(PAGE).keys() >= SAMPLE_IDS
    assert samples(DOCS_PAGES / "streaming.md").keys() >= STREAMING_IDS


@pytest.mark.parametrize("page", sorted(DOCS_PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_pages_use_only_the_placeholders_that_the_renderer_knows(page: Path) -> None:
    used = set(re.findall(r"\{\{ [a-z_]+ \}\}", page.read_text(encoding="utf-8")))
    assert used <= PLACEHOLDERS


def test_sample_ids_are_unique_over_all_pages() -> None:
    ids = [sample for page in sorted(DOCS_PAGES.glob("*.md")) for sample in samples(page)]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("page", sorted(DOCS_PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_every_fence_of_a_page_is_understood(page: Path) -> None:
    """A fence with a misspelt info string would drop out of every other check."""
    markdown = page.read_text(encoding="utf-8")
    assert "```" not in "".join(without_fences(markdown))


def test_an_id_used_twice_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```js id=one\n1;\n```\n\n```js id=one\n2;\n```\n", encoding="utf-8")
    with pytest.raises(DuplicateSample, match="id=one"):
        samples(page)


def plain_page() -> str:
    markdown = _FRONT_MATTER.sub("", PAGE.read_text(encoding="utf-8"))
    texts = without_fences(markdown)
    codes = [fence.code for fence in fences(markdown)] + [""]
    parts = [
        plain_prose(text) + plain_source(code) for text, code in zip(texts, codes, strict=True)
    ]
    return "".join(parts)


def plain_prose(markdown: str) -> str:
    """Prose without its Markdown; code never comes here, for it may look like Markdown."""
    without_marks = _LINE_MARK.sub("", _TABLE_RULE.sub("", markdown))
    return plain_source(_LINK.sub(r"\1", without_marks).replace("**", ""))


def plain_source(text: str) -> str:
    """Text without white space, list bullets and the three signs that Markdown adds to prose.

    Those signs (back quotes, bars and their escapes) leave both texts alike, code included;
    that code is whole is checked to the byte by a test of its own.
    """
    return without_white_space(_SIGNS.sub("", _BULLET.sub("", with_originals(text))))


def with_originals(text: str) -> str:
    for placeholder, original in ORIGINALS.items():
        text = text.replace(placeholder, original)
    return text


def without_white_space(text: str) -> str:
    return "".join(text.split())
