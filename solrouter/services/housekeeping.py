"""Periodic work of each web process: its lease renewed, the holds of the dead released, and the
last streams ended when the server is told to stop.
"""

import logging
import time

from solrouter import config, interruptions, process
from solrouter.clock import monotonic_s
from solrouter.errors import SolRouterError
from solrouter.interruptions import ServerStopping
from solrouter.services import admission, sessions

log = logging.getLogger(__name__)

EVERY_S = 10
LOOK_EVERY_S = 0.5


def tick() -> None:
    """One round. A database that does not answer is for the next round."""
    try:
        admission.beat(process.worker_id())
        if not admission.lead(process.worker_id()):
            return
        released = admission.expire()
        sessions.forget_expired()
    except SolRouterError as error:
        log.warning("housekeeping has to wait: %s", error.message)
        return
    if released:
        log.warning("%d interrupted requests were released, uncharged", released)


def run_for_ever() -> None:
    """Rounds until the process ends."""
    next_round_s = monotonic_s() + EVERY_S
    while not process.is_draining():
        time.sleep(LOOK_EVERY_S)
        if monotonic_s() >= next_round_s:
            tick()
            next_round_s = monotonic_s() + EVERY_S
    drain()


def drain() -> None:
    """Lets running requests go on for a while, then ends those that are left, honestly."""
    drain_s = config.current()["SOLROUTER_DRAIN_S"]
    log.info("told to stop: running requests have %.0f s to finish", drain_s)
    time.sleep(drain_s)
    interrupted = interruptions.interrupt_all(ServerStopping)
    log.info("ended %d requests that were still running", interrupted)
