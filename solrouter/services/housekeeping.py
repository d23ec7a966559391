"""Periodic work of each web process: its lease renewed, mails and webhooks sent, prompts and
answers kept for who wants that, payments looked for, writes made that were due while the database
did not answer, news of the offers' health shared with the others, its metrics and the networks of
keys told, announcements looked up, connections to providers that nobody uses closed, and the last
streams ended when the server is told to stop.

One of the processes leads, and runs what the installation needs once: the `jobs`.
"""

import atexit
import contextvars
import logging
import threading
import time
from contextlib import suppress
from functools import partial

from solrouter import config, interruptions, process, tokens
from solrouter.clock import monotonic_s
from solrouter.errors import SolRouterError
from solrouter.interruptions import ServerStopping
from solrouter.services import (
    admission,
    announcements,
    contents,
    delivery,
    health,
    jobs,
    key_networks,
    outbox,
    payments,
    process_counts,
    refusals,
    webhook_queue,
    webhook_sending,
)
from solrouter.services.payments import solana
from solrouter.transport import pool

log = logging.getLogger(__name__)

ROUNDS_PER_LEASE = 3
LOOK_EVERY_S = 0.5
# A mail that this process orders is sent at once; others and second tries wait so long.
MAIL_EVERY_S = 10.0
# A webhook's second try is due after a few seconds.
WEBHOOKS_EVERY_S = 5.0
# A content is written at once; one that the database did not take waits so long.
CONTENTS_EVERY_S = 10.0
# Each payment says itself when it is due; mostly none is.
CHAIN_EVERY_S = 1.0
# How soon a balance below its threshold is topped up, and a payment that is due asked about.
PAYMENTS_EVERY_S = 5.0
# A process that ends owes the database its late settlements; gunicorn allows it about so long.
FINISH_S = 20.0
# What requests that are ended have to say so and to be settled; gunicorn kills soon after it.
LAST_WORDS_S = 2.5


class _Leading:
    """Whether this process leads, as it knew at its last round."""

    is_so = False


def tick() -> None:
    """One round. A database that does not answer is for the next round."""
    pool.close_old()
    try:
        admission.beat(process.worker_id())
        _Leading.is_so = admission.lead(process.worker_id())
        refusals.flush()
        process_counts.tell(process.worker_id())
        announcements.look()
        key_networks.tell()
    except SolRouterError as error:
        log.warning("housekeeping has to wait: %s", error.message)


def run_for_ever() -> None:
    """Rounds until the process ends, and its requests with it."""
    rounds = _begun()
    while not process.is_draining():
        rounds.go_on()
    drain(rounds)


def run_alone() -> None:
    """Rounds until the process is told to stop, in one that serves no requests."""
    rounds = _begun()
    while not process.is_draining():
        rounds.go_on()


def _begun() -> "_Rounds":
    """Begins the works that have a thread of their own; the rounds are the caller's."""
    # Called when the server has left the context of any app.
    atexit.register(contextvars.copy_context().run, finish)
    # Apart: a write that waits must not keep the process from saying that it lives.
    threading.Thread(target=catch_up_for_ever, name="late-writes", daemon=True).start()
    works = (
        ("health", share_health_for_ever),
        ("jobs", run_jobs_for_ever),
        ("slow-jobs", partial(run_jobs_for_ever, is_slow=True)),
        ("mail", carry_mail_for_ever),
        ("webhooks", carry_webhooks_for_ever),
        ("contents", write_contents_for_ever),
        ("payments", watch_payments_for_ever),
        ("solana", watch_chain_for_ever),
    )
    for name, work in works:
        in_context = contextvars.copy_context()
        threading.Thread(target=in_context.run, args=(work,), name=name, daemon=True).start()
    return _Rounds()


def drain(rounds: "_Rounds") -> None:
    """Lets running requests go on for a while, then ends those that are left, honestly."""
    drain_s = config.current()["SOLROUTER_DRAIN_S"]
    log.info("told to stop: running requests have %.0f s to finish", drain_s)
    until_s = monotonic_s() + drain_s
    # What is ended in the end is counted, all at the same time; on a busy machine reading the
    # vocabulary then would take longer than gunicorn waits.
    tokens.prepare()
    while monotonic_s() < until_s:
        rounds.go_on(until_s)
    interrupted = interruptions.interrupt_all(ServerStopping)
    log.info("ended %d requests that were still running", interrupted)
    time.sleep(LAST_WORDS_S)
    if cut := interruptions.cut_all():
        log.warning("broke %d connections that took nothing more", cut)


def catch_up_for_ever() -> None:
    """Makes late writes as soon as the database takes them."""
    while True:
        time.sleep(LOOK_EVERY_S)
        admission.catch_up()


def share_health_for_ever() -> None:
    """Exchanges news of the offers' health with the other processes, soon after any that matters.

    Without the database each process goes by what it sees itself.
    """
    while True:
        share_health()
        time.sleep(LOOK_EVERY_S)


def share_health() -> None:
    """One look whether there is something to share; what fails is for the next."""
    try:
        if health.is_due():
            health.exchange()
    except SolRouterError as error:
        log.debug("news of health have to wait: %s", error.message)
    except Exception:
        log.exception("news of health could not be shared")


def run_jobs_for_ever(*, is_slow: bool = False) -> None:
    """Runs what is due, where this process leads. Apart: a lease must not wait for an audit."""
    is_prepared = False
    while True:
        if _Leading.is_so:
            is_prepared = is_prepared or prepare_jobs()
            run_jobs(is_slow=is_slow)
        time.sleep(LOOK_EVERY_S)


def prepare_jobs() -> bool:
    """Makes the jobs known to the database; says whether it took them."""
    try:
        jobs.prepare()
    except SolRouterError as error:
        log.debug("jobs have to wait: %s", error.message)
        return False
    return True


def run_jobs(*, is_slow: bool = False) -> None:
    """Runs the jobs of one kind that are due; what fails is for the next time."""
    try:
        jobs.run_due(is_slow=is_slow)
    except SolRouterError as error:
        log.debug("jobs have to wait: %s", error.message)
    except Exception:
        log.exception("jobs could not be run")


def carry_webhooks_for_ever() -> None:
    """Delivers webhooks, soon after they are ordered. Apart: their servers may be slow."""
    while True:
        carry_webhooks()
        webhook_queue.wait_for_ring(WEBHOOKS_EVERY_S)


def carry_webhooks() -> None:
    """Delivers what is due; what fails is for the next round."""
    try:
        webhook_sending.deliver_due()
    except SolRouterError as error:
        log.debug("webhooks have to wait: %s", error.message)
    except Exception:
        log.exception("webhooks could not be delivered")


def carry_mail_for_ever() -> None:
    """Sends mails, soon after they are ordered. Apart: a mail server may be slow to answer."""
    while True:
        carry_mail()
        outbox.wait_for_ring(MAIL_EVERY_S)


def carry_mail() -> None:
    """Sends what is due; what fails is for the next round."""
    try:
        delivery.deliver_due()
    except SolRouterError as error:
        log.debug("mails have to wait: %s", error.message)
    except Exception:
        log.exception("mails could not be sent")


def write_contents_for_ever() -> None:
    """Writes prompts and answers that are to be kept, soon after their requests have ended."""
    while True:
        contents.wait_for_some(CONTENTS_EVERY_S)
        contents.write_waiting()


def watch_chain_for_ever() -> None:
    """Looks for payments on the chain. Apart: its nodes may be slow to answer."""
    while solana.is_set_up():
        watch_chain()
        time.sleep(CHAIN_EVERY_S)


def watch_chain() -> None:
    """Asks the nodes whether they can be believed, and about what is due; what fails is for later.

    A payment that is due is taken by one process, whichever comes first.
    """
    try:
        solana.look_if_due()
        payments.check_due((solana.PROVIDER,))
    except SolRouterError as error:
        log.debug("payments on Solana have to wait: %s", error.message)
    except Exception:
        log.exception("payments on Solana could not be looked for")


def watch_payments_for_ever() -> None:
    """Asks payment providers for what they have not told. Apart: they may be slow to answer."""
    while True:
        time.sleep(PAYMENTS_EVERY_S)
        watch_payments()


def watch_payments() -> None:
    """One look at all that is under way; what fails is for the next."""
    for work in (
        # Those on a chain are looked for apart.
        partial(payments.check_due, payments.METHODS.keys() - {solana.PROVIDER}),
        payments.send_waiting_refunds,
        payments.run_automatic,
        payments.reconcile_daily,
    ):
        try:
            work()
        except SolRouterError as error:
            log.debug("payments have to wait: %s", error.message)
        except Exception:
            log.exception("payments could not be looked after")


def finish() -> None:
    """Makes the writes that are late, as the last act of a process."""
    until_s = monotonic_s() + FINISH_S
    while admission.late_writes() and monotonic_s() < until_s:
        admission.catch_up()
        time.sleep(0.1)
    contents.write_waiting()
    with suppress(SolRouterError):
        process_counts.tell(process.worker_id())
        key_networks.tell()


class _Rounds:
    """Looks often, and keeps house a few times in each lease, also while the server drains."""

    def __init__(self) -> None:
        self._every_s = config.current()["SOLROUTER_LEASE_S"] / ROUNDS_PER_LEASE
        self._next_s = monotonic_s() + self._every_s

    def go_on(self, until_s: float = float("inf")) -> None:
        """Waits a moment, then does what is due."""
        time.sleep(max(min(LOOK_EVERY_S, min(self._next_s, until_s) - monotonic_s()), 0))
        try:
            if monotonic_s() >= self._next_s:
                self._next_s = monotonic_s() + self._every_s
                tick()
        except Exception:
            # A bug in one round must not end all of them: the lease hangs on this.
            log.exception("a round of housekeeping failed")
