"""What operators do to accounts and their people, and what they see of requests and money."""

import threading
from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import update

from solrouter import database
from solrouter.errors import Refused
from solrouter.models import User
from solrouter.services import (
    accounts,
    activity,
    all_requests,
    billing,
    journal,
    operators,
    trail,
)
from solrouter.services.all_requests import Filters
from tests.browser import Browser
from tests.edge.signed_in import HTMX, ask, browser_of
from tests.factories import MODEL, Person, make_person


@pytest.fixture
def desk(app: Flask, operator: Person) -> Browser:
    """Olivia's browser."""
    return browser_of(app, operator)


def path_of(person: Person) -> str:
    return f"/admin/accounts/{person.account_public_id}"


def public_id(app: Flask, person: Person) -> str:
    with app.app_context():
        return accounts.get_user(person.user_id).public_id


def actions(app: Flask, number: int = 1) -> list[str]:
    with app.app_context():
        return [event.action for event in trail.of_all(limit=number)]


def test_an_account_is_suspended_and_lifted(app: Flask, desk: Browser, alice: Person) -> None:
    desk.post(f"{path_of(alice)}/suspend", {"reason": "Stolen cards"})
    page = desk.get(path_of(alice))
    assert "is suspended: its next request is refused" in page.text
    answer = app.test_client().post(
        "/v1/chat/completions",
        json={"model": "demo/echo", "messages": [{"role": "user", "content": "Hello"}]},
        headers=alice.bearer,
    )
    assert (answer.status_code, answer.json["error"]["code"]) == (403, "frozen")
    hers = browser_of(app, alice)
    assert "This account is suspended. Stolen cards" in hers.get("/account").text
    asked = hers.post("/playground", {"model": "demo/echo", "message": "Hello"}, status=403)
    assert "frozen" in asked.text
    desk.post(f"{path_of(alice)}/lift", {"reason": "Cleared up"})
    assert "suspended" not in hers.get("/account").text
    assert ask(app, alice)
    assert actions(app) == ["account.lifted"]


def test_a_refused_act_keeps_what_was_typed_in_its_own_form(desk: Browser, alice: Person) -> None:
    page = desk.post(f"{path_of(alice)}/suspend", {"reason": "x" * 300}, status=422)
    assert page.by_id("suspend-reason").get("value") == "x" * 300
    assert page.by_id("view-why").get("value") is None
    page = desk.post(f"{path_of(alice)}/take-credit", {"amount": "9", "note": "n"}, status=422)
    assert page.by_id("take-amount").get("aria-invalid") == "true"
    assert page.by_id("amount").get("value") is None


def test_gifts_are_taken_back(app: Flask, desk: Browser, alice: Person) -> None:
    desk.post(f"{path_of(alice)}/take-credit", {"amount": "2", "note": "A mistake"})
    with app.app_context():
        assert billing.balance(alice.account_id).granted_nanos == 3 * 10**9
        assert list(billing.audit()) == []
    assert actions(app) == ["credit.taken"]
    assert "A mistake" in browser_of(app, alice).get("/account/audit").text


def test_a_plan_is_given(app: Flask, desk: Browser, alice: Person) -> None:
    desk.post(f"{path_of(alice)}/plan", {"plan": "unlimited"})
    with app.app_context():
        assert accounts.account_of(alice.account_id).plan_slug == "unlimited"
    desk.post(f"{path_of(alice)}/plan", {"plan": "nothing"}, status=422)


def test_somebody_is_signed_out_everywhere(app: Flask, desk: Browser, alice: Person) -> None:
    hers = browser_of(app, alice)
    desk.post(f"/admin/users/{public_id(app, alice)}/sign-out")
    assert "is signed out: 1 session is ended" in desk.get(path_of(alice)).text
    assert hers.get("/account", status=303).location.startswith("/login")
    assert actions(app) == ["session.all_closed"]


def test_somebody_is_shut_out_and_let_in_again(app: Flask, desk: Browser, alice: Person) -> None:
    user = public_id(app, alice)
    desk.post(f"/admin/users/{user}/shut-out")
    assert alice.email in desk.get("/admin/users?kind=shut-out").text
    assert not ask_status(app, alice) < 400
    desk.post(f"/admin/users/{user}/let-in")
    assert "No user found" in desk.get("/admin/users?kind=shut-out").text
    assert ask_status(app, alice) == 200


def ask_status(app: Flask, person: Person) -> int:
    body = {"model": "demo/echo", "messages": [{"role": "user", "content": "Hello"}]}
    answer = app.test_client().post("/v1/chat/completions", json=body, headers=person.bearer)
    return answer.status_code


def test_nobody_shuts_themselves_out(app: Flask, desk: Browser, operator: Person) -> None:
    desk.post(f"/admin/users/{public_id(app, operator)}/shut-out", status=422)
    desk.get("/admin")


def test_somebody_is_made_an_operator_and_is_none_again(
    app: Flask, desk: Browser, alice: Person
) -> None:
    user, hers = public_id(app, alice), browser_of(app, alice)
    hers.get("/admin", status=404)
    assert "Make operator" in desk.get(path_of(alice)).text
    desk.post(f"/admin/users/{user}/appoint")
    hers.get("/admin")
    assert "End operator rights" in desk.get(path_of(alice)).text
    desk.post(f"/admin/users/{user}/appoint")
    desk.post(f"/admin/users/{user}/dismiss")
    hers.get("/admin", status=404)
    # What changes nothing leaves no row.
    assert actions(app, 2) == ["user.no_operator", "user.operator"]


def test_whose_address_nobody_confirmed_becomes_no_operator(app: Flask, desk: Browser) -> None:
    eve = make_person(app, "eve@example.com")
    values = {"email_verified_at": None}
    with app.app_context():
        unconfirmed = update(User).where(User.id == eve.user_id).values(**values)
        database.transact(lambda connection: connection.execute(unconfirmed).rowcount)
    page = desk.post(f"/admin/users/{public_id(app, eve)}/appoint", status=422)
    assert "confirmed address" in page.text
    assert "Make operator" not in desk.get(path_of(eve)).text


def test_nobody_takes_it_from_themselves(app: Flask, desk: Browser, operator: Person) -> None:
    page = desk.post(f"/admin/users/{public_id(app, operator)}/dismiss", status=422)
    assert "cannot take it from yourself" in page.text
    desk.get("/admin")


def test_of_two_who_dismiss_each_other_one_is_left(
    make_app: Callable[..., Flask], database_url: str
) -> None:
    app = make_app(database_url)
    two = [make_person(app, f"{name}@example.com", operator=True) for name in ("ann", "ben")]
    together, said = threading.Barrier(2), []

    def dismiss(me: Person, other: Person) -> None:
        with app.app_context():
            together.wait()
            try:
                operators.dismiss(other.user_id, by=me.user_id)
                said.append("done")
            except Refused:
                said.append("refused")

    threads = [threading.Thread(target=dismiss, args=pair) for pair in (two, two[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == ["done", "refused"]
    with app.app_context():
        assert len(accounts.list_users(kind="operators", limit=5)) == 1


@pytest.mark.parametrize(
    ("kind", "finds"),
    [("operators", "olivia@"), ("unverified", "No user found"), ("suspended", "No user found")],
)
def test_users_are_narrowed(desk: Browser, alice: Person, kind: str, finds: str) -> None:
    page = desk.get(f"/admin/users?kind={kind}")
    assert finds in page.text and alice.email not in page.text


def test_requests_are_narrowed(
    app: Flask, desk: Browser, alice: Person, charlie: Person, offered: str
) -> None:
    first, second = ask(app, alice, offered), ask(app, charlie)
    for query, finds, hides in (
        (f"account={alice.account_public_id}", first, second),
        (f"model={MODEL}", first, second),
        ("provider=demo", second, first),
        ("outcome=finished&period=1", first, "nothing"),
    ):
        page = desk.get(f"/admin/requests?{query}", headers=HTMX)
        assert finds in page.html and hides not in page.html, query
    assert "Nothing fits" in desk.get("/admin/requests?outcome=failed").text
    desk.get("/admin/requests?outcome=none&period=x&before=none", status=404)


def test_pages_of_requests_go_on_where_the_last_one_ended(
    app: Flask, alice: Person, charlie: Person
) -> None:
    ids = [ask(app, person) for person in (alice, charlie, alice, charlie)]
    with app.app_context():
        first = all_requests.page(Filters(), limit=3)
        rest = all_requests.page(Filters(), limit=3, before=first.older)
        assert [each.receipt.id for each in (*first.requests, *rest.requests)] == ids[::-1]
        assert rest.older is None
        # However few fit, only so many are looked through.
        cut = all_requests.page(Filters(model="acme/none"), limit=3, scanned_max=2)
        assert (cut.requests, cut.is_cut, cut.older) == ([], True, ids[2])


def test_a_receipt_tells_what_is_left_over(
    app: Flask, desk: Browser, alice: Person, offered: str
) -> None:
    identifier = ask(app, alice, offered)
    with app.app_context():
        found = all_requests.find(identifier)
        assert found.margin_nanos == found.receipt.charge_nanos - found.upstream_cost_nanos
        assert found.receipt == activity.find(alice.account_id, identifier)
    page = desk.get(f"/admin/requests/{identifier}")
    assert "Providers took" in page.text and alice.email in page.text
    assert "meaning of life" not in page.text
    desk.get("/admin/requests/none", status=404)
    desk.get(f"/admin/requests/chatcmpl-{'0' * 32}", status=404)


def test_the_ledger_shows_both_sides(app: Flask, desk: Browser, alice: Person) -> None:
    ask(app, alice)
    page = desk.get("/admin/ledger")
    assert "promo" in page.text and "customer, granted" in page.text
    assert "revenue" not in page.text and "Gifts not spent" in page.text
    assert "revenue" in desk.get("/admin/ledger?kind=all").text
    assert "revenue" in desk.get(f"/admin/ledger?kind=usage&account={alice.account_public_id}").text
    assert "Nothing fits" in desk.get("/admin/ledger?kind=refund").text
    desk.get("/admin/ledger?before=none", status=404)


def test_pages_of_the_ledger_go_on_where_the_last_one_ended(app: Flask, alice: Person) -> None:
    for _ in range(3):
        ask(app, alice)
    with app.app_context():
        first = journal.page(kind="", limit=2)
        rest = journal.page(kind="", limit=9, before=first.older)
        kinds = [act.kind for act in (*first.acts, *rest.acts)]
        assert kinds == ["usage", "usage", "usage", "grant"]
        cut = journal.page(limit=2, scanned_max=2)
        assert (cut.acts, cut.is_cut) == ([], True)
        books = journal.books()
        assert books.granted_nanos == billing.balance(alice.account_id).granted_nanos
