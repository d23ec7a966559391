"""Who may do what: the table of tests/data/permissions.txt against every route that there is."""

import io
import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from solrouter import create_app
from solrouter.blueprints import guards
from tests.conftest import close, settings
from tests.edge.pages import FormPage
from tests.house.permissions import (
    COLUMNS,
    WORDS,
    Place,
    Row,
    make_place,
    routes,
    rows,
    signed_in,
    spare_key,
    word,
)

ROWS = rows()
LINK = re.compile(r'\b(href|action|hx-post)="(/account[^"?]*)')
MEMBERS = ("owner", "billing", "developer")
SERVER = {
    "GITHUB_CLIENT_ID": "id",
    "GITHUB_CLIENT_SECRET": "a-secret-of-the-tests",
    "SMTP_URL": "smtp://127.0.0.1:9",
    "SOLROUTER_BASE_URL": "https://llm.example.com",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Place]:
    """One house for all rows: none of them takes from Alice what another needs."""
    folder = tmp_path_factory.mktemp("permissions")
    shutil.copy(sqlite_template, folder / "test.sqlite3")
    app = create_app(settings(f"sqlite:///{folder / 'test.sqlite3'}", folder, **SERVER))
    app.testing = True
    yield make_place(app)
    close(app)


def test_every_route_is_in_the_table(app: Flask) -> None:
    missing = set(routes(app)) - {row.name for row in ROWS}
    lines = [f"{name:<30} " + "    ".join(f"?{column}" for column in COLUMNS) for name in missing]
    assert not missing, (
        "a route is not in tests/data/permissions.txt. Type, with yes, own, login, 401, 403 or 404 "
        "for each who may try it:\n" + "\n".join(sorted(lines))
    )


def test_the_table_names_no_route_twice_and_none_that_is_gone(app: Flask) -> None:
    names = [row.name for row in ROWS]
    assert sorted(set(names)) == sorted(names)
    assert set(names) <= set(routes(app))


def test_the_table_knows_its_words() -> None:
    for row in ROWS:
        assert set(row.cells.values()) <= WORDS, row.name


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_everyone_may_do_what_the_table_says(place: Place, row: Row) -> None:
    rule = routes(place.app)[row.name]
    said = {}
    for who, cell in row.cells.items():
        said[who] = word(place.ask(row, rule, who))
        if cell == "own" and said[who] == "404":
            theirs = word(place.ask(row, rule, who, own=True))
            said[who] = "own" if theirs == "yes" else f"own: {theirs}"
    place.mend()
    place.mend_team()
    assert said == row.cells


def test_no_cookie_opens_the_api_and_no_key_a_page() -> None:
    """The table itself, so that nobody writes a hole into it by mistake."""
    for row in ROWS:
        cells = row.cells
        if row.endpoint.startswith("api."):
            strangers = {cells[who] for who in COLUMNS[:6]}
            assert len(strangers) == 1, f"{row.name}: the API never looks at a cookie"
        else:
            keys = {cells["anonymous"], cells["key"], cells["strange"]}
            assert len(keys) == 1, f"{row.name}: a page never looks at a key"


def test_a_developer_sees_the_keys_that_they_made(place: Place) -> None:
    mine = spare_key(place.app, place.people["owner"], place.people["developer"])
    with signed_in(place, "developer") as client:
        text = client.get("/account/keys").text
        assert mine in text
        assert "Of dora@example.com" in text and "Of alice@example.com" not in text
    with signed_in(place, "owner") as client:
        text = client.get("/account/keys").text
        assert "Of dora@example.com" in text and "Of alice@example.com" in text


def test_tabs_lead_where_the_role_may_go(place: Place) -> None:
    for who, hidden in (("billing", "/account/keys"), ("developer", "/account/balance")):
        with signed_in(place, who) as client:
            assert f'href="{hidden}"' not in client.get("/account").text
            answer = client.get(hidden)
            assert answer.status_code == 403
            assert f"Your role in this account is “{who}”" in FormPage(answer).text


@pytest.mark.parametrize("who", MEMBERS)
@pytest.mark.parametrize("is_frozen", [False, True])
def test_no_page_leads_where_the_role_may_not_go(place: Place, who: str, is_frozen: bool) -> None:
    spare_key(place.app, place.people["owner"], place.people["developer"])
    with signed_in(place, "owner") as owner:
        assert owner.post(f"/account/keys/{'' if is_frozen else 'un'}freeze").status_code == 303
    with signed_in(place, who) as client:
        seen = pages_from(client, "/account")
    place.mend()
    assert {"/account", "/account/activity", "/account/settings"} <= set(seen)
    endpoints = place.app.url_map.bind("localhost")
    for path, links in seen.items():
        for attribute, link in links:
            # Some forms only look: their action takes no POST.
            is_act = attribute != "href" and endpoints.test(link, "POST")
            name, _ = endpoints.match(link, "POST" if is_act else "GET")
            may_open = guards.MEMBERS.get(name, guards.OWNER_ALONE)
            assert who in may_open, f"{path} of {who} leads to {link}"


def pages_from(client: FlaskClient, start: str) -> dict[str, list[tuple[str, str]]]:
    """Each page of an account that links lead to, and its links and forms."""
    seen: dict[str, list[tuple[str, str]]] = {}
    waiting = [start]
    while waiting:
        path = waiting.pop()
        answer = client.get(path)
        assert answer.status_code != 403, path
        seen[path] = LINK.findall(answer.text)
        known = {*seen, *waiting}
        linked = dict.fromkeys(link for attribute, link in seen[path] if attribute == "href")
        waiting += [link for link in linked if link not in known]
    return seen


@pytest.mark.parametrize("who", MEMBERS)
def test_what_is_the_accounts_is_exported_by_its_owner_alone(place: Place, who: str) -> None:
    with signed_in(place, who) as client:
        answer = client.post("/account/settings/export")
    with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
        files = {name.removesuffix(".jsonl"): archive.read(name) for name in archive.namelist()}
    of_account = {"transfers", "payments", "audit"}
    assert files.keys() & of_account == (of_account if who == "owner" else set())
    of_requests = {"receipts", "contents"}
    assert files.keys() & of_requests == (set() if who == "billing" else of_requests)
    if who != "billing":
        asked = {json.loads(line)["id"] for line in files["receipts"].splitlines()}
        assert place.own["receipt"] in asked
        assert (place.objects["receipt"] in asked) == (who == "owner")
    makers = {json.loads(line)["name"] for line in files["keys"].splitlines()}
    assert ("Of alice@example.com" in makers) == (who == "owner")
    assert ("Of dora@example.com" in makers) == (who != "billing")
