"""The second factor: six digits from an app (TOTP, RFC 6238), or a recovery code, once each.

The app's secret is encrypted with the user's number inside, so that rows cannot be swapped. A code
is good for its thirty seconds and those beside, and its step for one sign-in: the row remembers the
last step that was taken. Recovery codes have 118 random bits, so that a plain digest keeps them.

| failed codes allowed           | at once | then       | why                                      |
|--------------------------------|---------|------------|------------------------------------------|
| of one user, from one network  | 5       | 1 in 60 s  | the guesser, who has the password        |
| of one user                    | 50      | 1 in 300 s | a guesser with many networks             |

The last is not asked of a network in which the user is signed in already, and neither is asked of
what cannot be guessed: with a recovery code the owner comes in, whatever strangers do.
"""

import hashlib
import hmac
import logging
import secrets as random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyotp
from sqlalchemy import Connection, Insert, Row, Select, delete, func, insert, select, update

from solrouter import clock, database, secrets
from solrouter.errors import Refused
from solrouter.models import RecoveryCode, SecondFactor, Session, User
from solrouter.services import audit, notices, outbox, people, throttles
from solrouter.services.throttles import Allowance

log = logging.getLogger(__name__)

ISSUER = "SolRouter"
DIGITS = 6
STEP_S = 30
# How many steps the person's clock may be behind or ahead.
STEPS_ASIDE = 1
# A set-up that was left half done is forgotten: its secret has been on a screen.
SETUP_S = 1800
CODES = 10
# 24 of 31 characters that are not mistaken for one another: 118 bits (OWASP ASVS 5.0, 6.5.2).
CODE_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
CODE_CHARACTERS = 24
CODE_GROUP = 6
WRONG = "That code is wrong or was used already. Wait for the next one and try again."
WRONG_AT_SETUP = "That code does not fit. Is the time of your phone right? Try the next code."
NOT_BEGUN = "Begin again: there is no set-up to finish."


@dataclass(frozen=True, slots=True)
class State:
    """Whether a user has a second factor, and what is left of their recovery codes."""

    confirmed_at: datetime | None
    codes_left: int

    @property
    def is_on(self) -> bool:
        return self.confirmed_at is not None


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What an app must be told, while it is being set up."""

    secret: str
    uri: str


def state_of(user_id: int) -> State:
    """How it stands with the user's second factor."""
    query = select(SecondFactor.confirmed_at, _unused_codes(user_id).scalar_subquery())
    with database.read() as connection:
        row = connection.execute(query.where(SecondFactor.user_id == user_id)).one_or_none()
    return State(None, 0) if row is None or row[0] is None else State(row[0], int(row[1]))


def begin(user_id: int) -> None:
    """Makes a secret to set up an app with; nothing is asked for until it is confirmed.

    Raises Refused if there is a second factor already.
    """
    sealed = _seal(user_id, pyotp.random_base32())

    def verb(connection: Connection) -> None:
        _forget_unconfirmed(connection, user_id)
        if connection.execute(_of(user_id)).first() is not None:
            raise Refused("You have a second factor already. Turn it off first.", param="code")
        connection.execute(
            insert(SecondFactor).values(
                user_id=user_id, secret_encrypted=sealed, created_at=clock.utcnow()
            )
        )

    database.transact(verb)


def enrolment(user_id: int, *, name: str) -> Enrolment | None:
    """What to tell the app, between `begin` and `confirm`; else None."""
    with database.read() as connection:
        row = connection.execute(_of(user_id)).one_or_none()
    if row is None or not _is_being_set_up(row):
        return None
    secret = _unseal(user_id, row.secret_encrypted)
    if secret is None:
        return None
    uri = pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=ISSUER)
    return Enrolment(secret, uri)


def confirm(
    user_id: int, code: str, *, keep_session: int, network: str, now: datetime | None = None
) -> list[str]:
    """Turns the second factor on with the app's first code; returns the recovery codes.

    All other sessions end: they were opened without it. Raises Refused and RateLimited.
    """
    with database.read() as connection:
        row = connection.execute(_of(user_id)).one_or_none()
    if row is None or not _is_being_set_up(row):
        raise Refused(NOT_BEGUN, param="code")
    counted = _allowances(user_id, network, is_familiar=True)
    throttles.take_all(counted)
    step = _step_of(_unseal(user_id, row.secret_encrypted), _tidy(code), now or clock.utcnow())
    if step is None:
        raise Refused(WRONG_AT_SETUP, param="code")
    throttles.give_back(counted)
    codes = _make_codes()

    def verb(connection: Connection) -> None:
        on = update(SecondFactor).where(
            SecondFactor.user_id == user_id,
            SecondFactor.confirmed_at.is_(None),
            SecondFactor.secret_encrypted == row.secret_encrypted,
        )
        on = on.values(confirmed_at=clock.utcnow(), last_step=step)
        if connection.execute(on).rowcount != 1:
            raise Refused(NOT_BEGUN, param="code")
        _replace_codes(connection, user_id, codes)
        others = (Session.user_id == user_id, Session.id != keep_session)
        connection.execute(delete(Session).where(*others))
        connection.execute(_event(user_id, "second_factor.on"))
        notices.put(connection, "second_factor_on", user_id)

    database.transact(verb)
    outbox.ring()
    return codes


def prove(user_id: int, code: str, *, network: str, now: datetime | None = None) -> None:
    """Takes a code of the app, or a recovery code, for good. Raises Refused and RateLimited."""
    tidy = _tidy(code)
    if len(tidy) == CODE_CHARACTERS:
        return _take_recovery_code(user_id, tidy)
    with database.read() as connection:
        row = connection.execute(_of(user_id)).one_or_none()
        is_familiar = people.is_familiar(connection, user_id, network)
    counted = _allowances(user_id, network, is_familiar=is_familiar)
    throttles.take_all(counted)
    if row is None or row.confirmed_at is None:
        raise Refused(WRONG, param="code")
    step = _step_of(_unseal(user_id, row.secret_encrypted), tidy, now or clock.utcnow())
    if step is None or not _take_step(user_id, step):
        raise Refused(WRONG, param="code")
    throttles.give_back(counted)
    return None


def renew_codes(user_id: int) -> list[str]:
    """New recovery codes in place of all former ones. Raises Refused without a second factor."""
    codes = _make_codes()

    def verb(connection: Connection) -> None:
        row = connection.execute(_of(user_id)).one_or_none()
        if row is None or row.confirmed_at is None:
            raise Refused("Set up a second factor first.")
        _replace_codes(connection, user_id, codes)
        connection.execute(_event(user_id, "second_factor.codes_renewed"))
        notices.put(connection, "recovery_codes_renewed", user_id)

    database.transact(verb)
    outbox.ring()
    return codes


def turn_off(user_id: int, *, actor: str | None = None) -> bool:
    """Ends the second factor and its codes; says whether there was one. The actor: if another."""

    def verb(connection: Connection) -> bool:
        was_on = connection.execute(
            delete(SecondFactor)
            .where(SecondFactor.user_id == user_id)
            .returning(SecondFactor.confirmed_at)
        ).scalar_one_or_none()
        connection.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
        if was_on is not None:
            connection.execute(_event(user_id, "second_factor.off", actor=actor))
            by_operator = "yes" if actor else "no"
            notices.put(connection, "second_factor_off", user_id, by_operator=by_operator)
        return was_on is not None

    was_on = database.transact(verb)
    outbox.ring()
    return was_on


def ask_once(user_id: int) -> bool:
    """Whether this is the first time that the user is asked to set one up; notes that it was."""
    statement = (
        update(User)
        .where(User.id == user_id, User.second_factor_asked_at.is_(None))
        .values(second_factor_asked_at=clock.utcnow())
    )
    return database.transact(lambda connection: connection.execute(statement).rowcount) == 1


def _of(user_id: int) -> Select[bytes, datetime | None, datetime]:
    columns = (SecondFactor.secret_encrypted, SecondFactor.confirmed_at, SecondFactor.created_at)
    return select(*columns).where(SecondFactor.user_id == user_id)


def _unused_codes(user_id: int) -> Select[int]:
    of_user = (RecoveryCode.user_id == user_id, RecoveryCode.used_at.is_(None))
    return select(func.count()).where(*of_user)


def _is_being_set_up(row: Row[bytes, datetime | None, datetime]) -> bool:
    age = clock.utcnow() - row.created_at
    return row.confirmed_at is None and age < timedelta(seconds=SETUP_S)


def _forget_unconfirmed(connection: Connection, user_id: int) -> None:
    connection.execute(
        delete(SecondFactor).where(
            SecondFactor.user_id == user_id, SecondFactor.confirmed_at.is_(None)
        )
    )


def _allowances(user_id: int, network: str, *, is_familiar: bool) -> tuple[Allowance, ...]:
    block = throttles.block_of(network)
    pair = Allowance(f"user:{user_id}:network:{block}", "code", per_s=1 / 60, burst=5)
    everyones = Allowance(f"user:{user_id}", "code", per_s=1 / 300, burst=50)
    return (pair,) if is_familiar else (pair, everyones)


def _tidy(code: str) -> str:
    return "".join(code.split()).replace("-", "").lower()


def _step_of(secret: str | None, code: str, now: datetime) -> int | None:
    """The step whose code this is, among those that count now."""
    if secret is None or len(code) != DIGITS or not code.isascii():
        return None
    totp, present = pyotp.TOTP(secret, digits=DIGITS, interval=STEP_S), int(now.timestamp())
    for aside in range(-STEPS_ASIDE, STEPS_ASIDE + 1):
        step = present // STEP_S + aside
        if hmac.compare_digest(totp.generate_otp(step), code):
            return step
    return None


def _take_step(user_id: int, step: int) -> bool:
    """Whether nobody was faster: a step is taken once, and none before it any more."""
    statement = (
        update(SecondFactor)
        .where(SecondFactor.user_id == user_id, SecondFactor.confirmed_at.is_not(None))
        .where(SecondFactor.last_step < step)
        .values(last_step=step)
    )
    return database.transact(lambda connection: connection.execute(statement).rowcount) == 1


def _take_recovery_code(user_id: int, code: str) -> None:
    used = (
        update(RecoveryCode)
        .where(RecoveryCode.user_id == user_id, RecoveryCode.digest == _digest(user_id, code))
        .where(RecoveryCode.used_at.is_(None))
        .values(used_at=clock.utcnow())
    )

    def verb(connection: Connection) -> None:
        if connection.execute(used).rowcount != 1:
            raise Refused("That recovery code is wrong or was used already.", param="code")
        connection.execute(_event(user_id, "second_factor.recovery_code_used"))
        left = connection.execute(_unused_codes(user_id)).scalar_one()
        notices.put(connection, "recovery_code_used", user_id, codes_left=str(left))

    database.transact(verb)
    outbox.ring()


def _make_codes() -> list[str]:
    def one() -> str:
        text = "".join(random.choice(CODE_ALPHABET) for _ in range(CODE_CHARACTERS))
        starts = range(0, CODE_CHARACTERS, CODE_GROUP)
        return "-".join(text[start : start + CODE_GROUP] for start in starts)

    return [one() for _ in range(CODES)]


def _replace_codes(connection: Connection, user_id: int, codes: Sequence[str]) -> None:
    connection.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    rows = [{"digest": _digest(user_id, _tidy(code))} for code in codes]
    statement = insert(RecoveryCode).values(user_id=user_id, created_at=clock.utcnow())
    connection.execute(statement, rows)


def _digest(user_id: int, code: str) -> bytes:
    return hashlib.sha256(f"{user_id}:{code}".encode("utf-8", "surrogatepass")).digest()


def _seal(user_id: int, secret: str) -> bytes:
    return secrets.current().encrypt(f"totp:{user_id}:{secret}")


def _unseal(user_id: int, sealed: bytes) -> str | None:
    """The secret; None when it cannot be read or is another user's, and then no code is right."""
    try:
        text = secrets.current().decrypt(sealed)
    except secrets.Undecipherable as error:
        log.error("the second factor of user %s: %s", user_id, error)
        return None
    prefix = f"totp:{user_id}:"
    if not text.startswith(prefix):
        log.error("the second factor of user %s is another user's", user_id)
        return None
    return text.removeprefix(prefix)


def _event(user_id: int, action: str, *, actor: str | None = None) -> Insert:
    return audit.event(
        actor=actor or f"user:{user_id}",
        action=action,
        subject=f"user:{user_id}",
        account_id=people.own_account(user_id),
    )
