"""The one transaction of each step of a request: admit, settle, expire; and what `payments` moves.

Only this module writes balances, holds, budgets, buckets, transfers and completions, from
statements that `keys`, `limits` and `billing` build. Each step succeeds whole or changes nothing.

    admit    key valid? → money held → allowances taken → hold row      (refused: nothing changed)
    grow     more money held                                            (refused: nothing changed)
    settle   hold row gone → balance moved → receipt and transfers      (again: nothing changed)
    expire   the holds of the dead and those past their deadline        (interrupted, uncharged)

On PostgreSQL an ordinary request goes the `lean` way, one statement a step; what that does not do,
and everything on SQLite, goes the careful way: `admitting`, `settling`, `releasing`.
"""

import uuid
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects import postgresql, sqlite

from solrouter import config, database
from solrouter.clock import new_id
from solrouter.errors import (
    BalanceInUse,
    DatabaseUnavailable,
    InsufficientCredit,
    KeyLimitReached,
    NotFound,
    Refused,
)
from solrouter.models import Account, Lease, Membership, User, Worker
from solrouter.models.columns import db_now
from solrouter.services import audit, billing, people
from solrouter.services.admission import (
    admitting,
    allowance,
    counting,
    facts,
    late,
    lean,
    releasing,
    welcoming,
)
from solrouter.services.admission.asks import (
    CANCELLED,
    FAILED,
    FINISHED,
    INTERRUPTED,
    OUTPUT_TOKENS_ASSUMED,
    OUTPUT_TOKENS_FLOOR,
    STOPPED,
    Admitted,
    Ask,
    CatalogueChanged,
    Ending,
    with_offer,
)
from solrouter.services.admission.closing import settle
from solrouter.services.admission.late import catch_up
from solrouter.services.admission.late import waiting as late_writes
from solrouter.services.billing import Balance
from solrouter.services.limits import RateState
from solrouter.services.principals import Principal

# What ends an answer whose hold cannot grow.
BALANCE, KEY_LIMIT, MEMBER_LIMIT = "balance", "key_limit", "member_limit"
# Why an account is frozen that will thaw again.
DISPUTE = "dispute"

__all__ = [
    "BALANCE",
    "CANCELLED",
    "FAILED",
    "FINISHED",
    "INTERRUPTED",
    "KEY_LIMIT",
    "MEMBER_LIMIT",
    "OUTPUT_TOKENS_ASSUMED",
    "OUTPUT_TOKENS_FLOOR",
    "STOPPED",
    "Admitted",
    "Ask",
    "CatalogueChanged",
    "Ending",
    "Move",
    "admit",
    "allowance_is_spent",
    "beat",
    "catch_up",
    "count_request",
    "cover",
    "credit",
    "expire",
    "flag",
    "forfeit",
    "freeze_for_dispute",
    "grow",
    "late_writes",
    "lead",
    "lock",
    "move",
    "require_proven_owner",
    "settle",
    "thaw_after_dispute",
    "welcome",
    "why_no_more",
    "with_offer",
]


def admit(ask: Ask) -> Admitted:
    """Proves the key, holds the money and takes the allowances of one request, or changes nothing.

    Raises KeyRevoked, KeyExpired, Forbidden, InsufficientCredit, KeyLimitReached, BalanceInUse,
    RateLimited, BadRequest (larger than a whole limit) and CatalogueChanged.
    """
    try:
        return _admit(ask)
    except (InsufficientCredit, BalanceInUse):
        # The account's own dead requests may hold what this one needs.
        if not _expire_of(ask.principal.account_id):
            raise
    return _admit(ask)


def _admit(ask: Ask) -> Admitted:
    if lean.is_ordinary(ask):
        admitted = _admit_leanly(ask)
        if admitted is not None:
            return admitted
        # Most refusals need no lock: a look says why.
        admitting.refuse(ask, facts.look(ask))
    return _admit_carefully(ask)


def _admit_leanly(ask: Ask) -> Admitted | None:
    admission = lean.Admission(ask, new_id())
    step = admission.step
    try:
        database.together(step, durable=False)
    except DatabaseUnavailable:
        if step.was_sent:
            _undo_later(ask, step.values["id"])
        raise
    except Exception:
        raise
    except BaseException:
        # Killed, maybe before its step was sent, which whoever leads will send all the same.
        _undo_later(ask, step.values["id"])
        raise
    return admission.admitted()


def _admit_carefully(ask: Ask) -> Admitted:
    made: list[Admitted] = []

    def verb(connection: Connection) -> Admitted:
        made.append(admitting.admit(connection, ask))
        return made[-1]

    try:
        return database.transact(verb, durable=False)
    except DatabaseUnavailable:
        # All went well but the commit's answer: the hold may stand, and nobody knows of it.
        for admitted in made:
            _undo_later(ask, admitted.id)
        raise


def _undo_later(ask: Ask, hold_id: uuid.UUID) -> None:
    account_id = ask.principal.account_id
    undo = partial(releasing.forget, account_id=account_id, hold_id=hold_id)
    late.keep(f"undo {hold_id}", partial(database.current().transact, undo, ahead=True))


def grow(admitted: Admitted, said_tokens: int = 0) -> Admitted | None:
    """Doubles what a hold covers, up to the output limit; None when the balance cannot follow.

    More than doubles it, where so many tokens of each choice have been said at one go.
    """
    covered = min(max(admitted.covered_tokens, said_tokens) * 2, admitted.output_limit)
    return cover(replace(admitted, covered_tokens=covered))


def cover(admitted: Admitted) -> Admitted | None:
    """Holds what is missing for the tokens that it covers; None when the balance cannot follow.

    For a request that turns to a dearer offer, or says more than was held for at first.
    """
    is_held = admitted.ask.cost_bound(admitted.covered_tokens) <= admitted.held_nanos
    return admitted if is_held else _hold_more(admitted)


def _hold_more(admitted: Admitted) -> Admitted | None:
    bound = admitted.ask.cost_bound(admitted.covered_tokens)
    more = max(bound - admitted.held_nanos, 0)
    if not database.current().is_sqlite:
        if not lean.grow(admitted, more):
            return None
    else:
        try:
            verb = partial(admitting.grow, admitted=admitted, more=more)
            database.transact(verb, durable=False)
        except (BalanceInUse, KeyLimitReached):
            return None
    return replace(admitted, held_nanos=admitted.held_nanos + more)


def why_no_more(admitted: Admitted) -> str:
    """What kept a hold from growing: the balance, the key's limit or its maker's budget.

    Whichever has the least left. Raises DatabaseUnavailable.
    """
    found = facts.money(admitted.ask)
    if found is None:
        return BALANCE
    free = Balance(found.paid_nanos, found.granted_nanos, found.held_nanos).available_nanos
    left = {
        BALANCE: free,
        KEY_LIMIT: found.key_left_nanos,
        MEMBER_LIMIT: found.member_left_nanos,
    }
    known = {reason: int(nanos) for reason, nanos in left.items() if nanos is not None}
    return min(known, key=known.__getitem__)


def count_request(principal: Principal) -> tuple[RateState, ...]:
    """Counts a request that holds nothing, such as an estimate. Raises RateLimited."""
    return database.transact(
        lambda connection: counting.count_request(connection, principal), durable=False
    )


def allowance_is_spent(account_id: int) -> bool:
    """Whether the account's failures have cost the operator all that a day allows."""
    terms = allowance.current()
    with database.read() as connection:
        return not terms.covers(connection, account_id, 1)


def credit(
    account_id: int, amount_nanos: int, *, kind: str = billing.GRANT, actor: str, note: str
) -> uuid.UUID:
    """Brings credit to an account and returns the transfer's id. Raises Refused and NotFound.

    Of whatever kind: none comes in before an owner of the account has a verified address.
    """
    if amount_nanos <= 0:
        raise Refused("An amount to grant must be more than zero.", param="amount")
    if not note.strip():
        raise Refused("Say why, for the books.", param="note")
    terms = _Credit(account_id, amount_nanos, kind, actor, note.strip())
    return database.transact(lambda connection: _credit(connection, terms))


def welcome(user_id: int, amount_nanos: int) -> bool:
    """Grants the welcome credit, if the user's address is verified and they never had it.

    Harmless when asked for again, and says whether it was granted.
    """

    def verb(connection: Connection) -> bool:
        is_due = welcoming.claim(connection, user_id)
        if is_due:
            account_id = people.owned_account(connection, user_id)
            _credit(
                connection,
                _Credit(account_id, amount_nanos, billing.GRANT, "system", "Welcome credit"),
            )
        return is_due

    return amount_nanos > 0 and database.transact(verb)


@dataclass(frozen=True, slots=True)
class Move:
    """Credit that a payment brings or takes back; `kind` is one of `billing.SIDES`."""

    transfer_id: uuid.UUID
    account_id: int
    amount_nanos: int
    kind: str
    provider: str
    actor: str
    note: str
    fee_nanos: int = 0


@dataclass(frozen=True, slots=True)
class _Credit:
    account_id: int
    amount_nanos: int
    kind: str
    actor: str
    note: str


def _credit(connection: Connection, terms: _Credit) -> uuid.UUID:
    transfer_id = new_id()
    transfer = billing.credit_transfer(
        transfer_id,
        terms.account_id,
        terms.amount_nanos,
        kind=terms.kind,
        actor=terms.actor,
        note=terms.note,
    )
    require_proven_owner(connection, terms.account_id)
    raised = update(Account).where(Account.id == terms.account_id)
    raised = raised.values(granted_nanos=Account.granted_nanos + terms.amount_nanos)
    connection.execute(raised)
    connection.execute(billing.insert_transfers(), [transfer])
    details = {"amount_nanos": terms.amount_nanos, "kind": terms.kind, "note": terms.note}
    connection.execute(
        audit.event(
            actor=terms.actor,
            action="credit.granted",
            subject=f"account:{terms.account_id}",
            account_id=terms.account_id,
            details=details,
        )
    )
    return transfer_id


def require_proven_owner(connection: Connection, account_id: int) -> None:
    """Passes if an owner of the account has shown that their address is theirs. Raises Refused and
    NotFound.
    """
    lock(connection, account_id)
    proven = (
        select(User.id)
        .join(Membership, Membership.user_id == User.id)
        .where(
            Membership.account_id == account_id,
            Membership.role == "owner",
            User.email_verified_at.is_not(None),
        )
    )
    if connection.execute(proven.limit(1)).first() is not None:
        return
    raise Refused(
        "Nobody who owns this account has a verified e-mail address yet, and no money comes in "
        "before. An operator can confirm it: on the account's page, or by flask users confirm.",
        param="amount",
    )


def move(connection: Connection, terms: Move) -> None:
    """Brings credit to an account or takes it back. Raises NotFound.

    Within the transaction of the payment's own row, whose evidence is the once-only gate; the
    account's row is locked. What a refund or a dispute takes may leave less than nothing.
    """
    side = billing.SIDES[terms.kind]
    column = {"paid": Account.paid_nanos, "granted": Account.granted_nanos}[side.part]
    changed = update(Account).where(Account.id == terms.account_id)
    changed = changed.values({column: column + side.sign * terms.amount_nanos})
    if connection.execute(changed).rowcount != 1:
        raise NotFound("There is no such account.")
    transfers = billing.move_transfers(
        terms.transfer_id,
        terms.account_id,
        terms.amount_nanos,
        kind=terms.kind,
        actor=terms.actor,
        note=terms.note,
        provider=terms.provider,
        fee_nanos=terms.fee_nanos,
    )
    connection.execute(billing.insert_transfers(), transfers)


def lock(connection: Connection, account_id: int) -> Balance:
    """The account's balance, which nobody else changes until the commit. Raises NotFound."""
    facts.lock_account(connection, account_id)
    columns = select(Account.paid_nanos, Account.granted_nanos, Account.held_nanos)
    row = connection.execute(columns.where(Account.id == account_id)).one_or_none()
    if row is None:
        raise NotFound("There is no such account.")
    return Balance(*row)


def freeze_for_dispute(connection: Connection, account_id: int) -> None:
    """Stops the account's spending while a payment of it is disputed, and flags it for good."""
    of_account = update(Account).where(Account.id == account_id)
    connection.execute(
        of_account.where(Account.frozen_at.is_(None)).values(frozen_at=db_now(), frozen_for=DISPUTE)
    )
    flag(connection, account_id)


def flag(connection: Connection, account_id: int) -> None:
    """Marks the account as one whose payments were disputed."""
    unflagged = update(Account).where(Account.id == account_id, Account.flagged_at.is_(None))
    connection.execute(unflagged.values(flagged_at=db_now()))


def thaw_after_dispute(connection: Connection, account_id: int) -> None:
    """Lets the account spend again, unless it is frozen for another reason."""
    of_account = update(Account).where(Account.id == account_id, Account.frozen_for == DISPUTE)
    connection.execute(of_account.values(frozen_at=None, frozen_for=None))


def forfeit(connection: Connection, account_id: int, *, expected_nanos: int, actor: str) -> None:
    """Empties an account whose owner leaves and gives up exactly this much, and freezes it.

    Within the transaction of the departure. Raises Refused while requests hold money, when the
    balance is another by now, and when it is below zero.
    """
    columns = select(Account.paid_nanos, Account.granted_nanos, Account.held_nanos)
    row = connection.execute(columns.where(Account.id == account_id).with_for_update()).one()
    had = billing.Balance(*row)
    if had.held_nanos:
        raise Refused("Requests of this account are still running. Try again when they have ended.")
    if had.paid_nanos < 0:
        raise Refused("This account owes money. Write to the operator of this server to settle it.")
    if had.posted_nanos != expected_nanos:
        raise Refused("The balance has changed meanwhile. Look at it again.", param="forfeit")
    emptied = update(Account).where(Account.id == account_id)
    connection.execute(
        emptied.values(
            paid_nanos=0,
            granted_nanos=0,
            frozen_at=db_now(),
            frozen_for=None,
            suspended_because=None,
        )
    )
    transfers = billing.forfeit_transfers(new_id(), account_id, had, actor=actor)
    if transfers:
        connection.execute(billing.insert_transfers(), transfers)


def beat(worker_id: str) -> None:
    """Renews this process's lease, which all its holds live by."""

    def verb(connection: Connection) -> None:
        upsert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        statement = upsert(Worker).values(id=worker_id, started_at=db_now(), seen_at=db_now())
        connection.execute(
            statement.on_conflict_do_update(index_elements=[Worker.id], set_={"seen_at": db_now()})
        )

    database.transact(verb, durable=False, ahead=True)


def lead(worker_id: str) -> bool:
    """Whether this process does the periodic work for the next while: one at a time does.

    It leads for half a lease. Where nobody has led for a while, the former leader neither, maybe
    nobody could report: who leads then gives everybody time for it.
    """
    lease_s = _lease_s()

    def verb(connection: Connection) -> bool:
        led_until = connection.execute(releasing.led_until()).scalar()
        upsert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        values = {"worker_id": worker_id, "expires_at": db_now(releasing.half(lease_s))}
        statement = upsert(Lease).values(name=releasing.CLOCK, **values)
        statement = statement.on_conflict_do_update(
            index_elements=[Lease.name],
            set_=values,
            where=(Lease.worker_id == worker_id) | (Lease.expires_at < db_now()),
        )
        if connection.execute(statement.returning(Lease.name)).first() is None:
            return False
        connection.execute(releasing.give_time(lease_s, led_until))
        return True

    return database.transact(verb, durable=False, ahead=True)


def expire() -> int:
    """Ends the requests of workers silent for a lease and those past their deadline; says how many.

    They are `interrupted` and cost nothing. While nobody leads, nobody is taken for silent.
    """
    lease_s = _lease_s()
    return database.transact(lambda connection: releasing.expire(connection, lease_s))


def _expire_of(account_id: int) -> int:
    """`expire` for one account; mostly there is nothing, which a look tells."""
    lease_s = _lease_s()
    if not releasing.has_dead(account_id, lease_s):
        return 0
    return database.transact(lambda connection: releasing.expire(connection, lease_s, account_id))


def _lease_s() -> int:
    return int(config.current()["SOLROUTER_LEASE_S"])
