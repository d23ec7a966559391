"""Settling so that nothing is lost: the lean way, the careful way, later, and bare if need be.

An answer whose settlement fails is a free answer, and its hold blocks the account. So whatever goes
wrong, something is written that charges it.
"""

import logging
from functools import partial

from solrouter import database
from solrouter.errors import DatabaseUnavailable
from solrouter.services.admission import allowance, late, lean, receipts, settling
from solrouter.services.admission.asks import Admitted, Ending
from solrouter.services.admission.settling import Transcript
from solrouter.services.billing import Charge

log = logging.getLogger(__name__)


def settle(admitted: Admitted, ending: Ending, *, transcript: Transcript | None = None) -> Charge:
    """Ends a request: receipt, charge and transfers in one transaction, once; returns what it cost.

    A second settlement of the same request changes nothing and returns the first one's charge. The
    `transcript` makes the answer to keep, from the charge, for a request with an idempotency key.

    Raises DatabaseUnavailable; the settlement is then made as soon as the database answers. One
    that cannot be stored as it is, is made without the texts in it, which are the word of others.
    """
    settle_whole = partial(
        settling.settle,
        admitted=admitted,
        ending=ending,
        terms=allowance.current(),
        transcript=transcript,
    )
    try:
        return _settle_leanly(admitted, ending) or database.transact(settle_whole)
    except DatabaseUnavailable:
        _settle_later(admitted, settle_whole)
        raise
    except Exception as error:
        log.exception("request %s cannot be settled as it is", admitted.id)
        bare = partial(settle_whole, ending=receipts.bare(ending), transcript=None)
        _settle_later(admitted, bare)
        raise DatabaseUnavailable("The request is settled in a moment.") from error
    except BaseException:
        # Killed, and nobody knows whether it was settled.
        _settle_later(admitted, settle_whole)
        raise


def _settle_leanly(admitted: Admitted, ending: Ending) -> Charge | None:
    try:
        return lean.settle(admitted, ending)
    except DatabaseUnavailable:
        raise
    except Exception:
        log.exception("request %s cannot be settled the lean way", admitted.id)
        return None


def _settle_later(admitted: Admitted, verb: "partial[Charge]") -> None:
    late.keep(f"settle {admitted.id}", partial(database.current().transact, verb, ahead=True))
