"""`catalogue.sync`: compared first, then whole or not at all; an operator's word stands."""

import copy
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import DBAPIError

from solrouter import database
from solrouter.errors import ModelRetired, Refused
from solrouter.models import AuditEvent, Offer, PriceCard
from solrouter.services import catalogue
from solrouter.services.catalogue import OfferTerms, documents, packaged, sync

USD = 10**9
GPT = "openai/gpt-4o-mini"
CATALOGUE = json.loads(packaged.CATALOGUE_FILE.read_bytes())
Edit = Callable[[dict[str, Any]], None]


def edited(edit: Edit) -> documents.Document:
    """The packaged catalogue with a change."""
    return parsed(with_edit(edit))


def with_edit(edit: Edit) -> dict[str, Any]:
    content = copy.deepcopy(CATALOGUE)
    edit(content)
    return content


def parsed(content: dict[str, Any]) -> documents.Document:
    return documents.parse(json.dumps(content).encode()).with_demo(packaged.demo())


def model(content: dict[str, Any], identifier: str = GPT) -> dict[str, Any]:
    return next(item for item in content["models"] if item["id"] == identifier)


def price(content: dict[str, Any], identifier: str = GPT) -> dict[str, Any]:
    """The newest price of a model's first offer."""
    return model(content, identifier)["offers"][0]["prices"][-1]


def without(identifier: str) -> Edit:
    def edit(content: dict[str, Any]) -> None:
        content["models"] = [item for item in content["models"] if item["id"] != identifier]
        content["aliases"] = [a for a in content["aliases"] if a["target"] != identifier]

    return edit


def bring(document: documents.Document, *, accept: bool = False) -> catalogue.Difference:
    found = sync.difference(document)
    sync.apply(document, found, label="test.json", accept=accept, actor="test")
    return found


def set_input(rate: int) -> Edit:
    return lambda content: price(content)["rates"].update(input=rate)


def cards(side: str, identifier: str = GPT) -> list[tuple[datetime, int]]:
    offer = catalogue.find(identifier).offers[0]
    query = select(PriceCard.effective_at, PriceCard.rates).where(
        PriceCard.offer_id == offer.id, PriceCard.side == side
    )
    with database.read() as connection:
        rows = connection.execute(query.order_by(PriceCard.effective_at)).all()
    return [(row.effective_at, row.rates["input"]) for row in rows]


@pytest.mark.usefixtures("context_on_both")
def test_the_packaged_catalogue_is_there_already() -> None:
    document, label = sync.load(None)
    assert label == "package"
    assert sync.difference(document).is_empty


@pytest.mark.usefixtures("context_on_both")
def test_a_new_price_is_appended_and_holds_from_now() -> None:
    before = catalogue.fresh().version
    old = catalogue.find(GPT).input_nanos
    found = bring(edited(set_input(old * 2)))
    assert {(c.side, c.name, c.old, c.new, c.percent) for c in found.prices} == {
        ("cost", "input", old, old * 2, "+100.0 %"),
        ("sale", "input", old, old * 2, "+100.0 %"),
    }
    assert catalogue.find(GPT).input_nanos == old * 2
    assert catalogue.fresh().version == before + 1
    (first, second) = cards("sale")
    assert (first[1], second[1]) == (old, old * 2)
    assert datetime.now(UTC) - second[0] < timedelta(minutes=1)
    assert sync.difference(edited(set_input(old * 2))).is_empty


@pytest.mark.usefixtures("context_on_both")
def test_a_price_to_come_begins_at_its_date_and_can_be_overruled() -> None:
    begins = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)

    def coming(rate: int) -> Edit:
        def edit(content: dict[str, Any]) -> None:
            prices = model(content)["offers"][0]["prices"]
            later = copy.deepcopy(prices[-1])
            later["effective_at"] = begins.isoformat()
            later["rates"]["input"] = rate
            prices.append(later)

        return edit

    bring(edited(coming(200_000_000)))
    assert cards("cost")[-1] == (begins, 200_000_000)
    assert sync.difference(edited(coming(200_000_000))).is_empty
    # The source thinks again: the card that was announced is not touched, another overrules it.
    bring(edited(coming(250_000_000)))
    assert cards("cost")[-2:] == [
        (begins, 200_000_000),
        (begins + timedelta(microseconds=1), 250_000_000),
    ]
    assert sync.difference(edited(coming(250_000_000))).is_empty
    # And takes it back.
    bring(parsed(CATALOGUE))
    assert cards("cost")[-1] == (begins + timedelta(microseconds=2), 150_000_000)
    assert sync.difference(parsed(CATALOGUE)).is_empty


def test_the_sale_price_carries_the_margin(make_app: Callable[..., Flask]) -> None:
    app = make_app(SOLROUTER_MARGIN_PERCENT="10")
    with app.app_context():
        bring(edited(set_input(200_000_000)))
        assert cards("cost")[-1][1] == 200_000_000
        assert cards("sale")[-1][1] == 220_000_000


@pytest.mark.usefixtures("context_on_both")
def test_a_sale_price_that_an_operator_set_stands() -> None:
    offer = catalogue.find(GPT).offers[0]
    terms = OfferTerms(GPT, "openai", offer.upstream_model, USD, 2 * USD, 128_000)
    catalogue.add_offer(terms)
    found = bring(edited(set_input(200_000_000)), accept=True)
    assert {change.side for change in found.prices} == {"cost"}
    assert catalogue.find(GPT).input_nanos == USD


@pytest.mark.usefixtures("context_on_both")
def test_what_an_operator_made_is_neither_changed_nor_retired() -> None:
    catalogue.add_provider(slug="acme", kind="openai", base_url="http://localhost:9/v1")
    catalogue.add_offer(OfferTerms("acme/tiny", "acme", "tiny-1", USD, USD, 8_000))

    def edit(content: dict[str, Any]) -> None:
        provider = copy.deepcopy(content["providers"][0])
        content["providers"].append(
            provider | {"slug": "acme", "base_url": "https://elsewhere.example/v1", "key_env": []}
        )

    bring(edited(edit))
    assert catalogue.fresh().connections["acme"].base_url == "http://localhost:9/v1"
    assert catalogue.find("acme/tiny").input_nanos == USD


@pytest.mark.usefixtures("context_on_both")
def test_models_come_and_go_and_come_back() -> None:
    rows = _count(Offer)

    def edit(content: dict[str, Any]) -> None:
        new = copy.deepcopy(model(content))
        new |= {"id": "openai/gpt-new", "name": "New"}
        new["offers"][0]["upstream_model"] = "gpt-new"
        without(GPT)(content)
        content["models"].append(new)

    found = bring(edited(edit))
    assert ("retired", GPT) in {(e.verb, e.name) for e in found.entries}
    assert catalogue.find("openai/gpt-new").offers
    assert GPT not in catalogue.fresh().models
    assert _count(Offer) == rows + 1
    with pytest.raises(ModelRetired):
        catalogue.resolve(catalogue.fresh(), GPT)
    assert sync.difference(edited(edit)).is_empty
    back = bring(parsed(CATALOGUE))
    assert ("added", GPT, "is back") in {(e.verb, e.name, e.note) for e in back.entries}
    assert catalogue.find(GPT).offers
    assert "openai/gpt-new" not in catalogue.fresh().models


@pytest.mark.usefixtures("context_on_both")
def test_a_retired_model_is_answered_by_its_replacement() -> None:
    def edit(content: dict[str, Any]) -> None:
        without(GPT)(content)
        content["aliases"].append(alias(GPT, "openai/gpt-5-nano"))

    bring(edited(edit))
    assert catalogue.find(GPT).replaced_by == "openai/gpt-5-nano"


@pytest.mark.usefixtures("context")
def test_an_alias_follows_where_its_target_went() -> None:
    def first(content: dict[str, Any]) -> None:
        content["aliases"].append(alias("openai/old", GPT))

    def second(content: dict[str, Any]) -> None:
        without(GPT)(content)
        content["aliases"].append(alias(GPT, "openai/gpt-5-nano"))

    bring(edited(first))
    assert catalogue.find("openai/old").replaced_by == GPT
    bring(edited(second))
    assert catalogue.find("openai/old").replaced_by == "openai/gpt-5-nano"


def alias(identifier: str, target: str) -> dict[str, Any]:
    return {
        "id": identifier,
        "name": "Old",
        "target": target,
        "status": "retired",
        "retired_on": "2026-11-01",
        "former_rates": {"input": 150_000_000, "output": 600_000_000},
        "note": "Gone.",
    }


@pytest.mark.usefixtures("context_on_both")
def test_an_operator_can_bring_back_what_was_retired() -> None:
    offer = catalogue.find(GPT).offers[0]
    bring(edited(without(GPT)))
    catalogue.add_offer(OfferTerms(GPT, "openai", offer.upstream_model, USD, USD, 128_000))
    assert catalogue.find(GPT).offers
    assert sync.difference(edited(without(GPT))).is_empty


def _half(content: dict[str, Any]) -> None:
    targets = {alias["target"] for alias in content["aliases"]}
    kept = [m for m in content["models"] if m["id"] in targets]
    assert len(kept) * 2 < len(content["models"])
    content["models"] = kept
    used = {offer["provider"] for m in kept for offer in m["offers"]}
    content["providers"] = [p for p in content["providers"] if p["slug"] in used]


def _address(content: dict[str, Any]) -> None:
    provider = next(p for p in content["providers"] if p["slug"] == "openai")
    provider["base_url"] = "https://evil.example/v1"


def _key_thief(content: dict[str, Any]) -> None:
    provider = copy.deepcopy(content["providers"][0])
    provider |= {"slug": "thief", "base_url": "https://evil.example/v1"}
    provider["key_env"] = ["OPENAI_API_KEY"]
    content["providers"].append(provider)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (set_input(150_000_000 * 11), "the cost of input would go from $0.15 to $1.65"),
        (set_input(14_999_999), "from $0.15 to $0.014999999"),
        (set_input(0), "from $0.15 to $0.00"),
        (_half, "models would vanish"),
        (lambda c: model(c).update(context_tokens=63_999), "shrink from 128,000 to 63,999"),
        (_address, "openai: where its key is sent would change"),
        (_key_thief, "the key of openai (OPENAI_API_KEY) would be sent to https://evil"),
        (
            lambda c: price(c).update(
                tiers=[{"above_input_tokens": 1, "rates": {"input": 10**13, "output": 10**13}}]
            ),
            "the cost of input",
        ),
    ],
    ids=["dear", "cheap", "zero", "half", "context", "address", "key", "tier"],
)
@pytest.mark.usefixtures("context")
def test_what_is_hard_to_believe_needs_to_be_accepted(edit: Edit, words: str) -> None:
    document = edited(edit)
    found = sync.difference(document)
    assert words in "\n".join(found.jumps)
    with pytest.raises(Refused, match="--accept"):
        sync.apply(document, found, label="test.json", actor="test")
    assert sync.difference(parsed(CATALOGUE)).is_empty
    sync.apply(document, found, label="test.json", accept=True, actor="test")
    assert sync.difference(document).is_empty


@pytest.mark.usefixtures("context")
def test_ten_times_the_price_is_no_jump() -> None:
    assert sync.difference(edited(set_input(150_000_000 * 10))).jumps == []


@pytest.mark.usefixtures("context")
def test_a_sync_leaves_an_audit_row() -> None:
    bring(edited(without(GPT)))
    with database.read() as connection:
        row = connection.execute(
            select(*AuditEvent.__table__.columns).where(AuditEvent.action == "catalogue.sync")
        ).one()
    assert (row.actor, row.subject, row.details["model_retired"]) == ("test", "test.json", 1)


def test_of_two_at_once_one_does_it(context_on_both: Flask) -> None:
    document = edited(set_input(200_000_000))
    found = sync.difference(document)
    outcomes: list[str] = []

    def run() -> None:
        with context_on_both.app_context():
            try:
                sync.apply(document, found, label="test.json", actor="test")
                outcomes.append("done")
            except Refused as refused:
                outcomes.append(refused.message)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("done") == 1
    assert sum("changed meanwhile" in outcome for outcome in outcomes) == 3
    assert len(cards("cost")) == 2


BREAKING = {
    "sqlite": [
        (
            "CREATE TRIGGER breaks BEFORE INSERT ON audit_events"
            " BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
        )
    ],
    "postgresql": [
        (
            "CREATE FUNCTION breaks() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'the disk is full'; END $$"
        ),
        (
            "CREATE TRIGGER breaks BEFORE INSERT ON audit_events"
            " FOR EACH ROW EXECUTE FUNCTION breaks()"
        ),
    ],
}


@pytest.mark.usefixtures("context_on_both")
def test_a_sync_that_breaks_at_its_last_step_has_changed_nothing() -> None:
    def sabotage(connection: Connection) -> None:
        for statement in BREAKING[connection.dialect.name]:
            connection.execute(text(statement))

    database.transact(sabotage)
    document = edited(without(GPT))
    before = catalogue.fresh().version
    with pytest.raises(DBAPIError, match="the disk is full"):
        bring(document)
    assert catalogue.fresh().version == before
    assert catalogue.find(GPT).offers
    assert not sync.difference(document).is_empty


@pytest.mark.usefixtures("context")
def test_the_next_package_leaves_what_another_source_changed() -> None:
    bring(edited(lambda c: model(c).update(description="Said by the source.")))
    catalogue.bring_in_packaged()
    assert catalogue.find(GPT).description == "Said by the source."


def _count(table: Any) -> int:
    with database.read() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()
