"""Fills a database with history by bulk SQL: receipts, their transfers, payments, the audit log.

Alice, whose pages are measured, made a quarter of all requests; other accounts share the rest. The
books agree: what was used was granted before. Sums by day are then made by the server's own work.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import Flask
from sqlalchemy import Connection, create_engine, insert, select, text

from solrouter import database
from solrouter.models import Account, Membership, Offer, User
from solrouter.services import catalogue, key_usage, keys, ledger_days, usage_days
from tests.factories import Person

DAYS = 90
OTHERS = 2_000
KEYS_OF_ALICE = 20
AUDIT_EVENTS_PER_COMPLETION = 0.05
PAYMENTS_PER_COMPLETION = 0.005
OFFERS_USED_MAX = 60
MODELS_OF_A_KEY = 3


@dataclass(frozen=True)
class Words:
    """What the two databases say differently. `moment` is seconds since 1970 in both."""

    numbers: str
    identifier: str
    time: str
    whole: str


POSTGRESQL = Words(
    numbers="(SELECT generate_series(1, {rows}) AS n)",
    # Time-ordered ids: 48 bits of milliseconds, then chance.
    identifier=(
        "(lpad(to_hex((moment * 1000)::bigint), 12, '0') || '7'"
        " || substr(md5(random()::text), 1, 3) || '8' || substr(md5(random()::text), 1, 15))::uuid"
    ),
    time="to_timestamp(moment)",
    whole="bigint",
)
SQLITE = Words(
    numbers=(
        "(WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n <"
        " {rows}) SELECT n FROM numbers)"
    ),
    identifier="time_ordered(moment)",
    time="strftime('%Y-%m-%d %H:%M:%f', moment, 'unixepoch') || '000'",
    whole="integer",
)


def fill(app: Flask, alice: Person, completions: int) -> None:
    """Adds so many completions and what belongs to them, and sums them up by day."""
    with app.app_context():
        payers = _payers(alice)
        offers = _offers()
        words = SQLITE if database.current().is_sqlite else POSTGRESQL
    engine = create_engine(app.config["DATABASE_URL"])
    with engine.begin() as connection:
        _prepare(connection, is_sqlite=words is SQLITE)
        _remember(connection, payers, offers, words)
        _add(connection, words, completions, (len(payers), len(offers)))
    if words is POSTGRESQL:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
    engine.dispose()
    with app.app_context():
        while key_usage.roll_up() or usage_days.roll_up() or ledger_days.roll_up():
            pass


def _payers(alice: Person) -> list[tuple[int, int, int]]:
    """Account, key and user of each share of the requests."""
    made = [
        keys.create(alice.account_id, user_id=alice.user_id, name=f"Service {number}").key.id
        for number in range(KEYS_OF_ALICE)
    ]
    others = _others()
    # A key need not exist for a receipt to name it, and those of others are looked at by nobody.
    shares = [(account, 1_000_000 + account, user) for account, user in others]
    mine = len(shares) // 3
    shares += [(alice.account_id, made[n % len(made)], alice.user_id) for n in range(mine)]
    # So that they alternate in time as they do in life.
    return sorted(shares, key=lambda share: uuid.uuid5(uuid.NAMESPACE_OID, str(share)).int)


def _others() -> list[tuple[int, int]]:
    """Accounts with an owner each: account and user."""

    def verb(connection: Connection) -> list[tuple[int, int]]:
        now = datetime.now(UTC)
        plan = connection.execute(select(Account.plan_slug).limit(1)).scalar_one()
        accounts = [
            {"public_id": f"acc_bench{n}", "name": f"Company {n}", "plan_slug": plan}
            for n in range(OTHERS)
        ]
        users = [
            {"public_id": f"usr_bench{n}", "email": f"p{n}@example.org"} for n in range(OTHERS)
        ]
        common = {"created_at": now}
        connection.execute(insert(Account), [{**row, **common} for row in accounts])
        account_of = dict(connection.execute(select(Account.public_id, Account.id)).all())
        rows = [
            {**row, **common, "own_account_id": account_of[f"acc_bench{n}"], "name": f"Person {n}"}
            for n, row in enumerate(users)
        ]
        connection.execute(insert(User), rows)
        user_of = dict(connection.execute(select(User.public_id, User.id)).all())
        pairs = [(account_of[f"acc_bench{n}"], user_of[f"usr_bench{n}"]) for n in range(OTHERS)]
        members = [
            {"account_id": account, "user_id": user, "role": "owner", **common}
            for account, user in pairs
        ]
        connection.execute(insert(Membership), members)
        return pairs

    return database.transact(verb)


def _offers() -> list[tuple[int, str, str]]:
    """Offer, model and provider of some of the catalogue."""
    with database.read() as connection:
        ids = set(connection.execute(select(Offer.id)).scalars())
    found = [
        (offer.id, model.id, offer.provider_slug)
        for model in catalogue.listing()
        for offer in model.offers
        if offer.id in ids
    ]
    return found[:OFFERS_USED_MAX]


def _prepare(connection: Connection, *, is_sqlite: bool) -> None:
    if not is_sqlite:
        connection.execute(text("SET LOCAL synchronous_commit = off"))
        return
    driver: Any = connection.connection.driver_connection
    driver.create_function("time_ordered", 1, _time_ordered)


def _time_ordered(moment_s: float) -> bytes:
    chance = bytearray(uuid.uuid4().bytes[6:])
    chance[0] = chance[0] & 0x0F | 0x70
    return int(moment_s * 1000).to_bytes(6, "big") + bytes(chance)


def _remember(
    connection: Connection,
    payers: list[tuple[int, int, int]],
    offers: list[tuple[int, str, str]],
    words: Words,
) -> None:
    """Who asks and who serves, as tables of this connection alone."""
    whole = words.whole
    connection.execute(
        text(
            f"CREATE TEMPORARY TABLE payers (place {whole} PRIMARY KEY, account {whole},"
            f" key {whole}, person {whole})"
        )
    )
    connection.execute(
        text(
            f"CREATE TEMPORARY TABLE servers (place {whole} PRIMARY KEY, offer {whole},"
            " model_id text, slug text)"
        )
    )
    connection.execute(
        text("INSERT INTO payers VALUES (:place, :account, :key, :person)"),
        [
            {"place": place, "account": account, "key": key, "person": person}
            for place, (account, key, person) in enumerate(payers)
        ],
    )
    connection.execute(
        text("INSERT INTO servers VALUES (:place, :offer, :model_id, :slug)"),
        [
            {"place": place, "offer": offer, "model_id": model_id, "slug": slug}
            for place, (offer, model_id, slug) in enumerate(offers)
        ],
    )


def _add(connection: Connection, words: Words, rows: int, sizes: tuple[int, int]) -> None:
    payers, offers = sizes
    shared: Mapping[str, str] = {"id": words.identifier, "created_at": words.time}
    source = (
        f"{words.numbers.format(rows=rows)} AS counted"
        f" JOIN payers ON payers.place = n % {payers}"
        # A key asks for a few models all its life, as a program does.
        f" JOIN servers ON servers.place ="
        f" (key * {MODELS_OF_A_KEY} + (n / {payers}) % {MODELS_OF_A_KEY}) % {offers}"
    )
    _copy(
        connection,
        "completions",
        source,
        rows,
        {
            **shared,
            "ended_at": words.time,
            "account_id": "account",
            "key_id": "key",
            "user_id": "person",
            "requested_model": "model_id",
            "model": "model_id",
            "provider": "slug",
            "offer_id": "offer",
            "outcome": "CASE WHEN n % 40 = 0 THEN 'failed' ELSE 'finished' END",
            "upstream_id": "'history'",
            "error_code": "CASE WHEN n % 40 = 0 THEN 'upstream_error' END",
            "charge_nanos": "CASE WHEN n % 40 = 0 THEN 0 ELSE 1000 + n % 500000 END",
            "prompt_tokens": "20 + n % 4000",
            "completion_tokens": "n % 900",
        },
    )
    connection.execute(text(TRANSFERS))
    connection.execute(text(GRANTS.format(identifier=words.identifier, time=words.time)), FIRST)
    some = f"{words.numbers.format(rows=int(rows * AUDIT_EVENTS_PER_COMPLETION))} AS counted"
    some += f" JOIN payers ON payers.place = n % {payers}"
    of_account = {**shared, "account_id": "account"}
    _copy(connection, "audit_events", some, int(rows * AUDIT_EVENTS_PER_COMPLETION), of_account)
    few = f"{words.numbers.format(rows=int(rows * PAYMENTS_PER_COMPLETION))} AS counted"
    few += f" JOIN payers ON payers.place = n % {payers}"
    _copy(
        connection,
        "payments",
        few,
        int(rows * PAYMENTS_PER_COMPLETION),
        {
            "id": "1000000 + n",
            "public_id": "'pay_bench' || n",
            "order_id": "'order_bench' || n",
            "charge_id": "'charge_bench' || n",
            "account_id": "account",
            "user_id": "person",
            "created_at": words.time,
            "updated_at": words.time,
            # Nothing came of them, so the books know nothing of them.
            "state": "'expired'",
            "received_nanos": "0",
            "refunded_nanos": "0",
            "paid_at": "NULL",
        },
        model="WHERE provider = 'test'",
    )


def _copy(
    connection: Connection,
    table: str,
    source: str,
    rows: int,
    made: Mapping[str, str],
    *,
    model: str = "",
) -> None:
    """Rows like one that is there, with what is made put in, spread over the days."""
    columns = list(connection.execute(text(f"SELECT * FROM {table} WHERE 1 = 0")).keys())
    chosen = ", ".join(made.get(name, f"example.{name}") for name in columns)
    connection.execute(
        text(
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {chosen} FROM"
            f" (SELECT n, :now - {DAYS * 86400} * (1.0 - n * 1.0 / {rows}) AS moment"
            f"{_carried(source)} FROM {source}) AS past,"
            f" (SELECT * FROM {table} {model} ORDER BY id LIMIT 1) AS example"
        ),
        {"now": datetime.now(UTC).timestamp() - 1},
    )


def _carried(source: str) -> str:
    of_servers = ", offer, model_id, slug" if "servers" in source else ""
    return f", account, key, person{of_servers}"


TRANSFERS = (
    "INSERT INTO transfers (id, leg, account_id, debit, credit, amount_nanos, kind, actor, note,"
    " created_at) SELECT id, 0, account_id, 'customer\\:' || account_id || '\\:granted', 'revenue',"
    " charge_nanos, 'usage', 'system', model, ended_at FROM completions"
    " WHERE charge_nanos > 0 AND upstream_id = 'history'"
)
GRANTS = (
    "INSERT INTO transfers (id, leg, account_id, debit, credit, amount_nanos, kind, actor, note,"
    " created_at) SELECT {identifier}, 0, account, 'promo',"
    " 'customer\\:' || account || '\\:granted', amount, 'grant', 'bench', '', {time} FROM"
    " (SELECT account_id AS account, sum(charge_nanos) AS amount, :moment AS moment"
    " FROM completions WHERE upstream_id = 'history' GROUP BY account_id"
    " HAVING sum(charge_nanos) > 0) AS used"
)
FIRST = {"moment": datetime.now(UTC).timestamp() - (DAYS + 1) * 86400}
