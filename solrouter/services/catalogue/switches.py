"""Models, offers and providers that an operator switches off and on. What is off is neither shown
nor routed to, on every process from its next request on, and a catalogue does not bring it back.
"""

from typing import Any

from sqlalchemy import Connection, func, or_, select, update

from solrouter import database
from solrouter.clock import utcnow
from solrouter.errors import NotFound
from solrouter.models import LanguageModel, Offer, Provider
from solrouter.services import audit
from solrouter.services.catalogue import snapshot


def set_model(slug: str, is_on: bool, *, actor: str) -> None:
    """Switches a model. Raises NotFound."""
    _switch(
        LanguageModel,
        LanguageModel.slug == slug,
        kind="model",
        subject=slug,
        is_on=is_on,
        actor=actor,
    )


def set_provider(slug: str, is_on: bool, *, actor: str) -> None:
    """Switches a provider, with all its offers. Raises NotFound."""
    _switch(
        Provider, Provider.slug == slug, kind="provider", subject=slug, is_on=is_on, actor=actor
    )


def set_offer(offer_id: int, is_on: bool, *, actor: str) -> None:
    """Switches one offer of a model. Raises NotFound."""
    named = (
        select(LanguageModel.slug, Provider.slug)
        .join(Offer, Offer.language_model_id == LanguageModel.id)
        .join(Provider, Provider.id == Offer.provider_id)
        .where(Offer.id == offer_id)
    )
    with database.read() as connection:
        found = connection.execute(named).one_or_none()
    subject = "" if found is None else f"{found[0]} at {found[1]}"
    _switch(Offer, Offer.id == offer_id, kind="offer", subject=subject, is_on=is_on, actor=actor)


def models_with_something_off() -> list[tuple[str, bool]]:
    """Models that are off, or an offer of theirs; and whether it is the model itself."""
    query = (
        select(LanguageModel.slug, LanguageModel.disabled_at.is_not(None))
        .outerjoin(Offer, Offer.language_model_id == LanguageModel.id)
        .where(or_(LanguageModel.disabled_at.is_not(None), Offer.disabled_at.is_not(None)))
        .distinct()
        .order_by(LanguageModel.slug)
    )
    with database.read() as connection:
        return [(slug, bool(is_off)) for slug, is_off in connection.execute(query)]


def _switch(
    table: Any, condition: Any, *, kind: str, subject: str, is_on: bool, actor: str
) -> None:
    disabled_at = None if is_on else func.coalesce(table.disabled_at, utcnow())

    def verb(connection: Connection) -> None:
        switched = update(table).where(condition).values(disabled_at=disabled_at)
        if not connection.execute(switched).rowcount:
            raise NotFound(f"There is no such {kind}.")
        action = f"{kind}.{'on' if is_on else 'off'}"
        connection.execute(audit.event(actor=actor, action=action, subject=subject))
        snapshot.bump_version(connection)

    database.transact(verb)
