"""Markdown as HTML: front matter, headings, code, tables; and nothing that a text could smuggle."""

import re

import pytest

from solrouter import markdown

PAGE = """---
title: A page
summary: Colons: they may stand in a value.
order: 3
---

## First `thing`

Words.

### A detail

```python id=sample-1
print("<hello>")
```

## First `thing`

| a | b |
|--:|:--|
| 1 | 2 |
"""


def test_front_matter_is_read_and_not_shown() -> None:
    page = markdown.page(PAGE)
    assert page.facts == {
        "title": "A page",
        "summary": "Colons: they may stand in a value.",
        "order": "3",
    }
    assert "order: 3" not in page.html
    assert markdown.front_matter(PAGE) == page.facts


@pytest.mark.parametrize("text", ["Words.", "---\nnever closed", ""])
def test_a_text_without_front_matter_has_no_facts(text: str) -> None:
    assert markdown.front_matter(text) == {}


def test_headings_have_ids_that_stand_once() -> None:
    headings = markdown.page(PAGE).headings
    assert [(h.level, h.text) for h in headings] == [
        (2, "First thing"),
        (3, "A detail"),
        (2, "First thing"),
    ]
    assert len({h.id for h in headings}) == 3
    for heading in headings:
        assert f'id="{heading.id}"' in markdown.page(PAGE).html


def test_headings_lead_to_themselves() -> None:
    html = markdown.page("## Two *words* & “more”\n\n##### Deep\n").html
    [heading] = re.findall(r'<h2 id="([^"]+)">', html)
    link = (
        f'<a class="anchor" href="#{heading}" aria-label="Link to “Two words &amp; “more””">#</a>'
    )
    assert f"{link}</h2>" in html
    assert "<h5>Deep</h5>" in html


def test_code_has_colours_a_title_and_a_copy_button() -> None:
    html = markdown.page(PAGE).html
    assert '<span class="nb">print</span>' in html
    assert "<span>Python</span>" in html
    assert 'data-copy="code-1"' in html
    assert '<code id="code-1">' in html
    assert "&lt;hello&gt;" in html


def test_code_of_an_unknown_language_is_plain_and_escaped() -> None:
    html = markdown.page("```klingon\n<b>\n```").html
    assert "&lt;b&gt;" in html
    assert "<span>klingon</span>" in html


def test_a_fence_without_a_language_and_an_indented_block_are_text() -> None:
    html = markdown.page("```\none\n```\n\n    two\n").html
    assert html.count("<span>Text</span>") == 2
    assert 'id="code-2"' in html


def test_a_language_cannot_smuggle_markup() -> None:
    html = markdown.page('```"><script>alert(1)</script>\nx\n```').html
    assert "<script>" not in html


@pytest.mark.parametrize(
    "text",
    ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[x](javascript:alert(1))"],
)
def test_raw_html_and_dangerous_links_are_shown_not_obeyed(text: str) -> None:
    html = markdown.page(text).html
    assert "<script" not in html
    assert "<img" not in html
    assert 'href="javascript' not in html


def test_tables_have_no_inline_style_and_scroll_by_themselves() -> None:
    html = markdown.page(PAGE).html
    assert "style=" not in html
    assert '<th scope="col">a</th>' in html
    assert '<div class="table-scroll"' in html


def test_the_same_text_is_rendered_once() -> None:
    assert markdown.page(PAGE) is markdown.page(PAGE)
