"""The one transaction of each step of a request: admit, settle, expire; and what `payments` moves.

Only this package writes balances, holds, budgets, buckets, transfers and completions, from
statements that `keys`, `limits` and `billing` build. Each step succeeds whole or changes nothing.

    admit    key valid? → money held → allowances taken → hold row      (refused: nothing changed)
    grow     more money held                                            (refused: nothing changed)
    settle   hold row gone → balance moved → receipt and transfers      (again: nothing changed)
    expire   the holds of the dead and those past their deadline        (interrupted, uncharged)

On PostgreSQL an ordinary request goes the `lean` way, one statement a step; what that does not do,
and everything on SQLite, goes the careful way: `admitting`, `settling`, `releasing`. What moves by
no request is in `moving`.
"""

import uuid
from dataclasses import replace
from functools import partial

from sqlalchemy import Connection

from solrouter import database
from solrouter.clock import new_id
from solrouter.errors import BalanceInUse, DatabaseUnavailable, InsufficientCredit, KeyLimitReached
from solrouter.services.admission import (
    admitting,
    allowance,
    counting,
    facts,
    late,
    lean,
    releasing,
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
from solrouter.services.admission.beating import beat, is_heard
from solrouter.services.admission.closing import settle
from solrouter.services.admission.late import catch_up
from solrouter.services.admission.late import waiting as late_writes
from solrouter.services.admission.leases import expire, expire_of, lead
from solrouter.services.admission.moving import (
    Move,
    credit,
    forfeit,
    lock,
    move,
    require_proven_owner,
    welcome,
)
from solrouter.services.admission.standing import flag, freeze_for_dispute, thaw_after_dispute
from solrouter.services.billing import Balance
from solrouter.services.limits import RateState
from solrouter.services.principals import Principal

# What ends an answer whose hold cannot grow.
BALANCE, KEY_LIMIT, MEMBER_LIMIT = "balance", "key_limit", "member_limit"

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
    "is_heard",
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
        if not expire_of(ask.principal.account_id):
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

    Whichever has the least left of those that it counts for. Raises DatabaseUnavailable.
    """
    found = facts.left_to(admitted)
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
    """Whether the account's failures have cost the operator all that a day allows; then the
    operator is told.
    """
    terms = allowance.current()
    with database.read() as connection:
        if terms.covers(connection, account_id, 1):
            return False
        is_told = allowance.is_told(connection, account_id)
    if not is_told:
        database.transact(lambda connection: terms.tell(connection, account_id))
    return True
