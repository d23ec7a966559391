"""Brings the catalogue that ships with the package into the database.

Safe to run again and from many machines at once: what is missing is added, and what an earlier
package said of its own rows is brought up to date. No price is edited, nothing is retired, and what
an operator made or another source has changed since stays as it is: that is `sync`'s.
"""

from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from solrouter import config, database
from solrouter.clock import utcnow
from solrouter.extensions import Base
from solrouter.models import LanguageModel, ModelAlias, Offer, PriceCard, Provider
from solrouter.models.catalogue import OPERATOR
from solrouter.services.catalogue import documents, rows
from solrouter.services.catalogue.documents import Document
from solrouter.services.catalogue.rows import COST, SALE
from solrouter.services.catalogue.snapshot import bump_version

DATA = Path(__file__).resolve().parents[2] / "data"
CATALOGUE_FILE = DATA / "catalogue.json"
DEMO_FILE = DATA / "demo.json"
# Any number; PostgreSQL's advisory lock makes a second writer of the catalogue wait.
CATALOGUE_LOCK = 7_105_202_612
PACKAGE = "package"

Rows = list[dict[str, Any]]


def bring_in_packaged() -> int:
    """Adds what is missing and returns how many rows that were."""
    document, margin = packaged(), margin_percent_e6()

    def verb(connection: Connection) -> int:
        lock(connection)
        added = _add(connection, document, margin)
        if added + _refresh(connection, document):
            bump_version(connection)
        return added

    return database.transact(verb)


@cache
def packaged() -> Document:
    """The packaged catalogue, with the demo's models."""
    return documents.parse(CATALOGUE_FILE.read_bytes()).with_demo(demo())


@cache
def demo() -> Document:
    """The models that live in this process."""
    return documents.parse(DEMO_FILE.read_bytes())


def margin_percent_e6() -> int:
    """What is added to a cost, in millionths of a percent."""
    return int(Decimal(config.current()["SOLROUTER_MARGIN_PERCENT"]) * 1_000_000)


def lock(connection: Connection) -> None:
    """Lets one transaction at a time compare the catalogue with a source."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({CATALOGUE_LOCK})"))


def priced_by_operator(connection: Connection) -> set[int]:
    """The offers whose sale price an operator has set: it stands, whatever a source says later."""
    query = select(PriceCard.offer_id).where(PriceCard.side == SALE, PriceCard.source == OPERATOR)
    return set(connection.execute(query).scalars())


def _add(connection: Connection, document: Document, margin: int) -> int:
    common = {"source": PACKAGE, "created_at": utcnow()}
    providers = [{"slug": p.slug, **rows.provider_values(p), **common} for p in document.providers]
    models = [{"slug": m.id, **rows.model_values(m), **common} for m in document.models]
    aliases = [{"slug": a.id, **rows.alias_values(a), **common} for a in document.aliases]
    return (
        _add_missing(connection, Provider, ("slug",), providers)
        + _add_missing(connection, LanguageModel, ("slug",), models)
        + _add_missing(connection, ModelAlias, ("slug",), aliases)
        + _add_offers(connection, document, margin)
    )


def _add_offers(connection: Connection, document: Document, margin: int) -> int:
    common = {"source": PACKAGE, "created_at": utcnow()}
    models = dict(_pairs(connection, LanguageModel.slug, LanguageModel.id))
    providers = dict(_pairs(connection, Provider.slug, Provider.id))
    wanted = {
        (models[model.id], providers[offer.provider], offer.upstream_model): offer
        for model in document.models
        for offer in model.offers
    }
    keys = ("language_model_id", "provider_id", "upstream_model")
    offers = [
        {**dict(zip(keys, key, strict=True)), "deadlines": {}, **rows.offer_values(item), **common}
        for key, item in wanted.items()
    ]
    added = _add_missing(connection, Offer, keys, offers)
    ids = {
        (row.language_model_id, row.provider_id, row.upstream_model): row.id
        for row in connection.execute(select(*Offer.__table__.columns))
    }
    own = priced_by_operator(connection)
    cards = [
        {
            "offer_id": ids[key],
            "side": side,
            "effective_at": price.effective_at,
            **rows.card_values(price, side, margin_percent_e6=margin),
            **common,
        }
        for key, item in wanted.items()
        for price in item.prices
        for side in (COST, SALE)
        if not (side == SALE and ids[key] in own)
    ]
    return added + _add_missing(connection, PriceCard, ("offer_id", "side", "effective_at"), cards)


def _refresh(connection: Connection, document: Document) -> int:
    """Writes what this package says of the rows that came with an earlier one."""
    slugs = dict(_pairs(connection, LanguageModel.id, LanguageModel.slug))
    provider_slugs = dict(_pairs(connection, Provider.id, Provider.slug))
    said: list[tuple[type[Base], Any, dict[Any, dict[str, Any]]]] = [
        (
            Provider,
            lambda row: row.slug,
            {item.slug: rows.provider_values(item) for item in document.providers},
        ),
        (
            LanguageModel,
            lambda row: row.slug,
            {item.id: rows.model_values(item) for item in document.models},
        ),
        (
            Offer,
            lambda row: (
                slugs[row.language_model_id],
                provider_slugs[row.provider_id],
                row.upstream_model,
            ),
            {
                (model.id, offer.provider, offer.upstream_model): rows.offer_values(offer)
                for model in document.models
                for offer in model.offers
            },
        ),
    ]
    return sum(_refresh_table(connection, *each) for each in said)


def _refresh_table(
    connection: Connection, table: type[Base], key_of: Any, said: dict[Any, dict[str, Any]]
) -> int:
    columns = table.__table__.c
    found = connection.execute(select(*columns).where(columns.source == PACKAGE)).all()
    refreshed = 0
    for row in found:
        if different := rows.changed(row, said.get(key_of(row), {})):
            connection.execute(update(table).where(columns.id == row.id).values(**different))
            refreshed += 1
    return refreshed


def _pairs(connection: Connection, key: Any, value: Any) -> list[tuple[Any, Any]]:
    return [(row[0], row[1]) for row in connection.execute(select(key, value))]


def _add_missing(
    connection: Connection, table: type[Base], keys: tuple[str, ...], wanted: Rows
) -> int:
    """Inserts the rows whose keys are not there yet and returns how many they were."""
    target = table.__table__
    assert isinstance(target, Table)
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    columns = [target.c[name] for name in keys]
    present = {tuple(row) for row in connection.execute(select(*columns))}
    missing = [row for row in wanted if tuple(row[name] for name in keys) not in present]
    if missing:
        statement = insert(target).on_conflict_do_nothing(index_elements=columns)
        connection.execute(statement, missing)
    return len(missing)
