"""The ordinary request on PostgreSQL: one statement a step, in a batch with all that wait.

What comes back empty has changed nothing, and goes the careful way (`admitting`, `settling`), which
lowers a limit, says what is wrong, or knows what else to do. A request with an idempotency key
always goes there, since its name and its answer are more than numbers.
"""

import uuid
from typing import Any

import orjson

from solrouter import database
from solrouter.database import Step, array
from solrouter.services import billing, budgets, limits
from solrouter.services.admission import receipts
from solrouter.services.admission.admitting import hold_values, rates_wanted, shown
from solrouter.services.admission.asks import Admitted, Ask, Ending
from solrouter.services.admission.sizes import Size, sizes_of
from solrouter.services.admission.statements import ADMIT, GROW, SETTLE
from solrouter.services.billing import Charge
from solrouter.services.limits import RateLimit

NO_RATES = dict.fromkeys(("subjects", "kinds", "steps_us", "start_steps_us", "windows_us"), "{}")


def is_ordinary(ask: Ask) -> bool:
    """Whether the lean way can be tried at all."""
    return ask.repeat is None and not database.current().is_sqlite


class Admission:
    """An ask on its way: the step that admits it under the limits of its authentication, at its
    whole output limit, and once that has been run what it has admitted.
    """

    def __init__(self, ask: Ask, hold_id: uuid.UUID) -> None:
        self._ask = ask
        self._sizes = sizes_of(ask, ask.output_limit, ask.principal.limits)
        first, last = self._sizes[0], self._sizes[-1]
        proof = ask.principal.proof
        self._wanted = rates_wanted(ask, ask.principal.limits, first.tokens(ask))
        starts = self._wanted
        if last is not first:
            starts = rates_wanted(ask, ask.principal.limits, last.tokens(ask))
        values = {
            "id": hold_id,
            **hold_values(ask, first),
            **_size_values(ask, self._sizes),
            **ask.principal.limits._asdict(),
            **_rate_values(self._wanted, starts),
            "key_digest": proof.digest if proof else None,
            "key_terms": proof.terms if proof else None,
            "catalogue_version": ask.catalogue_version,
            "is_free": ask.offer.is_free,
            "budget_subjects": array(budgets.subjects_of(ask.principal).values()),
        }
        del values["amount_nanos"]
        self.step = Step(ADMIT, values, ask.principal.account_id)

    def admitted(self) -> Admitted | None:
        """What the step has admitted, if it did."""
        if not self.step.rows:
            return None
        [(place, aheads_us)] = self.step.rows
        size, ask = self._sizes[place - 1], self._ask
        states = [
            limits.state(limit, ahead_us)
            for (limit, _), ahead_us in zip(self._wanted, aheads_us, strict=True)
        ]
        return Admitted(
            self.step.values["id"],
            ask,
            size.amount_nanos,
            ask.output_limit,
            size.covered_tokens,
            shown(states),
        )


def _size_values(ask: Ask, sizes: tuple[Size, ...]) -> dict[str, Any]:
    first = sizes[0]
    is_all = first.covered_tokens == ask.output_limit
    return {
        "amounts": array([size.amount_nanos for size in sizes]),
        "needs": array([size.needs_nanos for size in sizes]),
        "tokens": array([size.tokens(ask) for size in sizes]),
        "most_nanos": first.amount_nanos if is_all else ask.cost_bound(ask.output_limit),
    }


def _rate_values(wanted: list[tuple[RateLimit, int]], starts: list[tuple[RateLimit, int]]) -> Any:
    """The limits that are known, and how far the first size and the last one move each."""
    if not wanted:
        return NO_RATES
    return {
        "subjects": array([limit.subject for limit, _ in wanted]),
        "kinds": array([limit.kind for limit, _ in wanted]),
        "steps_us": array([limit.step_us(units) for limit, units in wanted]),
        "start_steps_us": array([limit.step_us(units) for limit, units in starts]),
        "windows_us": array([limit.window_us for limit, _ in wanted]),
    }


def grow(admitted: Admitted, more: int) -> bool:
    """Holds more for a running request, if everything allows it."""
    principal = admitted.ask.principal
    values = {
        "id": admitted.id,
        "account_id": principal.account_id,
        "budget_subjects": array(budgets.subjects_of(principal).values()),
        "more_nanos": more,
    }
    return bool(database.together(Step(GROW, values, principal.account_id), durable=False))


def settle(admitted: Admitted, ending: Ending) -> Charge | None:
    """Ends a request whose cost its hold and its balance pay whole; None, having done nothing."""
    if not is_ordinary(admitted.ask) or ending.is_forgivable:
        return None
    principal = admitted.ask.principal
    receipt = receipts.values(admitted, ending, Charge(0, ending.cost_nanos, 0))
    values = {
        **receipt,
        "id": admitted.id,
        "usage": orjson.dumps(receipt["usage"]).decode(),
        "attempts": orjson.dumps(receipt["attempts"]).decode(),
        "used_tokens": ending.usage.total_tokens,
        "granted": billing.customer(principal.account_id, "granted"),
        "paid": billing.customer(principal.account_id, "paid"),
        "account_subject": f"account:{principal.account_id}",
        "key_subject": budgets.subject(principal.key_id),
        "budget_subjects": array(budgets.subjects_of(principal).values()),
        "client_address": principal.address or None,
    }
    rows = database.together(Step(SETTLE, values, principal.account_id), durable=True)
    return Charge(int(rows[0][0]), int(rows[0][1]), 0) if rows else None
