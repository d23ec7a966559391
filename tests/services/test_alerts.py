"""Mails before it hurts: once each time a balance runs low."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from solrouter import database
from solrouter.blueprints import audit_words
from solrouter.errors import Refused
from solrouter.models import OutgoingMail
from solrouter.money import parse_usd
from solrouter.services import alerts, members, spending, trail
from tests.factories import Person, fund, make_person


@pytest.fixture
def person(context_on_both: Flask) -> Person:
    return make_person(context_on_both, "hana@example.com", credit="4")


def mails() -> list[tuple[str, str, Mapping[str, Any]]]:
    columns = (OutgoingMail.kind, OutgoingMail.recipient, OutgoingMail.facts)
    with database.read() as connection:
        rows = connection.execute(select(*columns).order_by(OutgoingMail.id)).all()
    return [(row[0], row[1], row[2]) for row in rows]


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


@pytest.mark.parametrize("kind", [alerts, spending])
def test_the_trail_tells_what_a_threshold_was(person: Person, kind: ModuleType) -> None:
    for usd in ("5", "7.50", None):
        nanos = None if usd is None else parse_usd(usd)
        kind.set_threshold(person.account_id, nanos, actor=f"user:{person.user_id}")
    events = trail.of_account(person.account_id, limit=3)
    told = [words for event in events for words in audit_words.of(event).details]
    assert told == [
        ("Limit", "$7.50 → none"),
        ("Limit", "$5.00 → $7.50"),
        ("Limit", "none → $5.00"),
    ]


def test_developers_are_not_told_of_money(person: Person, context_on_both: Flask) -> None:
    other = make_person(context_on_both, "ivan@example.com")
    sent = members.invite(person.account_id, other.email, "developer", by=person.user_id)
    assert sent.link is not None
    members.accept(other.user_id, sent.link.rpartition("/")[2])
    before = len(mails())
    alerts.set_threshold(person.account_id, parse_usd("5"), actor="test")
    alerts.look(now=True)
    assert [recipient for _, recipient, _ in mails()[before:]] == [person.email]


def test_nothing_of_it_is_left_of_an_account_that_ends(person: Person) -> None:
    alerts.set_threshold(person.account_id, parse_usd("5"), actor="test")
    alerts.look(now=True)
    database.transact(lambda connection: alerts.forget(connection, person.account_id))
    assert alerts.threshold(person.account_id) is None
