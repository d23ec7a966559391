"""What the first load of a page transfers, over a real socket: the page and the files it names,
headers included, by whoever takes gzip as every browser does. What nobody sees at first (a
preview's picture) does not count.
"""

import gzip
import re
from urllib.parse import urljoin

import pytest
import requests

from tests.e2e.place import Place, browser, sign_up

BYTES_MAX = 100_000
PUBLIC = ("/", "/models", "/pricing", "/docs", "/docs/quickstart", "/docs/api-reference/schemas",
          "/models/parameters", "/status", "/login", "/signup")  # fmt: skip
OWN = ("/account", "/account/keys", "/account/activity", "/account/balance", "/playground")
FILES = re.compile(r'<(?:script|link)\b[^>]*?(?:src|href)="(/static/[^"]+)"')


@pytest.fixture(scope="module")
def reader(place: Place) -> requests.Session:
    """A browser of somebody who is signed in."""
    visitor = browser()
    sign_up(place.served, "weigher@example.com", visitor)
    return visitor


def weight(place: Place, path: str, visitor: requests.Session) -> int:
    """The bytes of the page and of what it asks for, as they come over the wire."""
    url = f"{place.served.url}{path}"
    page, size = _fetched(visitor, url)
    files = set(FILES.findall(page))
    assert files, path
    return size + sum(_fetched(visitor, urljoin(url, file))[1] for file in files)


def _fetched(visitor: requests.Session, url: str) -> tuple[str, int]:
    """The text behind an address, and the bytes that brought it."""
    asked = {"Accept-Encoding": "gzip, deflate, br, zstd"}
    with visitor.get(url, headers=asked, stream=True, timeout=10) as answer:
        assert answer.status_code == 200, url
        body: bytes = answer.raw.read(decode_content=False)
        head = sum(len(name) + len(value) + 4 for name, value in answer.headers.items())
        is_packed = answer.headers.get("Content-Encoding") == "gzip"
        text = gzip.decompress(body) if is_packed else body
        return text.decode("utf-8", "replace"), len(body) + head


@pytest.mark.parametrize("path", PUBLIC)
def test_a_strangers_first_load(place: Place, path: str) -> None:
    assert weight(place, path, requests.Session()) < BYTES_MAX


@pytest.mark.parametrize("path", (*PUBLIC[:-2], *OWN))
def test_a_signed_in_readers_first_load(place: Place, reader: requests.Session, path: str) -> None:
    assert weight(place, path, reader) < BYTES_MAX


def test_most_pages_come_in_half_of_that(place: Place) -> None:
    """The landing page decides whether somebody stays, and is let grow no further than this."""
    assert weight(place, "/", requests.Session()) < 45_000
