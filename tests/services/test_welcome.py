"""No money comes in before an address is proven, and the welcome credit comes once."""

import threading
from collections.abc import Iterator

import pytest
from flask import Flask

from solrouter.errors import NotFound, Refused
from solrouter.services import accounts, admission, billing, identities, people
from solrouter.services.identities import ProvenIdentity
from solrouter.services.people import User

PASSWORD = "engine of analysis"
FIVE = 5_000_000_000


@pytest.fixture(autouse=True)
def in_app(context_on_both: Flask) -> Iterator[Flask]:
    yield context_on_both


def signed_up(email: str, *, verified: bool = True) -> User:
    return accounts.sign_up(email, PASSWORD, verified=verified)


def proven(subject: str, email: str) -> ProvenIdentity:
    return ProvenIdentity("github", subject, "ada", "Ada", email)


def balance_of(user: User) -> int:
    row = accounts.user_row(user.public_id)
    return billing.balance(row.account_id).posted_nanos


def account_of(user: User) -> int:
    return accounts.user_row(user.public_id).account_id


# Money in.


def test_nothing_comes_in_before_the_address_is_proven() -> None:
    user = signed_up("ada@example.com", verified=False)
    with pytest.raises(Refused, match="verified"):
        admission.credit(account_of(user), FIVE, actor="operator:test", note="A gift")
    assert not admission.welcome(user.id, FIVE)
    assert balance_of(user) == 0
    accounts.confirm_email(user.id, actor="operator:test")
    admission.credit(account_of(user), FIVE, actor="operator:test", note="A gift")
    assert balance_of(user) == FIVE


def test_an_account_that_is_not_there_is_told_apart() -> None:
    with pytest.raises(NotFound):
        admission.credit(999, FIVE, actor="operator:test", note="A gift")


# The welcome credit.


def test_it_comes_once_however_often_it_is_asked_for() -> None:
    user = signed_up("ada@example.com")
    assert admission.welcome(user.id, FIVE)
    assert not admission.welcome(user.id, FIVE)
    assert balance_of(user) == FIVE


def test_asking_before_the_proof_uses_nothing_up() -> None:
    user = signed_up("ada@example.com", verified=False)
    admission.welcome(user.id, FIVE)
    accounts.confirm_email(user.id, actor="operator:test")
    assert admission.welcome(user.id, FIVE)


@pytest.mark.parametrize("amount", [0, -1])
def test_a_server_that_gives_nothing_gives_nothing(amount: int) -> None:
    user = signed_up("ada@example.com")
    assert not admission.welcome(user.id, amount)
    assert admission.welcome(user.id, FIVE), "and uses nothing up"


@pytest.mark.parametrize(
    "other",
    ["ada.lovelace+2@gmail.com", "a.d.a.lovelace@gmail.com", "adalovelace@googlemail.com"],
)
def test_one_inbox_is_welcomed_once(other: str) -> None:
    assert admission.welcome(signed_up("AdaLovelace@gmail.com").id, FIVE)
    second = signed_up(other)
    assert not admission.welcome(second.id, FIVE)
    assert balance_of(second) == 0


@pytest.mark.parametrize(
    ("email", "inbox"),
    [
        ("a.b+c@gmail.com", "ab@gmail.com"),
        ("a.b@googlemail.com", "ab@gmail.com"),
        ("a.b+c@example.com", "a.b@example.com"),
        ("A.B@Example.com", "a.b@example.com"),
        ("+c@example.com", "+c@example.com"),
    ],
)
def test_what_reaches_one_inbox(email: str, inbox: str) -> None:
    assert people.one_inbox(email) == inbox


def test_different_people_are_each_welcomed() -> None:
    for email in ("a.b@example.com", "ab@example.com", "ab@gmail.com"):
        assert admission.welcome(signed_up(email).id, FIVE)


def test_one_github_account_is_welcomed_once_whatever_its_address() -> None:
    first = identities.sign_in_with(proven("7", "ada@example.com"))
    assert admission.welcome(first.id, FIVE)
    identities.link(first.id, ProvenIdentity("google", "g", "ada", "Ada", "ada@example.com"))
    identities.unlink(first.id, "github")
    second = identities.sign_in_with(proven("7", "other@example.com"))
    assert second.id != first.id
    assert not admission.welcome(second.id, FIVE)


def test_linking_and_unlinking_wins_nothing() -> None:
    """A GitHub account that was connected to somebody who was welcomed counts as welcomed."""
    first = signed_up("ada@example.com")
    admission.welcome(first.id, FIVE)
    identities.link(first.id, proven("7", "octo@example.com"))
    assert not admission.welcome(first.id, FIVE)
    identities.unlink(first.id, "github")
    second = identities.sign_in_with(proven("7", "octo@example.com"))
    assert second.id != first.id
    assert not admission.welcome(second.id, FIVE)
    assert balance_of(first) == FIVE and balance_of(second) == 0


def test_of_many_at_once_one_is_granted(in_app: Flask) -> None:
    users = [signed_up(f"ada+{number}@example.com") for number in range(6)]
    outcomes: list[bool] = []
    start = threading.Barrier(len(users))

    def ask(user: User) -> None:
        with in_app.app_context():
            start.wait()
            outcomes.append(admission.welcome(user.id, FIVE))

    threads = [threading.Thread(target=ask, args=(user,)) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [False] * 5 + [True]
    assert sum(balance_of(user) for user in users) == FIVE
