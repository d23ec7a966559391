"""Providers as an operator sees and adds them, and what an operator says of them."""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection, Row, func, insert, select, update

from solrouter import database, redaction
from solrouter.clock import utcnow
from solrouter.errors import NotFound, Refused
from solrouter.models import Offer, Provider, columns
from solrouter.providers.openai_compatible import servers
from solrouter.services import audit
from solrouter.services.catalogue import provider_keys, reading, snapshot

KINDS = ("openai", "anthropic", "google", "demo")
SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
# Programs whose ways are known, for a base URL of the operator's own that is one of them.
SERVERS = tuple(servers.SERVERS)


@dataclass(frozen=True, slots=True)
class ProviderRow:
    """A provider as an operator sees it; of its key only where it comes from."""

    slug: str
    name: str
    kind: str
    base_url: str
    is_ready: bool
    key_source: str
    models: int
    disabled: bool
    collects_data: bool | None = None

    @property
    def shown_url(self) -> str:
        """The base URL without a password."""
        return redaction.redacted(self.base_url)


def providers() -> list[ProviderRow]:
    """Every provider, those that are ready first."""
    counts = (
        select(
            Offer.provider_id, func.count(func.distinct(Offer.language_model_id)).label("models")
        )
        .group_by(Offer.provider_id)
        .subquery()
    )
    statement = select(*Provider.__table__.columns, counts.c.models).outerjoin(
        counts, counts.c.provider_id == Provider.id
    )
    with database.read() as connection:
        rows = connection.execute(statement).all()
    found = [_as_row(row, row.models or 0) for row in rows]
    return sorted(found, key=lambda row: (not row.is_ready, row.slug))


def provider(slug: str) -> ProviderRow:
    """One provider. Raises NotFound."""
    counted = select(func.count(func.distinct(Offer.language_model_id))).where(
        Offer.provider_id == Provider.id
    )
    columns = (*Provider.__table__.columns, counted.scalar_subquery().label("models"))
    with database.read() as connection:
        row = connection.execute(select(*columns).where(Provider.slug == slug)).one_or_none()
    if row is None:
        raise NotFound(f"There is no provider “{slug}”.", param="provider")
    return _as_row(row, row.models)


def set_key(slug: str, api_key: str | None, *, actor: str) -> None:
    """Stores another key for a provider; None takes the stored one away, so that the environment's
    counts again. Raises Refused (`api_key`) and NotFound.
    """
    _check_key(api_key)
    encrypted = provider_keys.seal(slug, api_key) if api_key else None

    def verb(connection: Connection) -> None:
        changed = update(Provider).where(Provider.slug == slug).values(key_encrypted=encrypted)
        if not connection.execute(changed).rowcount:
            raise NotFound(f"There is no provider “{slug}”.", param="provider")
        # That there is another, never which.
        details = {"stored": api_key is not None}
        event = audit.event(actor=actor, action="provider.key", subject=slug, details=details)
        connection.execute(event)
        snapshot.bump_version(connection)

    database.transact(verb)


def key_of(slug: str) -> str | None:
    """The key that a provider is asked with, for whoever asks it in our name; or None."""
    statement = select(*Provider.__table__.columns).where(Provider.slug == slug)
    with database.read() as connection:
        row = connection.execute(statement).one_or_none()
    return None if row is None else reading.provider_key(row)


def add_provider(
    *,
    slug: str,
    kind: str,
    base_url: str,
    api_key: str | None = None,
    name: str | None = None,
    server: str | None = None,
    actor: str = audit.COMMAND,
) -> bool:
    """Adds a provider, or gives one that is there another key. Returns whether anything changed.

    `server` is the program behind the base URL, if it is one of SERVERS. Raises Refused when the
    words do not fit or another provider has the slug.
    """
    base_url = base_url.strip().rstrip("/")
    _check_provider(slug=slug, kind=kind, base_url=base_url)
    for text, column in ((name or slug, Provider.name), (base_url, Provider.base_url)):
        most = columns.characters_max(column)
        if len(text) > most:
            raise Refused(f"At most {most} characters, please.", param=column.key)
    _check_key(api_key)
    values: dict[str, Any] = {
        "slug": slug,
        "name": name or slug,
        "kind": kind,
        "base_url": base_url,
        "key_settings": [],
        "key_encrypted": provider_keys.seal(slug, api_key) if api_key else None,
        "needs_key": False,
        "capabilities": servers.SERVERS.get(server or "", servers.ANY) if kind == "openai" else {},
        "created_at": utcnow(),
    }

    # Read before the transaction: its thread has no app, and so no secrets.
    is_new_key = api_key is not None and api_key != _known_key(slug)

    def verb(connection: Connection) -> bool:
        found = connection.execute(
            select(Provider.kind, Provider.base_url).where(Provider.slug == slug)
        ).one_or_none()
        if found is not None:
            if (found.kind, found.base_url) == (kind, base_url):
                if is_new_key:
                    _change_key(connection, slug, values["key_encrypted"])
                    # That there is another, never which.
                    event = audit.event(actor=actor, action="provider.key", subject=slug)
                    connection.execute(event)
                return is_new_key
            where = redaction.redacted(found.base_url)
            raise Refused(f"There is another provider “{slug}” at {where}.", param="slug")
        connection.execute(insert(Provider).values(**values))
        where = redaction.redacted(base_url)
        details = {"kind": kind, "base_url": where, "has_key": api_key is not None}
        event = audit.event(actor=actor, action="provider.added", subject=slug, details=details)
        connection.execute(event)
        snapshot.bump_version(connection)
        return True

    return database.transact(verb)


def set_data_collection(slug: str, collects: bool | None, *, actor: str) -> None:
    """Notes whether a provider keeps or trains on prompts, in the operator's word; None takes that
    back. Raises NotFound.
    """

    def verb(connection: Connection) -> None:
        changed = update(Provider).where(Provider.slug == slug).values(collects_data=collects)
        if connection.execute(changed).rowcount == 0:
            raise NotFound(f"There is no provider “{slug}”.", param="provider")
        details = {"collects_data": collects}
        event = audit.event(actor=actor, action="provider.data", subject=slug, details=details)
        connection.execute(event)
        snapshot.bump_version(connection)

    database.transact(verb)


def _as_row(row: Row[*tuple[Any, ...]], models: int) -> ProviderRow:
    return ProviderRow(
        slug=row.slug,
        name=row.name,
        kind=row.kind,
        base_url=row.base_url,
        is_ready=reading.is_ready(row),
        key_source=_key_source(row),
        models=models,
        disabled=row.disabled_at is not None,
        collects_data=_told_of_data(row),
    )


def _told_of_data(row: Row[*tuple[Any, ...]]) -> bool | None:
    """What is known of a provider's use of prompts; None where nobody has said."""
    if row.collects_data is not None:
        return bool(row.collects_data)
    told = row.capabilities.get("collects_data")
    return told if isinstance(told, bool) else None


def _known_key(slug: str) -> str | None:
    """The key that a provider has already."""
    query = select(*Provider.__table__.columns).where(Provider.slug == slug)
    with database.read() as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else reading.provider_key(row)


def _change_key(connection: Connection, slug: str, encrypted: bytes) -> None:
    changed = update(Provider).where(Provider.slug == slug).values(key_encrypted=encrypted)
    connection.execute(changed)
    snapshot.bump_version(connection)


def _key_source(row: Row[*tuple[Any, ...]]) -> str:
    if row.key_encrypted is not None:
        return "stored"
    if not row.needs_key:
        return "none needed"
    return "environment" if reading.provider_key(row) else "missing"


def _check_provider(*, slug: str, kind: str, base_url: str) -> None:
    if not SLUG.fullmatch(slug):
        raise Refused("A slug is lower-case letters, digits and dashes, at most 40.", param="slug")
    if kind not in KINDS:
        raise Refused(f"A kind is one of {', '.join(KINDS)}.", param="kind")
    if kind != "demo" and not _is_web_address(base_url):
        raise Refused(
            "A base URL begins with http:// or https:// and a host, and a port is a number.",
            param="base_url",
        )


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.scheme in ("http", "https") and parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _check_key(api_key: str | None) -> None:
    if api_key is not None and (not api_key.isprintable() or not api_key.strip()):
        raise Refused("A key is one line without blanks.", param="api_key")
