"""A browser that minds the house rules: it inspects every page it is given, so that no test can
forget.

Each HTML answer must parse as HTML5, have one `h1` with which its title begins, unique ids, forms
with method and action, and no inline script or style. A fragment has one root with an id.
"""

import re
import warnings
from typing import Any
from xml.etree.ElementTree import Element

import html5lib
from flask import Flask
from werkzeug.test import TestResponse

HTML = "{http://www.w3.org/1999/xhtml}"


class Browser:
    """A signed-out client; `sign_in` it as somebody. Every answer's page is inspected."""

    def __init__(self, app: Flask) -> None:
        self.client = app.test_client()

    def get(self, path: str, *, status: int = 200, **kwargs: Any) -> "Page":
        """The page at this path."""
        return self._page(self.client.get(path, **kwargs), status)

    def post(
        self, path: str, data: dict[str, str] | None = None, *, status: int = 303, **kwargs: Any
    ) -> "Page":
        """What comes back when a form is sent."""
        return self._page(self.client.post(path, data=data, **kwargs), status)

    def _page(self, answer: TestResponse, status: int) -> "Page":
        assert answer.status_code == status, f"{answer.status_code}: {answer.text[:2000]}"
        page = Page(answer)
        if answer.mimetype == "text/html" and answer.text and status not in (301, 302, 303, 308):
            inspect(page)
        return page


class Page:
    """An answer, and its document."""

    def __init__(self, answer: TestResponse) -> None:
        self.answer = answer
        self.headers = answer.headers
        self.location = answer.headers.get("Location", "")
        self.html = answer.text
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.parser = html5lib.HTMLParser(strict=False)
            self.root: Element = self.parser.parse(self.html or "<!doctype html><title></title>")

    @property
    def text(self) -> str:
        """All words of the body, spaces folded."""
        body = self.root.find(f"{HTML}body")
        assert body is not None
        return re.sub(r"\s+", " ", "".join(body.itertext())).strip()

    def all(self, tag: str) -> list[Element]:
        """Every element of this tag."""
        return list(self.root.iter(f"{HTML}{tag}"))

    def by_id(self, identifier: str) -> Element:
        """The element with this id."""
        found = [element for element in self.root.iter() if element.get("id") == identifier]
        assert found, f"nothing has the id {identifier}"
        return found[0]

    def by_name(self, name: str) -> str:
        """The value of the field with this name."""
        found = [field.get("value", "") for field in self.all("input") if field.get("name") == name]
        assert found, f"no field is called {name}"
        return found[0]

    @property
    def is_whole(self) -> bool:
        """Whether this is a page and not a fragment."""
        return "<html" in self.html[:200].lower()


def inspect(page: Page) -> None:
    """The rules for every page and fragment."""
    _unique_ids(page)
    _no_inline(page)
    _forms(page)
    if not page.is_whole:
        return
    errors = [code for _, code, _ in page.parser.errors]
    assert not errors, f"not valid HTML5: {errors[:5]}"
    headings = page.all("h1")
    assert len(headings) == 1, f"a page has one h1, this one has {len(headings)}"
    heading = re.sub(r"\s+", " ", "".join(headings[0].itertext())).strip()
    title = re.sub(r"\s+", " ", "".join(page.all("title")[0].itertext())).strip()
    assert title.startswith(heading), f"the title {title!r} begins with the h1 {heading!r}"
    _targets(page)


def _unique_ids(page: Page) -> None:
    ids = [element.get("id") for element in page.root.iter() if element.get("id")]
    twice = {identifier for identifier in ids if ids.count(identifier) > 1}
    assert not twice, f"ids stand once: {twice}"


def _no_inline(page: Page) -> None:
    assert not page.all("style"), "styles live in site.css"
    for script in page.all("script"):
        assert script.get("src"), "scripts live in files"
    for element in page.root.iter():
        for name in element.keys():  # noqa: SIM118 (ElementTree's Element is no dict)
            assert name != "style", "no inline style"
            assert not name.startswith(("on", "hx-on")), f"no inline handler: {name}"


def _forms(page: Page) -> None:
    for form in page.all("form"):
        assert form.get("action"), "every form says where it goes"
        assert form.get("method"), "every form says how"


def _targets(page: Page) -> None:
    ids = {element.get("id") for element in page.root.iter()}
    for element in page.root.iter():
        target = element.get("hx-target", "")
        if target.startswith("#"):
            assert target[1:] in ids, f"hx-target {target} is not on the page"
