"""A member's budget on the pages of the team: set, shown to whom it concerns, refused."""

from flask import Flask

from solrouter.services import keys, members
from tests.edge.signed_in import browser_of
from tests.factories import Person, make_person


def joined(app: Flask, owner: Person, email: str) -> tuple[Person, str]:
    """A developer of the owner's account, and the public id."""
    person = make_person(app, email)
    with app.app_context():
        sent = members.invite(owner.account_id, email, "developer", by=owner.user_id)
        assert sent.link is not None
        members.accept(person.user_id, sent.link.rpartition("/")[2])
        [found] = [one for one in members.team_of(owner.account_id).members if one.email == email]
    return person, found.public_id


def test_an_owner_gives_a_member_a_budget_and_takes_it_away(app: Flask, alice: Person) -> None:
    _, public_id = joined(app, alice, "bob@example.com")
    browser = browser_of(app, alice)
    path = f"/account/team/{public_id}/budget"
    assert path in [a.get("href") for a in browser.get("/account/team").all("a")]
    assert browser.post(path, {"limit": "25", "resets": "monthly"}).location == "/account/team"
    page = browser.get("/account/team")
    assert "$0.00 of $25.00" in page.text and "Resets" in page.text
    form = browser.get(path)
    assert form.by_id("limit").get("value") == "25"
    browser.post(path, {"limit": "", "resets": "monthly"})
    assert "$25.00" not in browser.get("/account/team").text


def test_a_wrong_amount_is_told_beside_its_field(app: Flask, alice: Person) -> None:
    _, public_id = joined(app, alice, "bob@example.com")
    browser = browser_of(app, alice)
    path = f"/account/team/{public_id}/budget"
    for form, field in (
        ({"limit": "much", "resets": "never"}, "limit"),
        ({"limit": "-1", "resets": "never"}, "limit"),
        ({"limit": "1", "resets": "hourly"}, "resets"),
    ):
        page = browser.post(path, form, status=422)
        assert page.by_id(field).get("aria-invalid") == "true", form


def test_members_see_their_own_budget_and_nobody_elses(app: Flask, alice: Person) -> None:
    bob, bobs = joined(app, alice, "bob@example.com")
    _, cyds = joined(app, alice, "cyd@example.com")
    browser = browser_of(app, alice)
    browser.post(f"/account/team/{bobs}/budget", {"limit": "25", "resets": "never"})
    browser.post(f"/account/team/{cyds}/budget", {"limit": "31", "resets": "never"})
    his = browser_of(app, bob)
    his.post("/account/switch", {"account": alice.account_public_id})
    page = his.get("/account/team")
    assert "$25.00" in page.text and "$31.00" not in page.text
    assert "/budget" not in page.text


def test_the_request_beyond_it_says_what_to_do(app: Flask, alice: Person, offered: str) -> None:
    bob, public_id = joined(app, alice, "bob@example.com")
    browser = browser_of(app, alice)
    browser.post(f"/account/team/{public_id}/budget", {"limit": "0", "resets": "never"})
    with app.app_context():
        text = keys.create(alice.account_id, user_id=bob.user_id, name="His", is_owner=False).text
    answer = app.test_client().post(
        "/v1/chat/completions",
        json={"model": offered, "messages": [{"role": "user", "content": "Hello"}]},
        headers={"Authorization": f"Bearer {text}"},
    )
    error = answer.json["error"]
    assert (answer.status_code, error["code"]) == (402, "member_limit_reached")
    assert "owner" in error["message"]
