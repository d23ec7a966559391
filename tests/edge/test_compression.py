"""What is compressed, for whom, and what never is (docs/adr/0014)."""

import gzip
import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from solrouter.blueprints import COMPRESSED_ROOMS
from tests.browser import Browser
from tests.edge.signed_in import QUESTION, browser_of
from tests.factories import Person

TAKES = {"Accept-Encoding": "gzip, deflate, br"}
STYLES = re.compile(r'/static/site\.css\?v=[0-9a-f]{12}(?=")')


def styles(client: FlaskClient) -> str:
    """The style sheet's address, as a page has it."""
    found = STYLES.search(client.get("/").text)
    assert found
    return found.group()


@pytest.mark.parametrize(
    "path", ["/", "/models", "/docs/quickstart", "/status", "/openapi.json", "/docs/errors.md"]
)
def test_a_public_answer_is_compressed_for_who_takes_it(client: FlaskClient, path: str) -> None:
    plain, packed = client.get(path), client.get(path, headers=TAKES)
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    for answer in (plain, packed):
        assert "Accept-Encoding" in answer.headers["Vary"]
        assert answer.content_length == len(answer.data)
    assert len(gzip.decompress(packed.data)) == pytest.approx(len(plain.data), rel=0.01)
    assert len(packed.data) < len(plain.data) / 2


@pytest.mark.parametrize("said", ["", "br", "identity", "gzip;q=0", "deflate"])
def test_nobody_is_sent_what_they_do_not_take(client: FlaskClient, said: str) -> None:
    for path in ("/models", styles(client)):
        answer = client.get(path, headers={"Accept-Encoding": said}, buffered=True)
        assert "Content-Encoding" not in answer.headers


def test_a_signed_in_page_has_another_length_each_time(app: Flask, alice: Person) -> None:
    """What is the same to the last byte says so to whoever counts them on the wire."""
    browser = browser_of(app, alice)
    lengths = {len(browser.client.get("/models", headers=TAKES).data) for _ in range(12)}
    assert len(lengths) > 3
    assert max(lengths) - min(lengths) < 200


@pytest.mark.parametrize(
    "path", ["/account", "/account/keys", "/account/settings", "/account/activity", "/playground"]
)
def test_private_pages_are_never_compressed(app: Flask, alice: Person, path: str) -> None:
    answer = browser_of(app, alice).client.get(path, headers=TAKES)
    assert answer.status_code == 200
    assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize("path", ["/login", "/signup", "/healthz", "/nowhere"])
def test_neither_doors_nor_small_things_are(client: FlaskClient, path: str) -> None:
    assert "Content-Encoding" not in client.get(path, headers=TAKES).headers


@pytest.mark.parametrize("stream", [False, True])
def test_the_api_is_never_compressed(app: Flask, alice: Person, stream: bool) -> None:
    body: dict[str, Any] = {"model": "demo/echo", "messages": QUESTION, "stream": stream}
    client, headers = app.test_client(), {**alice.bearer, **TAKES}
    answer = client.post("/v1/chat/completions", json=body, headers=headers)
    assert answer.status_code == 200 and answer.data
    assert "Content-Encoding" not in answer.headers
    assert "Content-Encoding" not in client.get("/v1/models", headers=headers).headers


def test_no_room_with_secrets_is_among_the_compressed() -> None:
    names = {room.name for room in COMPRESSED_ROOMS}
    assert names == {
        *("pages", "catalogue", "status", "policies", "docs", "openapi", "search_engines")
    }


def test_a_file_is_kept_for_good_at_the_address_with_its_hash(client: FlaskClient) -> None:
    path = styles(client)
    answer = client.get(path, headers=TAKES, buffered=True)
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(answer.data) == client.get(path, buffered=True).data


@pytest.mark.parametrize("path", ["/static/site.css", "/static/site.css?v=0123456789ab"])
def test_a_file_at_another_address_is_asked_for_again(client: FlaskClient, path: str) -> None:
    first = client.get(path, headers=TAKES, buffered=True)
    assert first.headers["Cache-Control"] == "no-cache"
    tag = {"If-None-Match": first.headers["ETag"]}
    again = client.get(path, headers={**TAKES, **tag}, buffered=True)
    assert (again.status_code, again.data) == (304, b"")


def test_a_part_of_a_file_is_a_part_of_its_own_bytes(client: FlaskClient) -> None:
    asked = {**TAKES, "Range": "bytes=0-9"}
    answer = client.get("/static/site.css", headers=asked, buffered=True)
    assert answer.status_code == 206
    assert "Content-Encoding" not in answer.headers
    assert answer.data == client.get("/static/site.css", buffered=True).data[:10]


def test_a_picture_is_not_compressed_twice(client: FlaskClient) -> None:
    answer = client.get("/static/social.png", headers=TAKES, buffered=True)
    assert answer.status_code == 200 and "Content-Encoding" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/models", "/docs", "/pricing", "/patterns", "/login"])
def test_every_file_of_a_page_has_its_hash(browser: Browser, path: str) -> None:
    page = browser.get(path)
    files = [
        e.get("src") or e.get("href") or "" for tag in ("script", "link") for e in page.all(tag)
    ]
    own = [file for file in files if file.startswith("/static/")]
    assert own
    for file in own:
        assert re.search(r"\?v=[0-9a-f]{12}$", file), file
