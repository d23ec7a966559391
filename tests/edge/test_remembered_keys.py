"""What a server remembers of a key for some seconds, while somebody else changes it: the very next
request must be judged by what is true now, whatever else is wrong with it.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from solrouter.services import (
    accounts,
    billing,
    key_switches,
    keys,
    members,
    principals,
    rotations,
    suspensions,
)
from solrouter.services.key_rules import READ, Rules
from solrouter.services.principals import Proof
from tests.factories import Person, make_offer, make_person
from tests.fakes.upstream import FakeUpstream

HELLO = [{"role": "user", "content": "Hello"}]
LOCAL = "127.0.0.1"
NARROW = Rules(models_allowed=("acme/other",))


@dataclass(frozen=True)
class House:
    """A server that remembers, and another that shares its database."""

    server: Flask
    other: Flask
    person: Person
    client: FlaskClient

    def ask(self, model: str = "acme/tiny", **body: Any) -> tuple[int, str]:
        """The status of the server's answer, and its error's code."""
        asked = {"model": model, "messages": HELLO, **body}
        answer = self.client.post(
            "/v1/chat/completions", json=asked, headers=self.person.bearer, buffered=True
        )
        error = answer.json.get("error", {}) if answer.is_json else {}
        return answer.status_code, error.get("code", "")

    def remembers(self) -> bool:
        with self.server.app_context():
            return keys.recall(self.person.key_text, address=LOCAL) is not None

    def change(self, rules: Rules) -> None:
        """As an owner does on another worker."""
        key = self.key()
        with self.other.app_context():
            keys.change(
                self.person.account_id,
                key.public_id,
                actor="test",
                name=key.name,
                limit_nanos=None,
                rules=asdict(rules),
            )

    def key(self) -> keys.Key:
        with self.other.app_context():
            return keys.list_of(self.person.account_id)[0]


@pytest.fixture
def house(make_app: Callable[..., Flask], database_url: str, upstream: FakeUpstream) -> House:
    server, other = make_app(database_url), make_app(database_url)
    make_offer(server, upstream.url)
    upstream.answers(text="Forty-two.")
    person = make_person(server, "alice@example.com", credit="5")
    house = House(server, other, person, server.test_client())
    assert house.ask() == (200, "")
    assert house.remembers()
    return house


def revoke(house: House) -> None:
    keys.revoke(house.person.account_id, house.key().public_id)


def disable(house: House) -> None:
    key_switches.set_disabled(house.person.account_id, house.key().public_id, True, actor="test")


def freeze(house: House) -> None:
    key_switches.freeze(house.person.account_id, actor="test")


def rotate(house: House) -> None:
    key = house.key().public_id
    rotations.rotate(house.person.account_id, key, actor="test", overlap_s=0)


def disable_user(house: House) -> None:
    accounts.set_disabled(house.person.user_id, True)


def change_role(house: House) -> None:
    olga = make_person(house.other, "olga@example.com")
    sent = members.invite(house.person.account_id, olga.email, "owner", by=house.person.user_id)
    assert sent.link is not None
    members.accept(olga.user_id, sent.link.rpartition("/")[2])
    public_id = accounts.get_user(house.person.user_id).public_id
    members.change_role(house.person.account_id, public_id, "billing", by=olga.user_id)


@pytest.mark.parametrize("act", [revoke, disable, freeze, rotate, disable_user, change_role])
@pytest.mark.parametrize("body", [{}, {"model": "acme/none"}, {"temperature": 99}, {"n": 0}])
def test_a_key_that_was_ended_elsewhere_is_refused_before_all_else(
    house: House, act: Callable[[House], None], body: dict[str, Any]
) -> None:
    with house.other.app_context():
        act(house)
    status, _ = house.ask(**body)
    assert status == 401
    with house.other.app_context():
        assert billing.balance(house.person.account_id).held_nanos == 0


def test_an_account_that_was_suspended_elsewhere_is_refused_until_that_is_lifted(
    house: House,
) -> None:
    with house.other.app_context():
        suspensions.suspend(house.person.account_id, "Stolen cards", actor="test")
    assert house.ask() == (403, "frozen")
    with house.other.app_context():
        assert billing.balance(house.person.account_id).held_nanos == 0
        suspensions.lift(house.person.account_id, "Cleared up", actor="test")
    assert house.ask() == (200, "")


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        (Rules(scopes=(READ,)), "scope_required"),
        (NARROW, "model_not_allowed"),
        (Rules(networks_allowed=("203.0.113.0/24",)), "ip_not_allowed"),
    ],
)
def test_a_key_that_was_narrowed_elsewhere_is_narrow_at_once(
    house: House, rules: Rules, code: str
) -> None:
    house.change(rules)
    status, told = house.ask()
    assert (status, told) == (403, code)
    house.change(Rules())
    assert house.ask() == (200, "")


def test_a_key_that_was_widened_elsewhere_is_wide_at_once(house: House) -> None:
    house.change(NARROW)
    assert house.ask()[0] == 403
    assert house.remembers()
    house.change(Rules())
    assert house.ask() == (200, "")


def test_a_fault_of_the_provider_stays_one(house: House, upstream: FakeUpstream) -> None:
    upstream.answers(status=400)
    before = upstream.requests
    assert house.ask()[0] == 400
    assert upstream.requests - before == 1, "it was asked once"


def test_a_former_secret_is_not_remembered(house: House) -> None:
    with house.other.app_context():
        key = house.key().public_id
        rotations.rotate(house.person.account_id, key, actor="test", overlap_s=600)
    assert house.ask() == (200, "")
    assert house.ask() == (200, "")


def test_memory_is_bounded_and_forgets(house: House) -> None:
    with house.server.app_context():
        who = keys.authenticate(house.person.key_text, address=LOCAL)
    memory = principals.Memory(most=2)
    for digest in (b"one", b"two", b"three"):
        memory.remember(who, Proof(digest, ""))
    known = [memory.recalled(digest, LOCAL) is not None for digest in (b"one", b"two", b"three")]
    assert known == [False, True, True]
    assert memory.recalled(b"three", "192.0.2.1") is None, "another address"
    short = principals.Memory(seconds=-1.0)
    short.remember(who, Proof(b"one", ""))
    assert short.recalled(b"one", LOCAL) is None


def test_who_is_remembered_is_as_whom_the_database_tells(house: House) -> None:
    with house.server.app_context():
        remembered = keys.recall(house.person.key_text, address=LOCAL)
        fresh = keys.authenticate(house.person.key_text, address=LOCAL)
    assert remembered is not None and remembered.proof is not None
    assert fresh.proof is None and fresh.is_as(remembered)
    assert not fresh.is_as(replace(remembered, scopes=frozenset()))
