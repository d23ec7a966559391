"""Brings the catalogue that ships with the package into the database. Appends only.

Safe to run again and from many machines at once: every row is inserted only where it is missing, so
that an operator's own changes and every past price stay as they are.
"""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, Table, select, text
from sqlalchemy.dialects import postgresql, sqlite

from solrouter import config, database
from solrouter.clock import utcnow
from solrouter.extensions import Base
from solrouter.models import LanguageModel, ModelAlias, Offer, PriceCard, Provider
from solrouter.services.catalogue.snapshot import bump_version
from solrouter.services.pricing import with_margin

DATA = Path(__file__).resolve().parents[2] / "data"
FILES = ("catalogue.json", "demo.json")
BRING_IN_LOCK = 7_105_202_612
# The sale price of a packaged offer begins with its cost price, or now if that began before us.
SOURCE = "package"
OPERATOR_SOURCE = "operator"


def bring_in_packaged() -> int:
    """Adds what is missing and returns how many rows that were."""
    documents = [orjson.loads((DATA / name).read_bytes()) for name in FILES]
    margin = int(Decimal(config.current()["SOLROUTER_MARGIN_PERCENT"]) * 1_000_000)

    def verb(connection: Connection) -> int:
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({BRING_IN_LOCK})"))
        added = sum(_bring_in(connection, document, margin) for document in documents)
        if added:
            bump_version(connection)
        return added

    return database.transact(verb)


def _bring_in(connection: Connection, document: Mapping[str, Any], margin: int) -> int:
    now = utcnow()
    added = _add_missing(
        connection, Provider, ("slug",), [_provider(item, now) for item in document["providers"]]
    )
    added += _add_missing(
        connection, LanguageModel, ("slug",), [_model(item, now) for item in document["models"]]
    )
    added += _add_missing(
        connection, ModelAlias, ("slug",), [_alias(item, now) for item in document["aliases"]]
    )
    return added + _add_offers(connection, document, margin, now)


def _add_offers(
    connection: Connection, document: Mapping[str, Any], margin: int, now: datetime
) -> int:
    models = dict(_pairs(connection, LanguageModel.slug, LanguageModel.id))
    providers = dict(_pairs(connection, Provider.slug, Provider.id))
    wanted = {
        (models[item["id"]], providers[offer["provider"]], offer["upstream_model"]): offer
        for item in document["models"]
        for offer in item["offers"]
    }
    added = _add_missing(
        connection,
        Offer,
        ("language_model_id", "provider_id", "upstream_model"),
        [
            {
                "language_model_id": model_id,
                "provider_id": provider_id,
                "upstream_model": upstream,
                "is_free": offer.get("is_free", False),
                "created_at": now,
            }
            for (model_id, provider_id, upstream), offer in wanted.items()
        ],
    )
    ids = {
        (row.language_model_id, row.provider_id, row.upstream_model): row.id
        for row in connection.execute(select(*Offer.__table__.columns))
    }
    own = _priced_by_operator(connection)
    cards = [
        card
        for key, offer in wanted.items()
        for price in offer["prices"]
        for card in _cards(ids[key], price, margin, now)
        # An operator's own sale price stands, whatever the package says later.
        if not (card["side"] == "sale" and ids[key] in own)
    ]
    return added + _add_missing(connection, PriceCard, ("offer_id", "side", "effective_at"), cards)


def _priced_by_operator(connection: Connection) -> set[int]:
    """The offers whose sale price an operator has set."""
    query = select(PriceCard.offer_id).where(
        PriceCard.side == "sale", PriceCard.source == OPERATOR_SOURCE
    )
    return set(connection.execute(query).scalars())


def _cards(
    offer_id: int, price: Mapping[str, Any], margin: int, now: datetime
) -> list[dict[str, Any]]:
    common = {
        "offer_id": offer_id,
        "effective_at": datetime.fromisoformat(price["effective_at"].replace("Z", "+00:00")),
        "source": SOURCE,
        "created_at": now,
    }
    tiers, windows = price.get("tiers", []), price.get("windows", [])
    cost = {**common, "side": "cost", "rates": price["rates"], "tiers": tiers, "windows": windows}
    sale = {
        **common,
        "side": "sale",
        "rates": with_margin(price["rates"], margin_percent_e6=margin),
        "tiers": [_marked_up(tier, margin) for tier in tiers],
        "windows": [_marked_up(window, margin) for window in windows],
    }
    return [cost, sale]


def _marked_up(part: Mapping[str, Any], margin: int) -> dict[str, Any]:
    return {**part, "rates": with_margin(part["rates"], margin_percent_e6=margin)}


def _provider(item: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    return {
        "slug": item["slug"],
        "name": item["name"],
        "kind": item["kind"],
        "base_url": item["base_url"],
        "key_settings": item["key_env"],
        "needs_key": bool(item["key_env"]),
        "capabilities": item["capabilities"],
        "created_at": now,
    }


def _model(item: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    facts = {"system_role": item["system_role"], **item.get("facts", {})}
    return {
        "slug": item["id"],
        "author": item["author"],
        "name": item["name"],
        "description": item["description"],
        "context_tokens": item["context_tokens"],
        "output_tokens_max": item["output_tokens_max"],
        "input_modalities": item["input_modalities"],
        "output_modalities": item["output_modalities"],
        "parameters": item["parameters"],
        "facts": facts,
        "released_on": _date(item["released_on"]),
        "expires_on": _date(item["expires_on"]),
        "created_at": now,
    }


def _alias(item: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    return {
        "slug": item["id"],
        "name": item["name"],
        "target": item["target"],
        "status": item["status"],
        "retired_on": _date(item["retired_on"]),
        "former_rates": item["former_rates"],
        "note": item["note"],
        "created_at": now,
    }


def _pairs(connection: Connection, key: Any, value: Any) -> list[tuple[str, int]]:
    return [(row[0], row[1]) for row in connection.execute(select(key, value))]


def _date(value: str | None) -> date | None:
    return date.fromisoformat(value) if value else None


def _add_missing(
    connection: Connection, table: type[Base], keys: tuple[str, ...], rows: list[dict[str, Any]]
) -> int:
    """Inserts the rows whose keys are not there yet and returns how many they were."""
    target = table.__table__
    assert isinstance(target, Table)
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    columns = [target.c[name] for name in keys]
    present = {tuple(row) for row in connection.execute(select(*columns))}
    missing = [row for row in rows if tuple(row[name] for name in keys) not in present]
    if missing:
        statement = insert(target).on_conflict_do_nothing(index_elements=columns)
        connection.execute(statement, missing)
    return len(missing)
