"""Carries out the orders of the outbox: writes each letter, its token included, and sends it.

Without a mail server, in development, a letter counts as sent when it stands in the log. Links are
made of the server's own public address and of nothing that a request said.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from solrouter import config, database, models
from solrouter.clock import monotonic_s
from solrouter.errors import DatabaseUnavailable
from solrouter.services import (
    email_tokens,
    invitations,
    letters,
    links,
    outbox,
    people,
    team_invitations,
)
from solrouter.services.letters import Letter
from solrouter.services.outbox import Order
from solrouter.smtp_address import SmtpServer
from solrouter.transport import mail
from solrouter.transport.errors import ConnectFailed, MailRefused, TransportError

log = logging.getLogger(__name__)

# How long one round may take, its last mail longer: well within a claim.
ROUND_S_MAX = outbox.CLAIM_S / 2


def deliver_due(*, ahead_s: int = 0) -> int:
    """Sends what is due, or will be in `ahead_s`; says how many mails were sent.

    Where there is no mail server, or it takes its time, the rest waits: what was claimed is this
    process's for so long only, and a server that is away is asked once, not once for each.
    """
    count, until_s = 0, monotonic_s() + ROUND_S_MAX
    while outbox.is_any_due(ahead_s=ahead_s):
        if not outbox.is_on():
            outbox.drop_all()
            break
        orders = outbox.claim(ahead_s=ahead_s)
        if not orders:
            break
        for number, order in enumerate(orders, start=1):
            try:
                count += _carry_out(order)
                is_over = monotonic_s() > until_s
            except ConnectFailed:
                is_over = True
            if is_over:
                outbox.give_back(orders[number:])
                return count
    return count


def _carry_out(order: Order) -> bool:
    """Whether the mail was sent. Raises ConnectFailed where there is no server, the try noted."""
    try:
        letter = _letter(order)
    except DatabaseUnavailable:
        raise
    except Exception:
        # Such as one that only another version can write. The others are not to wait for it.
        log.exception("mail %d (%s) could not be written", order.id, order.kind)
        outbox.failed(order, "it could not be written: the log says why")
        return False
    if letter is None:
        outbox.drop(order)
        return False
    try:
        _send(order, letter)
    except MailRefused as error:
        log.error("mail %d (%s) was refused: %s", order.id, order.kind, error)
        outbox.refused(order, str(error))
    except TransportError as error:
        again = outbox.failed(order, str(error))
        level = logging.WARNING if again else logging.ERROR
        outcome = "will be tried again" if again else "is given up"
        log.log(level, "mail %d (%s) %s: %s", order.id, order.kind, outcome, error)
        if isinstance(error, ConnectFailed):
            raise
    else:
        outbox.sent(order, shown=_shown(letter))
        return True
    return False


def _letter(order: Order) -> Letter | None:
    """None where there is nobody to send it to, or no need any more."""
    content = database.transact(lambda connection: WRITERS[order.kind](connection, order))
    return None if content is None else _written(order, content)


def _send(order: Order, letter: Letter) -> None:
    settings = config.current()
    if settings["SOLROUTER_ENV"] == "development":
        log.info("mail to %s: %s\n%s", order.recipient, letter.subject, letter.text)
    server: SmtpServer | None = settings["SMTP_URL"]
    if server is None:
        return
    mail.send(
        server,
        sender=settings["SOLROUTER_MAIL_FROM"],
        recipient=order.recipient,
        subject=letter.subject,
        text=letter.text,
        html=letter.html,
    )


def _shown(letter: Letter) -> str | None:
    """What the page of mails shows; letters hold links that open accounts, so elsewhere nothing."""
    if config.current()["SOLROUTER_ENV"] != "development":
        return None
    return f"{letter.subject}\n\n{letter.text}"


@dataclass(frozen=True, slots=True)
class _Content:
    """What a letter says beside the address: where its link leads, and its own facts."""

    path: str
    token: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def _written(order: Order, content: _Content) -> Letter:
    return letters.compose(
        order.kind,
        {
            "email": order.recipient,
            "contact": config.current()["SOLROUTER_CONTACT_EMAIL"],
            "link": links.to(content.path, content.token),
            "at": letters.moment(order.created_at),
            **content.facts,
        },
    )


# What each kind says; None where there is nobody to say it to, or no need any more.


def _verify_email(connection: Connection, order: Order) -> _Content | None:
    user = _user(connection, order)
    if user is None or user.is_verified or user.email != order.recipient:
        return None
    purpose = email_tokens.VERIFY_EMAIL
    return _with_token(connection, user.id, purpose, order, links.CONFIRM_EMAIL)


def _change_email(connection: Connection, order: Order) -> _Content | None:
    user = _user(connection, order)
    if user is None or user.email == order.recipient:
        return None
    purpose = email_tokens.CHANGE_EMAIL
    return _with_token(connection, user.id, purpose, order, links.CHANGE_EMAIL)


def _reset_password(connection: Connection, order: Order) -> _Content | None:
    """For whoever has the address, if anybody; who asked could not tell."""
    user = people.find(connection, models.User.email == order.recipient)
    if user is None or people.is_disabled(connection, user.id):
        return None
    purpose = email_tokens.RESET_PASSWORD
    return _with_token(connection, user.id, purpose, order, links.RESET_PASSWORD)


def _invitation(connection: Connection, order: Order) -> _Content | None:
    renewed = invitations.renew(connection, order.recipient)
    if renewed is None:
        return None
    token, expires_at = renewed
    return _Content(links.INVITATION, token, {"until": letters.moment(expires_at)})


def _team_invitation(connection: Connection, order: Order) -> _Content | None:
    renewed = team_invitations.renew(connection, str(order.facts["invitation"]))
    if renewed is None or renewed.invitation.email != order.recipient:
        return None
    found = renewed.invitation
    facts = {"invited_by": found.invited_by, "role": found.role}
    facts["until"] = letters.moment(found.expires_at)
    return _Content(links.JOIN_TEAM, renewed.token, facts)


def _notice(path: str) -> Callable[[Connection, Order], _Content | None]:
    return lambda connection, order: _Content(path, facts=order.facts)


WRITERS: Mapping[str, Callable[[Connection, Order], _Content | None]] = {
    "verify_email": _verify_email,
    "change_email": _change_email,
    "reset_password": _reset_password,
    "invitation": _invitation,
    "team_invitation": _team_invitation,
    "email_changed": _notice(links.SETTINGS),
    "password_changed": _notice(links.FORGOT_PASSWORD),
    "sign_in_added": _notice(links.SETTINGS),
    "sign_in_removed": _notice(links.FORGOT_PASSWORD),
    "second_factor_on": _notice(links.SETTINGS),
    "second_factor_off": _notice(links.FORGOT_PASSWORD),
    "recovery_codes_renewed": _notice(links.FORGOT_PASSWORD),
    "recovery_code_used": _notice(links.FORGOT_PASSWORD),
    "member_removed": _notice(links.OVERVIEW),
    "role_changed": _notice(links.TEAM),
    "low_balance": _notice(links.BALANCE),
    "key_new_network": _notice(links.KEYS),
    "top_up_failed": _notice(links.BALANCE),
    "top_up_needs_you": _notice(links.BALANCE),
    "top_up_off": _notice(links.BALANCE),
    "top_up_ended": _notice(links.BALANCE),
    "top_up_done": _notice(links.BALANCE),
    "spend_reached": _notice(links.ACTIVITY),
    "webhook_off": _notice(links.WEBHOOKS),
    "operators_webhook_off": _notice(links.SYSTEM),
    "alert_opened": _notice(links.SYSTEM),
    "alert_resolved": _notice(links.SYSTEM),
}


def _user(connection: Connection, order: Order) -> people.User | None:
    return people.find(connection, models.User.id == order.user_id)


def _with_token(
    connection: Connection, user_id: int, purpose: str, order: Order, path: str
) -> _Content:
    token, expires_at = email_tokens.make(connection, user_id, purpose, order.recipient)
    return _Content(path, token, {"until": letters.moment(expires_at)})
