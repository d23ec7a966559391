"""Periodic work, done in whichever web process runs: leases renewed, the holds of the dead
released.
"""

import logging
import time

from solrouter import process
from solrouter.errors import SolRouterError
from solrouter.services import admission

log = logging.getLogger(__name__)

EVERY_S = 10


def tick() -> None:
    """One round. A database that does not answer is for the next round."""
    try:
        admission.beat(process.worker_id())
        released = admission.expire()
    except SolRouterError as error:
        log.warning("housekeeping has to wait: %s", error.message)
        return
    if released:
        log.warning("%d interrupted requests were released, uncharged", released)


def run_for_ever() -> None:
    """Rounds until the process ends."""
    while True:
        time.sleep(EVERY_S)
        tick()
