"""Brings the database's catalogue to what a source says: compared first, then in one transaction.

A price is only ever appended. What an operator made or set stays as it is (`comparing`). Running
servers notice by the version; the audit trail keeps who did it and how much changed.
"""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection, Table, insert, select, update

from solrouter import database
from solrouter.clock import utcnow
from solrouter.errors import Refused
from solrouter.models import LanguageModel, ModelAlias, Offer, PriceCard, Provider
from solrouter.services import audit
from solrouter.services.catalogue import documents, packaged, parameters, rows
from solrouter.services.catalogue.comparing import Difference, OfferKey, Steps, compare
from solrouter.services.catalogue.documents import DOCUMENT_BYTES_MAX, Document
from solrouter.services.catalogue.snapshot import bump_version
from solrouter.transport import fetch
from solrouter.transport.errors import TransportError

LABEL_CHARACTERS_MAX = 80
COUNTED = [
    (verb, kind)
    for kind in ("provider", "model", "offer", "alias")
    for verb in ("added", "changed", "retired")
]
TABLES: dict[str, Any] = {
    "providers": Provider,
    "language_models": LanguageModel,
    "model_aliases": ModelAlias,
    "offers": Offer,
}


def load(source: str | None) -> tuple[Document, str]:
    """The catalogue at a source, and what to call it: the packaged one, a file or a URL.

    Raises Refused when it cannot be read, or when anything in it does not fit.
    """
    if source is None:
        document, label = packaged.packaged(), packaged.PACKAGE
    else:
        document = documents.parse(_bytes_of(source)).with_demo(packaged.demo())
        label = _label(source)
    _rehearse(document)
    return document, label


def difference(document: Document) -> Difference:
    """How a source differs from the database."""
    margin = packaged.margin_percent_e6()
    with database.read() as connection:
        return compare(connection, document, margin=margin, now=utcnow())


def apply(
    document: Document, seen: Difference, *, label: str, accept: bool = False, actor: str
) -> None:
    """Does what the difference that somebody has seen says, whole or not at all.

    Raises Refused where it holds what is hard to believe and that is not accepted, and when the
    catalogue has changed since it was seen.
    """
    if seen.jumps and not accept:
        raise Refused("Nothing was changed: say --accept if all of this is true.")
    margin = packaged.margin_percent_e6()

    def verb(connection: Connection) -> None:
        packaged.lock(connection)
        found = compare(connection, document, margin=margin, now=utcnow())
        if found.steps != seen.steps:
            raise Refused("The catalogue has changed meanwhile, so nothing was done: run it again.")
        if found.is_empty:
            return
        _do(connection, found.steps, label)
        bump_version(connection)
        details: dict[str, Any] = {f"{k}_{v}": found.count(v, k) for v, k in COUNTED}
        details |= {"prices": len(found.steps.cards), "accepted": found.jumps}
        event = audit.event(actor=actor, action="catalogue.sync", subject=label, details=details)
        connection.execute(event)

    database.transact(verb)


def _do(connection: Connection, steps: Steps, label: str) -> None:
    now = utcnow()
    made = {"source": label, "created_at": now}
    for name, values in steps.inserts:
        connection.execute(insert(TABLES[name]).values(**values, **made))
    for name, row_id, values in steps.updates:
        table = TABLES[name].__table__
        assert isinstance(table, Table)
        (key,) = table.primary_key.columns
        connection.execute(update(table).where(key == row_id).values(**values, source=label))
    for name, number in steps.retired:
        table = TABLES[name].__table__
        connection.execute(update(table).where(table.c.id == number).values(retired_at=now))
    models = _ids(connection, LanguageModel)
    providers = _ids(connection, Provider)

    def keys(offer: OfferKey) -> rows.Values:
        model, provider, upstream_model = offer
        return {
            "language_model_id": models[model],
            "provider_id": providers[provider],
            "upstream_model": upstream_model,
        }

    for offer, values in steps.offers:
        row = {"deadlines": {}, **keys(offer), **values, **made}
        connection.execute(insert(Offer).values(**row))
    for offer, side, step in steps.cards:
        wanted = [getattr(Offer, name) == value for name, value in keys(offer).items()]
        offer_id = connection.execute(select(Offer.id).where(*wanted)).scalar_one()
        card = {"offer_id": offer_id, "side": side, "effective_at": step.begins or now}
        connection.execute(insert(PriceCard).values(**card, **step.card, **made))


def _ids(connection: Connection, table: Any) -> dict[str, int]:
    return {row.slug: row.id for row in connection.execute(select(table.slug, table.id))}


def _bytes_of(source: str) -> bytes:
    try:
        scheme, marked = urlsplit(source).scheme, "://" in source
    except ValueError as error:
        raise Refused(f"The source is no URL that can be read: {error}.") from error
    if marked and scheme not in ("http", "https"):
        raise Refused("A source is a file, or a URL that begins with http:// or https://.")
    if marked:
        try:
            return fetch.fetch(source, bytes_max=DOCUMENT_BYTES_MAX)
        except TransportError as error:
            raise Refused(f"The source cannot be fetched: {error}") from error
    try:
        with Path(source).open("rb") as file:
            # One more than allowed, so that the parser sees that it is too much.
            return file.read(DOCUMENT_BYTES_MAX + 1)
    except OSError as error:
        raise Refused(f"The source cannot be read: {error.strerror or error}") from error


def _label(source: str) -> str:
    """The source without what may be secret in its address."""
    parts = urlsplit(source)
    if parts.scheme in ("http", "https"):
        return f"{parts.hostname}{parts.path}"[-LABEL_CHARACTERS_MAX:]
    return Path(source).name[-LABEL_CHARACTERS_MAX:]


def _rehearse(document: Document) -> None:
    """Uses every provider's flags once, as requests will. Raises Refused if they cannot be."""
    providers = {provider.slug: provider for provider in document.providers}
    for model in document.models:
        for offer in model.offers:
            provider = providers[offer.provider]
            listed = frozenset(offer.parameters or model.parameters)
            facts = {**model.facts, "output_tokens_max": model.output_tokens_max}
            try:
                flags = parameters.narrowed(provider.kind, provider.capabilities, listed)
                parameters.states(provider.kind, offer.upstream_model, flags, facts, listed)
            # Whatever a flag of the wrong type breaks: it must break here.
            except (TypeError, ValueError, LookupError, AttributeError, re.error) as error:
                raise Refused(
                    f"The catalogue cannot be used: the capabilities of {provider.slug}, or the "
                    f"facts of {model.id}, are not what they must be ({error})."
                ) from error
