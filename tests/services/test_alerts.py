"""Mails before it hurts: once each time a balance runs low, and for a key's new network."""

from collections.abc import Mapping
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from solrouter import database
from solrouter.errors import Refused
from solrouter.models import ApiKey, KeyNetwork, OutgoingMail
from solrouter.models.columns import db_now
from solrouter.money import parse_usd
from solrouter.services import alerts, key_rules, members
from tests.factories import Person, fund, make_person


@pytest.fixture
def person(context_on_both: Flask) -> Person:
    return make_person(context_on_both, "hana@example.com", credit="4")


def mails() -> list[tuple[str, str, Mapping[str, Any]]]:
    columns = (OutgoingMail.kind, OutgoingMail.recipient, OutgoingMail.facts)
    with database.read() as connection:
        rows = connection.execute(select(*columns).order_by(OutgoingMail.id)).all()
    return [(row[0], row[1], row[2]) for row in rows]


def use(person: Person, address: str) -> None:
    used = update(ApiKey).where(ApiKey.user_id == person.user_id)
    used = used.values(last_used_at=db_now(), last_used_address=address)
    database.transact(lambda connection: connection.execute(used))


def test_a_low_balance_is_told_once_and_again_after_it_was_well(person: Person) -> None:
    assert alerts.look(now=True) == 0, "nobody has asked for it"
    alerts.set_threshold(person.account_id, parse_usd("5"), actor="test")
    assert (alerts.look(now=True), alerts.look(now=True)) == (1, 0)
    [(kind, recipient, facts)] = mails()
    assert (kind, recipient) == ("low_balance", person.email)
    assert (facts["balance"], facts["threshold"]) == ("$4.00", "$5.00")
    fund(person.account_id, "10")
    assert alerts.look(now=True) == 0
    alerts.set_threshold(person.account_id, parse_usd("20"), actor="test")
    assert alerts.look(now=True) == 1
    alerts.set_threshold(person.account_id, None, actor="test")
    assert alerts.look(now=True) == 0 and alerts.threshold(person.account_id) is None
    with pytest.raises(Refused):
        alerts.set_threshold(person.account_id, 0, actor="test")


def test_developers_are_not_told_of_money(person: Person, context_on_both: Flask) -> None:
    other = make_person(context_on_both, "ivan@example.com")
    sent = members.invite(person.account_id, other.email, "developer", by=person.user_id)
    assert sent.link is not None
    members.accept(other.user_id, sent.link.rpartition("/")[2])
    before = len(mails())
    alerts.set_threshold(person.account_id, parse_usd("5"), actor="test")
    alerts.look(now=True)
    assert [recipient for _, recipient, _ in mails()[before:]] == [person.email]


def test_a_network_that_is_new_to_a_key_is_told_to_its_maker(person: Person) -> None:
    use(person, "192.0.2.7")
    assert alerts.look(now=True) == 0, "the first network is no news"
    use(person, "192.0.2.200")
    assert alerts.look(now=True) == 0, "the same network"
    use(person, "198.51.100.1")
    assert alerts.look(now=True) == 1
    [(kind, recipient, facts)] = mails()
    assert (kind, recipient) == ("key_new_network", person.email)
    assert facts["network"] == "198.51.100.0/24" and facts["key"] == "First key"
    use(person, "203.0.113.1")
    assert alerts.look(now=True) == 0, "once a day"
    use(person, "192.0.2.7")
    assert alerts.look(now=True) == 0


def test_what_stands_for_members_in_the_playground_is_no_key(person: Person) -> None:
    hidden = update(ApiKey).values(purpose=key_rules.PLAYGROUND)
    database.transact(lambda connection: connection.execute(hidden))
    for address in ("192.0.2.7", "198.51.100.1"):
        use(person, address)
        assert alerts.look(now=True) == 0


def test_nothing_of_it_is_left_of_an_account_that_ends(person: Person) -> None:
    alerts.set_threshold(person.account_id, parse_usd("5"), actor="test")
    use(person, "192.0.2.7")
    alerts.look(now=True)
    database.transact(lambda connection: alerts.forget(connection, person.account_id))
    with database.read() as connection:
        assert connection.execute(select(KeyNetwork.network)).all() == []
    assert alerts.threshold(person.account_id) is None


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
    assert alerts.network_of(address) == network
