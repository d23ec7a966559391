"""Keys on both databases: their rules, their switches, their secrets one after another, and where
they were last used. Each change holds from the next request on.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Connection, select, text, update

from solrouter import database
from solrouter.clock import utcnow
from solrouter.errors import Forbidden, KeyExpired, KeyInvalid, KeyRevoked, NotFound, Refused
from solrouter.models import ApiKey, AuditEvent, FormerSecret
from solrouter.services import (
    admission,
    budgets,
    key_rows,
    key_switches,
    keys,
    limits,
    rotations,
)
from solrouter.services.budgets import Limit, OfKey
from solrouter.services.key_rules import INFERENCE, MANAGE, READ, Rules
from solrouter.services.keys import Key, NewKey
from tests.conftest import SECRET_KEY
from tests.factories import Person, fund, make_offer, make_person
from tests.services.test_admission import ask, ending

NEWER_SECRET = "a-newer-secret-for-tests-that-is-long-enough"


@pytest.fixture
def person(context_on_both: Flask) -> Person:
    make_offer(context_on_both, "http://127.0.0.1:9/v1")
    admission.beat("test-worker")
    person = make_person(context_on_both, "alice@example.com")
    fund(person.account_id, "1")
    return person


@pytest.fixture
def key(person: Person) -> Key:
    [key] = keys.list_of(person.account_id)
    return key


def soon(**later: int) -> datetime:
    """A time to come, as fine as it is kept."""
    return utcnow().replace(microsecond=0) + timedelta(**later)


def again(person: Person, key: Key) -> Key:
    return keys.find(person.account_id, key.public_id)


def change(person: Person, key: Key, rules: Rules, **more: Any) -> Key:
    given = {"name": key.name, "limit_nanos": key.limit_nanos, "resets": key.resets, **more}
    given["rules"] = asdict(rules)
    return keys.change(person.account_id, key.public_id, actor="test", **given)


def rotate(person: Person, key: Key, overlap_s: int = rotations.OVERLAP_S) -> NewKey:
    return rotations.rotate(person.account_id, key.public_id, actor="test", overlap_s=overlap_s)


def switch(person: Person, key: Key, flag: bool) -> Key:
    return key_switches.set_disabled(person.account_id, key.public_id, flag, actor="test")


def spend(person: Person, key_text: str = "", *, address: str = "", nanos: int = 1_000) -> None:
    wanted = ask(person)
    principal = keys.authenticate(key_text or person.key_text, address=address)
    admitted = admission.admit(replace(wanted, principal=principal))
    admission.settle(admitted, ending(admitted, nanos))


def audited(person: Person) -> list[tuple[str, Any]]:
    rows = select(AuditEvent.action, AuditEvent.details).order_by(AuditEvent.id)
    rows = rows.where(AuditEvent.account_id == person.account_id, AuditEvent.actor == "test")
    rows = rows.where(AuditEvent.action.startswith("key"))
    with database.read() as connection:
        return [tuple(row) for row in connection.execute(rows)]


def run(statement: Any) -> None:
    database.transact(lambda connection: connection.execute(statement))


# Rules


def test_a_key_is_made_with_rules_and_speaks_by_them(person: Person) -> None:
    rules = Rules(
        scopes=(READ, INFERENCE),
        models_allowed=("acme/tiny", "free"),
        networks_allowed=("203.0.113.0/24", "2001:db8::/32"),
        requests_per_minute=3,
        tokens_per_minute=10**10,
        concurrency=2,
        expires_at=soon(days=1),
    )
    new = keys.create(person.account_id, user_id=person.user_id, name="Ruled", rules=rules)
    assert new.key.rules == replace(rules, scopes=(INFERENCE, READ))
    assert again(person, new.key) == new.key
    principal = keys.authenticate(new.text, address="203.0.113.9")
    assert principal.scopes == {INFERENCE, READ}
    assert principal.models_allowed == rules.models_allowed
    assert principal.networks_allowed == rules.networks_allowed
    assert principal.limits.key_requests_per_minute == 3
    assert principal.limits.key_tokens_per_minute == 10**10
    assert principal.limits.key_concurrency == 2
    principal.require_network()
    with pytest.raises(Forbidden):
        keys.authenticate(new.text, address="203.0.114.9").require_network()
    with pytest.raises(Forbidden):
        keys.authenticate(new.text).require_network()


def test_without_rules_the_database_keeps_none(person: Person, key: Key) -> None:
    change(person, key, Rules(models_allowed=("a/b",), networks_allowed=("10.0.0.0/8",)))
    assert change(person, key, Rules()).rules == Rules()
    is_null = text("SELECT models_allowed IS NULL AND networks_allowed IS NULL FROM api_keys")
    with database.read() as connection:
        assert connection.execute(is_null).scalar_one()


def test_changed_rules_hold_at_once_and_are_audited(person: Person, key: Key) -> None:
    later = soon(days=1)
    rules = Rules(scopes=(READ,), requests_per_minute=1, expires_at=later)
    changed = change(person, key, rules)
    assert changed.rules == rules
    assert changed.updated_at > key.updated_at
    with pytest.raises(Forbidden) as refused:
        keys.authenticate(person.key_text).require(INFERENCE)
    assert refused.value.code == "scope_required"
    change(person, key, rules)
    told = {
        "scopes": [["inference"], ["read"]],
        "requests_per_minute": [None, 1],
        "expires_at": [None, later.isoformat()],
    }
    assert audited(person) == [("key.changed", told)]


def test_two_who_change_different_rules_do_not_undo_each_other(person: Person, key: Key) -> None:
    change(person, key, Rules(concurrency=7))
    keys.change(person.account_id, key.public_id, actor="test", name="Renamed", limit_nanos=None)
    assert again(person, key).rules.concurrency == 7


def test_what_is_wished_is_done_whole_or_not_at_all(person: Person, key: Key) -> None:
    stopped = switch(person, key, True)
    run(update(ApiKey).values(maker_left_at=utcnow()))
    wishes: keys.Wishes = {"name": "Renamed", "limit_nanos": 5, "is_disabled": False}
    mine: dict[str, Any] = {"actor": "test", "is_owner": False}
    with pytest.raises(Refused, match="An owner"):
        keys.change(person.account_id, key.public_id, **mine, **wishes)
    after = again(person, key)
    assert (after.name, after.limit_nanos, after.updated_at) == (key.name, None, stopped.updated_at)
    assert [act for act, _ in audited(person)] == ["key.disabled"]
    done = keys.change(person.account_id, key.public_id, actor="test", **wishes)
    assert (done.name, done.limit_nanos, done.status) == ("Renamed", 5, "active")
    assert done.maker_left_at is None
    assert [act for act, _ in audited(person)[1:]] == ["key.changed", "key.enabled"]


def test_amount_and_period_of_a_limit_change_by_themselves(person: Person, key: Key) -> None:
    with pytest.raises(Refused) as refused:
        keys.change(person.account_id, key.public_id, actor="test", resets="daily")
    assert refused.value.param == "resets"
    daily = keys.change(
        person.account_id, key.public_id, actor="test", limit_nanos=9, resets="daily"
    )
    assert (daily.limit_nanos, daily.resets) == (9, "daily")
    less = keys.change(person.account_id, key.public_id, actor="test", limit_nanos=4)
    assert (less.limit_nanos, less.resets) == (4, "daily")
    other = keys.change(person.account_id, key.public_id, actor="test", resets="weekly")
    assert (other.limit_nanos, other.resets) == (4, "weekly")


def test_an_amount_goes_with_the_period_that_there_is_by_then(
    context_on_both: Flask, person: Person, key: Key
) -> None:
    """The change has looked at the key, and waits for another that is not done yet."""
    given: dict[str, Any] = {"actor": "test"}
    keys.change(person.account_id, key.public_id, limit_nanos=9, resets="daily", **given)

    def lower() -> Key:
        with context_on_both.app_context():
            return keys.change(person.account_id, key.public_id, limit_nanos=4, **given)

    def make_weekly(connection: Connection) -> Future[Key]:
        key_rows.lock_account(connection, person.account_id)
        lowered = pool.submit(lower)
        assert not wait([lowered], timeout=2).done, "it waits for the account's lock"
        whose, start = OfKey(person.account_id, key.id), budgets.calendar(connection).week
        budgets.put(connection, whose, Limit(9, budgets.WEEK), start=start, spent=0)
        return lowered

    with ThreadPoolExecutor(1) as pool:
        lowered = database.transact(make_weekly).result(timeout=30)
    assert (lowered.limit_nanos, lowered.resets) == (4, "weekly")


def test_a_change_by_another_version_is_refused(person: Person, key: Key) -> None:
    change(person, key, Rules(concurrency=7))
    given: dict[str, Any] = {"actor": "test", "version": key.version}
    same = keys.change(person.account_id, key.public_id, name=key.name, **given)
    assert same.name == key.name, "nothing is to be done"
    with pytest.raises(Refused, match="changed meanwhile"):
        keys.change(person.account_id, key.public_id, name="Renamed", **given)
    given["version"] = again(person, key).version
    assert keys.change(person.account_id, key.public_id, name="Renamed", **given).name == "Renamed"


def test_a_rate_that_changed_after_the_authentication_counts(person: Person, key: Key) -> None:
    wanted = ask(person)
    change(person, key, Rules(requests_per_minute=0))
    with pytest.raises(limits.RateLimited) as refused:
        admission.admit(wanted)
    assert refused.value.metadata["scope"] == "key"


def test_an_expiry_ends_a_key_and_another_revives_it(person: Person, key: Key) -> None:
    wanted = ask(person)
    run(update(ApiKey).values(expires_at=soon(seconds=-1)))
    with pytest.raises(KeyExpired):
        keys.authenticate(person.key_text)
    with pytest.raises(KeyExpired):
        admission.admit(wanted)
    expired = again(person, key)
    assert expired.status == "expired"
    # Its other rules may change without a word about the time that has passed.
    change(person, expired, replace(expired.rules, concurrency=4))
    change(person, expired, replace(expired.rules, expires_at=utcnow() + timedelta(hours=1)))
    assert again(person, key).status == "active"
    admission.admit(wanted)


def test_an_expiry_in_the_past_is_refused(person: Person, key: Key) -> None:
    past = Rules(expires_at=utcnow() - timedelta(seconds=1))
    for refused_act in (
        lambda: change(person, key, past),
        lambda: keys.create(person.account_id, user_id=person.user_id, name="x", rules=past),
    ):
        with pytest.raises(Refused) as refused:
            refused_act()
        assert refused.value.param == "expires_at"


def test_only_the_owner_makes_and_touches_management_keys(person: Person, key: Key) -> None:
    manage = Rules(scopes=(MANAGE,))
    account_id, user_id = person.account_id, person.user_id
    new = keys.create(account_id, user_id=user_id, name="Manager", rules=manage)
    public_id = new.key.public_id
    mine: dict[str, Any] = {"actor": "test", "is_owner": False}
    given: dict[str, Any] = {"name": "x", "limit_nanos": None, **mine}
    acts: list[Callable[[], object]] = [
        lambda: keys.create(account_id, user_id=user_id, name="x", rules=manage, is_owner=False),
        lambda: keys.change(account_id, public_id, **given),
        lambda: keys.change(account_id, public_id, rules=asdict(Rules()), **given),
        lambda: keys.change(account_id, key.public_id, rules=asdict(manage), **given),
        lambda: keys.revoke(account_id, public_id, **mine),
        lambda: key_switches.set_disabled(account_id, public_id, True, **mine),
        lambda: rotations.rotate(account_id, public_id, **mine),
        lambda: rotations.end_formers(account_id, public_id, **mine),
    ]
    for act in acts:
        with pytest.raises(Forbidden) as refused:
            act()
        assert refused.value.code == "owner_required"
    assert again(person, new.key) == new.key
    assert again(person, key) == key
    keys.change(account_id, key.public_id, **given)


def test_an_account_has_so_many_keys_and_no_more(
    make_app: Callable[..., Flask], database_url: str, person: Person
) -> None:
    app = make_app(database_url, SOLROUTER_KEYS_PER_ACCOUNT_MAX="3")

    def create(number: int) -> bool:
        with app.app_context():
            try:
                keys.create(person.account_id, user_id=person.user_id, name=f"key {number}")
            except Refused:
                return False
            return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(create, range(8))) == 2


# Switches


def test_a_disabled_key_is_refused_until_it_is_enabled(person: Person, key: Key) -> None:
    wanted = ask(person)
    assert switch(person, key, True).status == "disabled"
    switch(person, key, True)
    with pytest.raises(KeyRevoked):
        keys.authenticate(person.key_text)
    with pytest.raises(KeyRevoked):
        admission.admit(wanted)
    assert switch(person, key, False).status == "active"
    switch(person, key, False)
    admission.admit(wanted)
    assert audited(person) == [("key.disabled", {}), ("key.enabled", {})]


def test_a_freeze_stops_every_key_also_those_to_come(person: Person, key: Key) -> None:
    off = keys.create(person.account_id, user_id=person.user_id, name="Off")
    switch(person, off.key, True)
    wanted = ask(person)
    key_switches.freeze(person.account_id, actor="test")
    key_switches.freeze(person.account_id, actor="test")
    assert key_switches.frozen_at(person.account_id) is not None
    late = keys.create(person.account_id, user_id=person.user_id, name="Late")
    assert {each.status for each in keys.list_of(person.account_id)} == {"frozen"}
    for key_text in (person.key_text, late.text):
        with pytest.raises(KeyRevoked, match="frozen"):
            keys.authenticate(key_text)
    with pytest.raises(KeyRevoked, match="frozen"):
        admission.admit(wanted)
    key_switches.unfreeze(person.account_id, actor="test")
    key_switches.unfreeze(person.account_id, actor="test")
    assert key_switches.frozen_at(person.account_id) is None
    admission.admit(wanted)
    keys.authenticate(late.text)
    with pytest.raises(KeyRevoked, match="disabled"):
        keys.authenticate(off.text)
    assert audited(person)[-2:] == [("keys.frozen", {}), ("keys.unfrozen", {})]


def test_a_freeze_stops_no_other_account(context_on_both: Flask, person: Person) -> None:
    charlie = make_person(context_on_both, "charlie@example.com")
    key_switches.freeze(charlie.account_id, actor="test")
    keys.authenticate(person.key_text)


# Rotation


def test_both_secrets_are_one_key_while_they_overlap(person: Person, key: Key) -> None:
    limited = change(person, key, Rules(concurrency=3), limit_nanos=10**9, resets="daily")
    spend(person, nanos=1_000)
    new = rotate(person, key)
    assert new.text != person.key_text
    assert new.key.hint != key.hint
    assert new.key.rules == limited.rules
    for key_text in (person.key_text, new.text):
        assert keys.authenticate(key_text).key_public_id == key.public_id
        spend(person, key_text, nanos=1_000)
    assert again(person, key).spent_nanos == 3_000


def test_a_former_secret_ends_when_it_was_said(person: Person, key: Key) -> None:
    new = rotate(person, key, overlap_s=3600)
    [former] = rotations.formers_of(key)
    assert former.hint == key.hint
    assert former.ends_at == former.replaced_at + timedelta(hours=1)
    run(update(FormerSecret).values(ends_at=utcnow() - timedelta(milliseconds=1)))
    with pytest.raises(KeyRevoked, match="replaced"):
        keys.authenticate(person.key_text)
    keys.authenticate(new.text)
    assert rotations.formers_of(key) == []


def test_a_former_secret_can_end_at_once(person: Person, key: Key) -> None:
    new = rotate(person, key, overlap_s=0)
    with pytest.raises(KeyRevoked, match="replaced"):
        keys.authenticate(person.key_text)
    keys.authenticate(new.text)


def test_former_secrets_can_be_ended_early(person: Person, key: Key) -> None:
    second = rotate(person, key)
    third = rotate(person, key)
    end: dict[str, Any] = {"actor": "test"}
    rotations.end_formers(person.account_id, key.public_id, **end)
    rotations.end_formers(person.account_id, key.public_id, **end)
    for key_text in (person.key_text, second.text):
        with pytest.raises(KeyRevoked):
            keys.authenticate(key_text)
    keys.authenticate(third.text)
    acts = audited(person)
    assert [action for action, _ in acts] == ["key.rotated"] * 2 + ["key.formers_ended"]
    assert acts[0][1]["hint"] == [key.hint, second.key.hint]
    assert set(acts[2][1]["hints"]) == {key.hint, second.key.hint}


def test_so_many_secrets_work_at_once_and_no_more(person: Person, key: Key) -> None:
    for _ in range(rotations.FORMER_SECRETS_MAX):
        newest = rotate(person, key)
    with pytest.raises(Refused) as refused:
        rotate(person, key)
    assert refused.value.param == "overlap_s"
    keys.authenticate(newest.text)
    # One that ends at once adds none.
    keys.authenticate(rotate(person, key, overlap_s=0).text)
    for overlap_s in (-1, rotations.OVERLAP_S_MAX + 1):
        with pytest.raises(Refused):
            rotate(person, key, overlap_s=overlap_s)


def test_ended_secrets_are_forgotten_after_a_while(person: Person, key: Key) -> None:
    rotate(person, key, overlap_s=0)
    run(update(FormerSecret).values(ends_at=utcnow() - timedelta(days=91)))
    rotate(person, key)
    with pytest.raises(KeyInvalid):
        keys.authenticate(person.key_text)


def test_what_stops_a_key_stops_its_former_secrets(person: Person, key: Key) -> None:
    rotate(person, key)
    switch(person, key, True)
    with pytest.raises(KeyRevoked):
        keys.authenticate(person.key_text)
    switch(person, key, False)
    keys.revoke(person.account_id, key.public_id)
    with pytest.raises(KeyRevoked):
        keys.authenticate(person.key_text)
    with pytest.raises(Refused):
        rotate(person, key)
    with pytest.raises(Refused):
        switch(person, key, True)


def test_rotations_at_once_lose_no_secret(context_on_both: Flask, person: Person, key: Key) -> None:
    def one(_: int) -> str:
        with context_on_both.app_context():
            return rotate(person, key).text

    with ThreadPoolExecutor(3) as threads:
        texts = list(threads.map(one, range(3)))
    for key_text in (person.key_text, *texts):
        assert keys.authenticate(key_text).key_public_id == key.public_id


def test_a_former_secrets_use_is_seen(person: Person, key: Key) -> None:
    rotate(person, key)
    assert rotations.formers_of(key)[0].last_used_at is None
    keys.authenticate(person.key_text)
    assert rotations.formers_of(key)[0].last_used_at is not None


def test_every_secret_moves_to_a_newer_root_at_its_use(
    make_app: Callable[..., Flask], database_url: str, person: Person, key: Key
) -> None:
    new = rotate(person, key)
    app = make_app(database_url, SECRET_KEY=NEWER_SECRET, SECRET_KEY_FALLBACKS=SECRET_KEY)
    with app.app_context():
        for key_text in (person.key_text, new.text):
            assert keys.authenticate(key_text).key_public_id == key.public_id
    alone = make_app(database_url, SECRET_KEY=NEWER_SECRET)
    with alone.app_context():
        for key_text in (person.key_text, new.text):
            assert keys.authenticate(key_text).key_public_id == key.public_id


def test_a_late_rewrite_under_a_newer_root_undoes_no_rotation(
    make_app: Callable[..., Flask], database_url: str, person: Person, key: Key
) -> None:
    app = make_app(database_url, SECRET_KEY=NEWER_SECRET, SECRET_KEY_FALLBACKS=SECRET_KEY)
    with app.app_context():
        new = rotate(person, key, overlap_s=3600)
        # What a request does that looked the secret up before it was put aside.
        keys.authenticate(person.key_text)
        assert keys.authenticate(new.text).key_public_id == key.public_id
        assert keys.authenticate(person.key_text).key_public_id == key.public_id


# Where it was used


def test_a_key_tells_when_and_whence_it_was_used(person: Person, key: Key) -> None:
    assert (key.last_used_at, key.last_used_address) == (None, None)
    spend(person, address="2001:db8::7")
    used = again(person, key)
    assert used.last_used_at is not None
    assert used.last_used_address == "2001:db8::7"
    # At most once a minute.
    spend(person, address="192.0.2.1")
    assert again(person, key).last_used_address == "2001:db8::7"
    run(update(ApiKey).values(last_used_at=utcnow() - timedelta(seconds=61)))
    spend(person)
    assert again(person, key).last_used_address is None


def test_what_settles_nothing_notes_its_use_too(person: Person, key: Key) -> None:
    keys.note_use(keys.authenticate(person.key_text, address="192.0.2.1"))
    assert again(person, key).last_used_address == "192.0.2.1"


# Charlie


def test_charlie_reaches_none_of_it(context_on_both: Flask, person: Person, key: Key) -> None:
    charlie = make_person(context_on_both, "charlie@example.com")
    before = again(person, key)
    for act in (switch, rotate):
        with pytest.raises(NotFound):
            act(charlie, key, True)
    with pytest.raises(NotFound):
        change(charlie, key, Rules())
    with pytest.raises(NotFound):
        keys.revoke(charlie.account_id, key.public_id)
    with pytest.raises(NotFound):
        rotations.end_formers(charlie.account_id, key.public_id, actor="test")
    assert again(person, key) == before
