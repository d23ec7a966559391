"""A key's limit on the pages and in `GET /v1/key`: set, shown, changed, taken away."""

import pytest
from flask import Flask
from flask.testing import FlaskClient

from solrouter.services import keys
from tests.browser import HTML, Page
from tests.edge.signed_in import HTMX, ask, browser_of
from tests.factories import Person


def first_key(app: Flask, person: Person) -> keys.Key:
    with app.app_context():
        return keys.list_of(person.account_id)[0]


def address(key: keys.Key) -> str:
    return f"/account/keys/{key.public_id}"


def chosen(page: Page) -> str:
    """The option of the reset that is selected."""
    options = page.by_id("resets").iter(f"{HTML}option")
    [value] = [option.get("value", "") for option in options if "selected" in option.keys()]  # noqa: SIM118
    return value


def test_a_key_is_created_with_a_limit_that_resets(app: Flask, alice: Person) -> None:
    browser = browser_of(app, alice)
    form = {"name": "website", "limit": "5", "resets": "daily"}
    assert "$0.00 of $5.00 today" in browser.post("/account/keys", form, status=200).text
    page = browser.get("/account/keys")
    assert "$0.00 of $5.00 today" in page.text
    assert "Resets " in page.text
    assert "00:00 UTC" in page.text


def test_a_limit_without_a_reset_shows_none(app: Flask, alice: Person) -> None:
    browser = browser_of(app, alice)
    browser.post("/account/keys", {"name": "website", "limit": "5", "resets": "never"}, status=200)
    page = browser.get("/account/keys")
    assert "$0.00 of $5.00" in page.text
    assert "today" not in page.text
    assert not [span for span in page.all("span") if span.get("class") == "sub"]


def test_the_list_leads_to_a_form_that_holds_what_is_set(app: Flask, alice: Person) -> None:
    browser, key = browser_of(app, alice), first_key(app, alice)
    browser.post(address(key), {"name": "website", "limit": "2.50", "resets": "weekly"})
    assert address(key) in [a.get("href") for a in browser.get("/account/keys").all("a")]
    for headers in ({}, HTMX):
        page = browser.get(address(key), headers=headers)
        assert page.is_whole == (not headers)
        assert page.by_id("name").get("value") == "website"
        assert page.by_id("limit").get("value") == "2.5"
        assert chosen(page) == "weekly"
        [form] = [form for form in page.all("form") if form.get("action") == address(key)]
        assert form.get("method") == "post"


def test_a_key_is_changed_by_the_form(app: Flask, alice: Person) -> None:
    browser, key = browser_of(app, alice), first_key(app, alice)
    form = {"name": "website", "limit": "5", "resets": "monthly"}
    assert browser.post(address(key), form).location == address(key)
    page = browser.get(address(key))
    assert "“website” is changed" in page.text
    assert "$0.00 of $5.00 this month" in page.text


def test_htmx_changes_a_key_in_place_and_takes_its_limit_away(app: Flask, alice: Person) -> None:
    browser, key = browser_of(app, alice), first_key(app, alice)
    browser.post(address(key), {"name": "website", "limit": "5", "resets": "daily"})
    form = {"name": "shop", "limit": "", "resets": "daily"}
    renamed = browser.post(address(key), form, status=200, headers=HTMX)
    assert renamed.headers["HX-Redirect"] == address(key)
    browser.post(address(key), {**form, "limit": "7"}, status=200, headers=HTMX)
    page = browser.post(address(key), form, status=200, headers=HTMX)
    assert not page.is_whole
    assert "“shop” is changed" in page.text
    assert "No limit" in page.text
    assert first_key(app, alice).limit_nanos is None


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [({"name": ""}, "name"), ({"limit": "much"}, "limit"), ({"resets": "hourly"}, "resets")],
    ids=["no name", "no amount", "no period"],
)
@pytest.mark.parametrize("headers", [{}, HTMX], ids=["browser", "htmx"])
def test_a_refused_change_keeps_what_was_typed(
    app: Flask, alice: Person, changes: dict[str, str], wrong: str, headers: dict[str, str]
) -> None:
    browser, key = browser_of(app, alice), first_key(app, alice)
    form = {"name": "website", "limit": "5", "resets": "daily", **changes}
    page = browser.post(address(key), form, status=422, headers=headers)
    assert page.by_id(wrong).get("aria-invalid") == "true"
    assert page.by_id("key") is not None
    assert page.by_id("limit").get("value", "") == form["limit"]
    assert first_key(app, alice) == key


def test_a_revoked_key_is_not_offered_for_a_change(app: Flask, alice: Person) -> None:
    browser, key = browser_of(app, alice), first_key(app, alice)
    browser.post(f"/account/keys/{key.public_id}/revoke")
    page = browser.get(address(key))
    assert "cannot be brought back" in page.text
    assert address(key) not in {form.get("action") for form in page.all("form")}
    form = {"name": "website", "limit": "5", "resets": "daily"}
    browser.post(address(key), form, status=422)
    assert first_key(app, alice).name == key.name


def test_charlie_cannot_change_alices_key(app: Flask, alice: Person, charlie: Person) -> None:
    client, key = browser_of(app, charlie).client, first_key(app, alice)
    assert client.get(address(key)).status_code == 404
    assert client.post(address(key), data={"name": "mine", "limit": ""}).status_code == 404
    assert first_key(app, alice) == key


def test_a_lowered_limit_refuses_the_next_request(
    app: Flask, alice: Person, client: FlaskClient
) -> None:
    ask(app, alice)
    key = first_key(app, alice)
    browser_of(app, alice).post(address(key), {"name": "a", "limit": "0", "resets": "daily"})
    body = {"model": "demo/echo", "messages": [{"role": "user", "content": "Hello"}]}
    answer = client.post("/v1/chat/completions", json=body, headers=alice.bearer)
    assert answer.status_code == 402
    assert answer.json["error"]["code"] == "key_limit_reached"


def test_a_key_tells_its_limit_and_its_usage(
    app: Flask, alice: Person, client: FlaskClient
) -> None:
    def told() -> dict[str, object]:
        data: dict[str, object] = client.get("/v1/key", headers=alice.bearer).json["data"]
        return data

    data = told()
    assert [data[name] for name in ("limit", "limit_remaining", "limit_reset")] == [None] * 3
    assert (data["usage"], data["limit_resets_at"]) == (0, None)
    ask(app, alice)
    key = first_key(app, alice)
    form = {"name": "website", "limit": "1", "resets": "weekly"}
    browser_of(app, alice).post(address(key), form)
    data = told()
    with app.app_context():
        spent = keys.find(alice.account_id, key.public_id).spent_nanos
    assert spent > 0
    assert data["usage"] == spent / 10**9
    assert data["usage_daily"] == data["usage_weekly"] == data["usage_monthly"] == data["usage"]
    assert (data["limit"], data["limit_reset"]) == (1, "weekly")
    assert data["limit_remaining"] == (10**9 - spent) / 10**9
    assert str(data["limit_resets_at"]).endswith("T00:00:00+00:00")
