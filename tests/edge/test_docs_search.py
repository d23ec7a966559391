"""Search in the docs, pages as Markdown, llms.txt, and the reference made from the document."""

import re
from collections.abc import Callable

import pytest
from flask import Flask

from solrouter.blueprints import docs_search
from solrouter.blueprints.docs import entries
from tests.browser import Browser, Page
from tests.edge.signed_in import HTMX, browser_of
from tests.factories import Person

PAGE = """---
title: Cats
---

Before the first heading: whiskers.

## Feeding `cats`

They want [fish](/fish). Codes such as `rate_limit_error` are found.

| a | b |
|---|---|
| milk | cream |

```bash
## not a heading
echo tuna
```

## Sleeping

All day.
"""


def found(query: str) -> list[tuple[str, str]]:
    hits = docs_search.search([("cats", "Cats", PAGE)], query)
    return [(hit.section.heading, hit.section.anchor) for hit in hits]


@pytest.mark.parametrize(
    ("query", "headings"),
    [
        ("whiskers", [("", "")]),
        ("fish", [("Feeding cats", "feeding-cats")]),
        ("RATE_LIMIT_ERROR", [("Feeding cats", "feeding-cats")]),
        ("tuna cream", [("Feeding cats", "feeding-cats")]),
        ("day", [("Sleeping", "sleeping")]),
        ("day fish", []),
        ("/fish", []),
        ("", []),
    ],
)
def test_a_section_is_found_by_all_of_its_words(
    query: str, headings: list[tuple[str, str]]
) -> None:
    assert found(query) == headings


def test_a_title_or_heading_weighs_more_than_the_text() -> None:
    assert [heading for heading, _ in found("cats")][:2] == ["", "Feeding cats"]


def test_what_is_found_is_marked_and_shown_as_text() -> None:
    [hit] = docs_search.search([("a", "A", "Say <b>hello</b> to <script>.")], "hello")
    assert "<mark>hello</mark>" in hit.excerpt
    assert "&lt;script&gt;" in hit.excerpt


def places(page: Page) -> list[str]:
    return [a.get("href", "") for a in page.by_id("found").iter("{http://www.w3.org/1999/xhtml}a")]


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["browser", "htmx"])
def test_places_that_are_found_are_there(browser: Browser, headers: dict[str, str]) -> None:
    page = browser.get("/docs?q=idempotency", headers=headers)
    assert page.is_whole is not bool(headers)
    hrefs = places(page)
    assert hrefs
    for href in hrefs:
        path, _, anchor = href.partition("#")
        target = browser.get(path)
        if anchor:
            target.by_id(anchor)


def test_nothing_found_says_what_to_do(browser: Browser) -> None:
    page = browser.get("/docs?q=<b>zzzzz</b>")
    assert "Nothing found" in page.text
    assert page.by_id("filter-q").get("value") == "<b>zzzzz</b>"


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)
def test_each_page_is_there_as_markdown(browser: Browser, entry: object) -> None:
    name = getattr(entry, "name", "")
    answer = browser.client.get(f"/docs/{name}.md")
    assert answer.mimetype == "text/markdown"
    assert answer.text.startswith("---\ntitle: ")
    assert not re.search(r"\{\{ ?[a-z_]+ ?\}\}", answer.text)
    assert f"/docs/{name}.md" in {a.get("href") for a in browser.get(f"/docs/{name}").all("a")}


def test_markdown_never_carries_a_readers_hint(app: Flask, alice: Person) -> None:
    text = browser_of(app, alice).client.get("/docs/quickstart.md").text
    assert "sr_YOUR_API_KEY" in text
    assert alice.key_text[-4:] not in text


def test_llms_txt_names_every_page_by_its_full_address(make_app: Callable[..., Flask]) -> None:
    answer = Browser(make_app(SOLROUTER_BASE_URL="https://llm.example.com")).client.get("/llms.txt")
    assert answer.mimetype == "text/plain"
    lines = answer.text.splitlines()
    assert lines[0] == "# SolRouter" and lines[2].startswith("> ")
    for entry in entries():
        assert f"({'https://llm.example.com'}/docs/{entry.name}.md): {entry.summary}" in answer.text
    assert "https://llm.example.com/openapi.json" in answer.text
    assert "&" not in answer.text, "it is text, not HTML"


def test_the_reference_holds_every_operation_and_field(browser: Browser) -> None:
    document = browser.client.get("/openapi.json").json
    page = browser.get("/docs/api-reference/schemas")
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            section = "".join(page.by_id(operation["operationId"]).itertext())
            assert f"{method.upper()} {path}" in section
            for status in operation["responses"]:
                assert status in section
            for parameter in operation.get("parameters", ()):
                assert parameter["name"] in section
    for name, schema in document["components"]["schemas"].items():
        if name.startswith("Error"):
            page.by_id(f"error-{name.removeprefix('Error')}")
            continue
        section = "".join(page.by_id(name).itertext())
        for field in schema["properties"]:
            assert field in section, f"{name}.{field}"


def test_the_reference_says_types_and_bounds(browser: Browser) -> None:
    page = browser.get("/docs/api-reference/schemas")
    rows = [
        "".join(row.itertext())
        for row in page.by_id("ChatCompletionRequest").iter()
        if row.tag.endswith("}tr")
    ]
    [temperature] = [row for row in rows if row.strip().startswith("temperature")]
    assert "number or null" in temperature
    assert "at least 0, at most 2" in temperature
    [messages] = [row for row in rows if row.strip().startswith("messages ")]
    assert "required" in messages and "1 or more items" in messages
    assert 'object (role "user")' in messages


def test_links_of_the_reference_lead_somewhere(browser: Browser) -> None:
    page = browser.get("/docs/api-reference/schemas")
    anchors = [a.get("href", "")[1:] for a in page.all("a") if a.get("href", "").startswith("#")]
    assert len(anchors) > 50
    for anchor in anchors:
        page.by_id(anchor)
