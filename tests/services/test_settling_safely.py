"""Whatever an upstream says of itself, and whatever goes wrong: an answer is settled, and once."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from solrouter import database
from solrouter.chat import Usage
from solrouter.errors import DatabaseUnavailable
from solrouter.models import Completion, Plan
from solrouter.money import parse_usd
from solrouter.providers.choices import CHOICES_MAX
from solrouter.providers.counts import TOKENS_MAX
from solrouter.services import admission, billing, pricing
from solrouter.services.admission import receipts
from solrouter.services.catalogue.checks import RATE_NANOS_MAX
from tests.factories import Person, fund, make_offer, make_person
from tests.services.test_admission import ask, ending

ROOT = Path(__file__).resolve().parents[2]
COST = 20_000


@pytest.fixture
def person(context_on_both: Flask) -> Person:
    make_offer(context_on_both, "http://127.0.0.1:9/v1")
    admission.beat("test-worker")
    person = make_person(context_on_both, "alice@example.com")
    fund(person.account_id, "1")
    return person


def receipt() -> Any:
    with database.read() as connection:
        return connection.execute(select(*Completion.__table__.columns)).one()


def assert_is_charged(person: Person) -> None:
    charged = parse_usd("1") - COST
    assert billing.balance(person.account_id) == billing.Balance(0, charged, 0)
    assert list(billing.audit()) == []


def test_no_text_of_an_upstream_prevents_a_settlement(person: Person) -> None:
    admitted = admission.admit(ask(person))
    told = replace(
        ending(admitted, COST),
        upstream_id="ab\x00c é\u202e" + "x" * 300,
        finish_reason="st\x00op" + "p" * 50,
        error_code="\x00\ud800broken",
        reason="\nstop" + "p" * 100,
        attempts=[{"provider": "p\x00q", "error": ["\ud800"], "n": 7, "\x00": None}],
    )
    assert admission.settle(admitted, told).total_nanos == COST
    row = receipt()
    assert row.upstream_id == "abc " + "x" * 196
    assert (row.finish_reason, row.error_code) == ("stop" + "p" * 26, "broken")
    assert row.reason == "stop" + "p" * 56
    assert row.attempts == [{"provider": "pq", "error": [""], "n": 7, "": None}]
    assert admission.late_writes() == 0
    assert_is_charged(person)


def test_an_id_of_nothing_that_can_be_stored_is_none(person: Person) -> None:
    admitted = admission.admit(ask(person))
    values = receipts.values(
        admitted, replace(ending(admitted, 1), upstream_id="\x00é"), billing.Charge(0, 1, 0)
    )
    assert values["upstream_id"] is None


def test_what_cannot_be_stored_is_settled_later_without_it(person: Person) -> None:
    admitted = admission.admit(ask(person))
    odd = replace(ending(admitted, COST), attempts=[{"error": object()}], upstream_id="odd")
    with pytest.raises(DatabaseUnavailable):
        admission.settle(admitted, odd)
    assert billing.balance(person.account_id).posted_nanos == parse_usd("1")
    assert admission.late_writes() == 1
    admission.catch_up()
    assert admission.late_writes() == 0
    row = receipt()
    assert (row.outcome, row.charge_nanos, row.attempts) == ("finished", COST, [])
    assert (row.prompt_tokens, row.completion_tokens, row.upstream_id) == (10, 5, None)
    assert_is_charged(person)


def test_what_the_lean_way_cannot_do_is_done_the_careful_way(
    person: Person, caplog: pytest.LogCaptureFixture
) -> None:
    unlimited = update(Plan).values(tokens_per_minute=None)
    database.transact(lambda connection: connection.execute(unlimited).rowcount)
    admitted = admission.admit(ask(person))
    # Each fits its column, and only their sum no parameter.
    beyond = replace(ending(admitted, COST), usage=Usage(input=2**62, output=2**62))
    assert admission.settle(admitted, beyond).total_nanos == COST
    assert ("the lean way" in caplog.text) != database.current().is_sqlite
    assert admission.late_writes() == 0
    assert_is_charged(person)


KILLED = """
from gevent import monkey; monkey.patch_all()
import gevent, psycopg, sys
from solrouter.database.compiled import Numbered
from solrouter.database.engines import lane_engine
from solrouter.database.groups import Lane, Step

url = sys.argv[1]
seen = psycopg.connect(url.replace("+psycopg", ""), autocommit=True)
seen.execute("CREATE TABLE t (x bigint)")
lane = Lane(lane_engine(url, timeout_s=2, durable=False))
slow = Numbered("INSERT INTO t SELECT %(x)s::bigint FROM pg_sleep(0.3) RETURNING x")

def run(x):
    try:
        return lane.run(Step(slow, {"x": x}, 1))[0][0]
    except BaseException as error:
        return type(error).__name__

first = gevent.spawn(run, 0)
gevent.sleep(0.1)
batch = [gevent.spawn(run, x) for x in (1, 2, 3)]
gevent.sleep(0.5)
batch[0].kill(block=False)
gevent.joinall([first, *batch], timeout=10)
print([one.value if one.ready() else "hangs" for one in (first, *batch)])
print(run(4))
gevent.sleep(1)
print(seen.execute("SELECT x, count(*) FROM t GROUP BY x HAVING count(*) > 1").fetchall())
"""


@pytest.mark.postgresql
def test_a_killed_leader_dies_and_its_batch_is_not_sent_again(postgresql_url: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", KILLED, postgresql_url],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    told = "[0, 'GreenletExit', 'DatabaseUnavailable', 'DatabaseUnavailable']\n4\n[]\n"
    assert result.stdout == told


def test_the_largest_usage_that_is_believed_is_settled_under_the_smallest_limit(
    person: Person,
) -> None:
    """Every class of every call of a merged answer as large as may be, at the dearest price."""
    admitted = admission.admit(ask(person))
    most = TOKENS_MAX * CHOICES_MAX
    usage = Usage(**dict.fromkeys((*pricing.PRICED_CLASSES, "reasoning"), most))
    card = replace(
        admitted.ask.offer.sale, rates=dict.fromkeys(pricing.PRICED_CLASSES, RATE_NANOS_MAX)
    )
    cost = pricing.cost_nanos(usage, card, at=admitted.ask.at)
    shrink = update(Plan).values(tokens_per_minute=1)
    database.transact(lambda connection: connection.execute(shrink).rowcount)
    told = replace(ending(admitted, cost), usage=usage, upstream_cost_nanos=cost)
    charge = admission.settle(admitted, told)
    assert (charge.total_nanos, charge.write_off_nanos) == (parse_usd("1"), cost - parse_usd("1"))
    assert billing.balance(person.account_id) == billing.Balance(0, 0, 0)
    assert receipt().completion_tokens == usage.completion_tokens
