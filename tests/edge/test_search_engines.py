"""What search engines and link previews are told of each page."""

import re
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from flask import Flask

from tests.browser import Browser, Page
from tests.edge.signed_in import browser_of
from tests.factories import Person

SITE = "https://llm.example.com"
TITLE_CHARACTERS_MAX = 70
DESCRIPTION_CHARACTERS = range(50, 161)


@pytest.fixture
def site(make_app: Callable[..., Flask]) -> Browser:
    """A stranger's browser at a server that knows its own address."""
    return Browser(make_app(SOLROUTER_BASE_URL=SITE))


def sitemap(browser: Browser) -> list[str]:
    """The paths that the sitemap names, all of them this server's."""
    answer = browser.client.get("/sitemap.xml")
    assert answer.mimetype == "application/xml"
    urls: list[str] = re.findall(r"<loc>([^<]+)</loc>", answer.text)
    assert {f"{urlsplit(url).scheme}://{urlsplit(url).netloc}" for url in urls} == {SITE}
    return [url.removeprefix(SITE) for url in urls]


def meta(page: Page, name: str) -> str | None:
    """What a page's head says under a name or a property."""
    said = [
        element.get("content", "")
        for element in page.all("meta")
        if name in (element.get("name"), element.get("property"))
    ]
    assert len(said) <= 1
    return said[0] if said else None


def canonical(page: Page) -> str | None:
    """The page's one address."""
    links = [link.get("href") for link in page.all("link") if link.get("rel") == "canonical"]
    return links[0] if links else None


def test_crawlers_are_led_to_the_sitemap_and_away_from_the_api(site: Browser) -> None:
    answer = site.client.get("/robots.txt")
    assert answer.mimetype == "text/plain"
    assert f"Sitemap: {SITE}/sitemap.xml" in answer.text
    assert "Disallow: /v1/" in answer.text
    assert "Disallow: /\n" not in answer.text


def test_every_page_of_the_sitemap_introduces_itself(site: Browser) -> None:
    paths = sitemap(site)
    assert {"/", "/models", "/pricing", "/docs/quickstart", "/terms", "/models/demo/echo"} <= {
        *paths
    }
    assert len(set(paths)) == len(paths)
    titles: dict[str, str] = {}
    for path in paths:
        page = site.get(path)
        assert meta(page, "robots") is None, path
        assert canonical(page) == f"{SITE}{path}" == meta(page, "og:url"), path
        title = "".join(page.all("title")[0].itertext())
        assert len(title) <= TITLE_CHARACTERS_MAX, title
        assert titles.setdefault(title, path) == path, f"{path} and {titles[title]}: {title}"
        said = meta(page, "description") or ""
        assert len(said) in DESCRIPTION_CHARACTERS, f"{path}: {len(said)}: {said}"
        assert meta(page, "og:description") == said


def test_a_search_and_a_list_are_the_same_page(site: Browser) -> None:
    assert canonical(site.get("/models?q=claude&sort=price")) == f"{SITE}/models"


def test_a_link_preview_has_a_picture(site: Browser) -> None:
    picture = meta(site.get("/"), "og:image") or ""
    answer = site.client.get(picture.removeprefix(SITE), buffered=True)
    assert (answer.status_code, answer.mimetype) == (200, "image/png")


@pytest.mark.parametrize("path", ["/login", "/signup", "/password/forgot"])
def test_doors_are_not_listed(site: Browser, path: str) -> None:
    page = site.get(path)
    assert meta(page, "robots") == "noindex"
    assert canonical(page) is None


@pytest.mark.parametrize("path", ["/account", "/account/keys", "/account/activity", "/playground"])
def test_what_is_behind_the_sign_in_is_not_listed(app: Flask, alice: Person, path: str) -> None:
    page = browser_of(app, alice).get(path)
    assert meta(page, "robots") == "noindex"
    assert canonical(page) is None and meta(page, "og:url") is None


def test_an_error_has_no_address(site: Browser) -> None:
    assert canonical(site.get("/no-such-page", status=404)) is None
