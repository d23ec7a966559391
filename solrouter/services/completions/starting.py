"""A request becomes a completion: planned, admitted, begun."""

from solrouter import config, process
from solrouter.chat import ChatRequest
from solrouter.errors import (
    ExceedsLimit,
    InsufficientCredit,
    KeyLimitReached,
    ModelRetired,
    ModelUnavailable,
    ShuttingDown,
    Unavailable,
    UnknownModel,
)
from solrouter.interruptions import Wait
from solrouter.services import admission, catalogue
from solrouter.services.admission import Admitted
from solrouter.services.catalogue import Snapshot
from solrouter.services.completions import planning
from solrouter.services.completions.planning import Plan
from solrouter.services.completions.running import Completion
from solrouter.services.completions.tally import Tally
from solrouter.services.keys import SCOPE_INFERENCE
from solrouter.services.principals import Principal
from solrouter.services.repeats import Repeat

CATALOGUE_TRIES_MAX = 4
STALE = (admission.CatalogueChanged, UnknownModel, ModelUnavailable, ModelRetired)
DRAINING = "This server is restarting. Please try again."


def start(
    principal: Principal, request: ChatRequest, wait: Wait, repeat: Repeat | None = None
) -> Completion:
    """Admits a request and begins it: some upstream has begun to answer, or is being waited for.

    Raises SolRouterError for whatever happens before; then nothing was charged. Raises ClientLeft
    when `wait` says so; then what was made until then was charged. Raises Answered when `repeat`
    names a request that has been answered.
    """
    if process.is_draining():
        raise ShuttingDown(DRAINING)
    principal.require(SCOPE_INFERENCE)
    tally = Tally.begin()
    plan, admitted = _admitted(principal, request, repeat)
    quiet_s = _quiet_s(streamed=request.stream)
    completion = Completion(plan, request, admitted, wait, tally, quiet_s=quiet_s)
    completion.begin()
    return completion


def _quiet_s(*, streamed: bool) -> float | None:
    """How long the caller may hear nothing; None: until the answer is there."""
    settings = config.current()
    keep_alive_s = float(settings["SOLROUTER_KEEP_ALIVE_S"])
    if streamed:
        return keep_alive_s or None
    first_byte_s = float(settings["SOLROUTER_FIRST_BYTE_S"])
    return min(keep_alive_s or first_byte_s, first_byte_s) or None


def _admitted(
    principal: Principal, request: ChatRequest, repeat: Repeat | None
) -> tuple[Plan, Admitted]:
    """Plans and admits; anew whenever the catalogue turns out to have changed."""
    snapshot = catalogue.current()
    for _ in range(CATALOGUE_TRIES_MAX):
        try:
            return _admit(snapshot, principal, request, repeat)
        except STALE as error:
            # What memory does not know may just have been added.
            newer = catalogue.fresh()
            if newer is snapshot and not isinstance(error, admission.CatalogueChanged):
                raise
            snapshot = newer
    raise Unavailable("The catalogue is changing. Please try again.")


def _admit(
    snapshot: Snapshot, principal: Principal, request: ChatRequest, repeat: Repeat | None
) -> tuple[Plan, Admitted]:
    plan = planning.plan(snapshot, principal, request, repeat)
    try:
        return plan, admission.admit(plan.ask_for(plan.candidates[0]))
    except KeyLimitReached:
        raise
    except (InsufficientCredit, ExceedsLimit):
        # Only the prompt's bound in bytes may stand in the way: once more with it counted.
        plan = plan.counted(request)
        return plan, admission.admit(plan.ask_for(plan.candidates[0]))
