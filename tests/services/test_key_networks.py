"""A key's networks: the first is no news, a new one is told to its maker, and none is missed."""

from collections.abc import Mapping
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from solrouter import database
from solrouter.models import ApiKey, KeyNetwork, OutgoingMail
from solrouter.services import key_networks, key_rules
from tests.factories import Person, make_person

HOME, HOME_TOO, ABROAD, FURTHER = "192.0.2.7", "192.0.2.200", "198.51.100.1", "203.0.113.1"


@pytest.fixture
def person(context_on_both: Flask) -> Person:
    return make_person(context_on_both, "hana@example.com")


def key_id(person: Person) -> int:
    query = select(ApiKey.id).where(ApiKey.user_id == person.user_id)
    with database.read() as connection:
        return connection.execute(query).scalar_one()


def used(person: Person, *addresses: str) -> int:
    """How many were told of after uses from there."""
    for address in addresses:
        key_networks.note(key_id(person), address)
    return key_networks.tell()


def kept() -> list[str]:
    with database.read() as connection:
        return sorted(connection.execute(select(KeyNetwork.network)).scalars())


def mails() -> list[tuple[str, str, Mapping[str, Any]]]:
    columns = (OutgoingMail.kind, OutgoingMail.recipient, OutgoingMail.facts)
    with database.read() as connection:
        rows = connection.execute(select(*columns).order_by(OutgoingMail.id)).all()
    return [(row[0], row[1], row[2]) for row in rows]


def test_a_network_that_is_new_to_a_key_is_told_to_its_maker(person: Person) -> None:
    assert used(person, HOME) == 0, "the first network is no news"
    assert used(person, HOME_TOO) == 0, "the same network"
    assert used(person, ABROAD) == 1
    [(kind, recipient, facts)] = mails()
    assert (kind, recipient) == ("key_new_network", person.email)
    assert facts["network"] == "198.51.100.0/24" and facts["key"] == "First key"
    assert used(person, FURTHER) == 0, "once a day"
    assert used(person, HOME) == 0
    assert kept() == ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"]


def test_uses_of_one_moment_are_all_seen(person: Person) -> None:
    assert used(person, HOME, ABROAD, HOME) == 1
    assert kept() == ["192.0.2.0/24", "198.51.100.0/24"]


def test_what_another_process_has_told_is_not_told_again(person: Person) -> None:
    assert used(person, HOME, ABROAD) == 1
    seen = database.current().remembered("key_networks", key_networks._Seen)
    seen.known.clear()
    assert used(person, ABROAD, HOME) == 0
    assert len(mails()) == 1


def test_what_is_known_is_not_asked_for_again(person: Person) -> None:
    used(person, HOME)
    database.transact(lambda connection: key_networks.forget(connection, person.account_id))
    used(person, HOME)
    assert kept() == []


def test_what_is_remembered_is_bounded(person: Person) -> None:
    used(person, HOME)
    for number in range(key_networks.WAITING_MAX + 5):
        key_networks.note(1_000_000 + number, f"10.{number // 250}.{number % 250}.1")
    assert key_networks.tell() == 0
    seen = database.current().remembered("key_networks", key_networks._Seen)
    assert len(seen.known) == 1 + key_networks.WAITING_MAX and not seen.waiting
    for number in range(key_networks.KNOWN_MAX + 5):
        seen.settle(key_networks.Use(number, "fe80::/48"))
    assert len(seen.known) == key_networks.KNOWN_MAX


def test_what_stands_for_members_in_the_playground_is_no_key(person: Person) -> None:
    hidden = update(ApiKey).values(purpose=key_rules.PLAYGROUND)
    database.transact(lambda connection: connection.execute(hidden))
    assert used(person, HOME, ABROAD) == 0 and kept() == []


def test_nothing_is_left_of_an_account_that_ends(person: Person) -> None:
    used(person, HOME)
    database.transact(lambda connection: key_networks.forget(connection, person.account_id))
    assert kept() == []


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("nowhere", None),
    ],
    ids=["four", "six", "none"],
)
def test_networks(address: str, network: str | None) -> None:
    assert key_networks.network_of(address) == network
