"""Money, keys and access ask again who is there after ten minutes; nothing typed is lost by it."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update

from solrouter import clock, database
from solrouter.blueprints import confirm
from solrouter.models import Session
from solrouter.services import accounts, catalogue, keys
from tests.authenticator import set_up_in
from tests.edge import by_github
from tests.edge.conftest import visitor_of
from tests.edge.pages import FormPage
from tests.factories import Person, make_person
from tests.fakes.github import FakeGitHub

HTMX = {"HX-Request": "true", "HX-Current-URL": "http://localhost/account/keys"}
KEY = {"name": "laptop", "limit": "2.50", "resets": "daily"}


def let_time_pass(app: Flask, minutes: int = 11) -> None:
    """As if all sessions had been proven so long ago."""
    then = clock.utcnow() - timedelta(minutes=minutes)
    with app.app_context():
        statement = update(Session).values(proven_at=then, created_at=then)
        database.transact(lambda connection: connection.execute(statement).rowcount)


def key_names(app: Flask, person: Person) -> set[str]:
    with app.app_context():
        return {key.name for key in keys.list_of(person.account_id)}


@pytest.fixture
def signed_in(visitor: FlaskClient, alice: Person) -> FlaskClient:
    alice.sign_in(visitor)
    return visitor


def test_within_ten_minutes_nobody_is_asked(
    app: Flask, signed_in: FlaskClient, alice: Person
) -> None:
    let_time_pass(app, minutes=9)
    assert signed_in.post("/account/keys", data=KEY).status_code == 200
    assert "laptop" in key_names(app, alice)


def test_after_that_the_form_waits_and_then_goes_on(
    app: Flask, signed_in: FlaskClient, alice: Person
) -> None:
    let_time_pass(app)
    asked = signed_in.post("/account/keys", data=KEY)
    page = FormPage(asked)
    assert (asked.status_code, page.heading) == (403, "Confirm it is you")
    assert "create an API key" in page.text
    assert "laptop" not in key_names(app, alice)
    form = {"current": alice.password, "held": page.value("held")}
    again = signed_in.post("/account/confirm", data=form)
    assert (again.status_code, again.location) == (307, "/account/keys")
    # A browser posts the same form again to where a 307 leads.
    done = signed_in.post(again.location, data=form)
    assert done.status_code == 200 and "Copy your new key" in done.text
    with app.app_context():
        (key,) = (key for key in keys.list_of(alice.account_id) if key.name == "laptop")
    assert (key.limit_nanos, key.resets) == (2_500_000_000, "daily")


def test_with_htmx_the_question_takes_the_place_of_the_page(
    app: Flask, signed_in: FlaskClient
) -> None:
    let_time_pass(app)
    asked = signed_in.post("/account/keys", data=KEY, headers=HTMX)
    assert asked.status_code == 403
    assert asked.headers["HX-Retarget"] == "#main"
    assert asked.text.lstrip().startswith('<div id="confirm"')
    assert FormPage(asked).value("held")


def test_a_wrong_password_is_refused_and_the_form_still_waits(
    app: Flask, signed_in: FlaskClient, alice: Person
) -> None:
    let_time_pass(app)
    page = FormPage(signed_in.post("/account/keys", data=KEY))
    form = {"current": "not this one", "held": page.value("held")}
    answer = signed_in.post("/account/confirm", data=form)
    assert answer.status_code == 422 and FormPage(answer).alerts()
    assert FormPage(answer).value("held") == page.value("held")
    assert signed_in.post("/account/keys", data=form).status_code == 403
    assert "laptop" not in key_names(app, alice)


def test_guessing_the_password_there_is_slowed(app: Flask, signed_in: FlaskClient) -> None:
    let_time_pass(app)
    statuses = [
        signed_in.post("/account/confirm", data={"current": f"guess {n}"}).status_code
        for n in range(11)
    ]
    assert statuses[-1] == 429


def test_the_session_gets_a_new_token(app: Flask, signed_in: FlaskClient, alice: Person) -> None:
    before = signed_in.get_cookie("solrouter")
    let_time_pass(app)
    signed_in.post("/account/confirm", data={"current": alice.password})
    after = signed_in.get_cookie("solrouter")
    assert before and after and before.value != after.value
    assert signed_in.get("/account").status_code == 200
    stale = visitor_of(app)
    stale.set_cookie("solrouter", before.value)
    assert stale.get("/account").status_code == 303


def test_revoking_a_key_and_ending_sessions_is_never_hindered(
    app: Flask, signed_in: FlaskClient, alice: Person
) -> None:
    let_time_pass(app)
    with app.app_context():
        (key,) = keys.list_of(alice.account_id)
    assert signed_in.post(f"/account/keys/{key.public_id}/revoke").status_code == 303
    assert signed_in.post("/account/settings/sessions/end-others").status_code == 303
    with app.app_context():
        assert keys.find(alice.account_id, key.public_id).status == "revoked"


def test_a_secret_in_a_held_form_is_not_on_the_page(app: Flask, operator: Person) -> None:
    visitor = visitor_of(app)
    operator.sign_in(visitor)
    let_time_pass(app)
    form = {"slug": "acme", "kind": "openai", "base_url": "http://localhost:9/v1"}
    asked = visitor.post("/admin/providers", data=form | {"api_key": "canary-7d1e"})
    assert asked.status_code == 403 and "canary-7d1e" not in asked.text
    confirmed = {"current": operator.password, "held": FormPage(asked).value("held")}
    there = visitor.post("/account/confirm", data=confirmed).location
    assert visitor.post(there, data=confirmed).status_code == 303
    with app.app_context():
        (acme,) = (row for row in catalogue.providers() if row.slug == "acme")
        assert acme.key_source == "stored"


def test_a_held_form_is_good_for_its_person_and_its_act_alone(
    app: Flask, signed_in: FlaskClient, bob: Person
) -> None:
    let_time_pass(app)
    held = FormPage(signed_in.post("/account/keys", data=KEY)).value("held")
    other = visitor_of(app)
    bob.sign_in(other)
    assert other.post("/account/keys", data={"held": held}).status_code == 422
    assert key_names(app, bob) == {"First key"}
    assert other.post("/account/confirm", data={"held": held}).status_code == 422
    with app.app_context():
        (key,) = keys.list_of(bob.account_id)
    path = f"/account/keys/{key.public_id}"
    assert other.post(path, data={"held": "gAAAA-invented"}).status_code == 422


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example/", "/\\evil.example"])
def test_the_confirm_page_leads_to_no_other_site(
    app: Flask, signed_in: FlaskClient, alice: Person, target: str
) -> None:
    let_time_pass(app)
    assert "evil" not in signed_in.get("/account/confirm", query_string={"next": target}).text
    form = {"current": alice.password, "next": target}
    assert signed_in.post("/account/confirm", data=form).location == "/account"


def test_without_a_form_it_leads_back(app: Flask, signed_in: FlaskClient, alice: Person) -> None:
    let_time_pass(app)
    form = {"current": alice.password, "next": "/account/activity"}
    assert signed_in.post("/account/confirm", data=form).location == "/account/activity"


def test_another_sites_form_is_not_held(app: Flask, signed_in: FlaskClient) -> None:
    let_time_pass(app)
    answer = signed_in.post("/account/keys", data=KEY, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403 and "held" not in answer.text


def without_password(app: Flask, visitor: FlaskClient) -> int:
    """The number of a user who came by GitHub and has no password; the visitor is theirs."""
    by_github.sign_in(visitor)
    with app.app_context():
        row = accounts.find_user("ada@example.com")
    assert row is not None
    return row.user_id


def test_without_a_password_a_code_is_asked_for(
    make_app: Callable[..., Flask], github: FakeGitHub
) -> None:
    app = by_github.enabled(make_app, github)
    visitor = visitor_of(app)
    phone = set_up_in(app, without_password(app, visitor))
    by_github.sign_in(visitor)
    visitor.post("/login/code", data={"code": phone.code()})
    let_time_pass(app)
    page = FormPage(visitor.post("/account/keys", data=KEY))
    assert page.fields(name="current") == [] and page.fields(name="code")
    form = {"code": phone.code(1), "held": page.value("held")}
    assert visitor.post("/account/confirm", data=form).status_code == 307
    assert "Copy your new key" in visitor.post("/account/keys", data=form).text


def test_without_either_a_fresh_sign_in_at_github_is_the_proof(
    make_app: Callable[..., Flask], github: FakeGitHub
) -> None:
    app = by_github.enabled(make_app, github)
    visitor = visitor_of(app)
    without_password(app, visitor)
    let_time_pass(app)
    page = FormPage(visitor.post("/account/keys", data=KEY))
    (form,) = [f for f in page.all("form") if "confirm" in (f.get("action") or "")]
    assert form.get("action") == "/account/confirm/github"
    held = page.value("held")
    out = visitor.post("/account/confirm/github", data={"held": held})
    back = by_github.back_from(visitor, out)
    assert FormPage(back).heading == "Confirm it is you"
    again = {"held": FormPage(back).value("held")}
    assert visitor.post("/account/confirm", data=again).status_code == 307
    assert "Copy your new key" in visitor.post("/account/keys", data=again).text


def test_somebody_elses_github_account_proves_nothing(
    make_app: Callable[..., Flask], github: FakeGitHub
) -> None:
    app = by_github.enabled(make_app, github)
    visitor = visitor_of(app)
    without_password(app, visitor)
    let_time_pass(app)
    github.person = by_github.EVE
    refused = by_github.back_from(visitor, visitor.post("/account/confirm/github"))
    assert refused.location == "/account/settings"
    assert visitor.post("/account/keys", data=KEY).status_code == 403


def test_the_setting_says_for_how_long(make_app: Callable[..., Flask]) -> None:
    app = make_app(SOLROUTER_PROOF_S="60")
    ada, visitor = make_person(app, "ada@example.com"), visitor_of(app)
    ada.sign_in(visitor)
    let_time_pass(app, minutes=2)
    assert visitor.post("/account/keys", data=KEY).status_code == 403


def test_each_act_on_the_list_asks(app: Flask, operator: Person) -> None:
    """With the list emptied, all of these would simply do it."""
    visitor = visitor_of(app)
    operator.sign_in(visitor)
    let_time_pass(app)
    adapter = app.url_map.bind("localhost")
    for endpoint in confirm.NEEDS_PROOF:
        (rule,) = app.url_map.iter_rules(endpoint)
        path = adapter.build(endpoint, dict.fromkeys(rule.arguments, "x"), method="POST")
        answer = visitor.post(path, data={})
        assert answer.status_code == 403, endpoint
        assert FormPage(answer).heading == "Confirm it is you", endpoint
