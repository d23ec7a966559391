"""A look at the chain for one payment: what has come for it, and when to look again.

Every transaction that names the payment's reference is examined, whoever sent it, the oldest first,
a few at each look (rule S3). Up to the `cursor` all are final and examined. Nothing is credited
before it is final (S4), and a large sum not before a second node says the same (S9). A node that
does not answer changes nothing but the time of the next look.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from solrouter.rpc_endpoint import RpcEndpoint
from solrouter.services.payments import states
from solrouter.services.payments.methods import Evidence, Finding
from solrouter.services.payments.rows import Payment
from solrouter.services.payments.solana import chain, entries, quotes, readiness, transfers
from solrouter.services.payments.solana.chain import (
    CONFIRMED,
    FINALIZED,
    ChainUnavailable,
    UnreadableTransaction,
)
from solrouter.services.payments.solana.entries import Entry, Order
from solrouter.services.payments.solana.settings import NANOS_PER_UNIT, SolanaSettings
from solrouter.services.payments.solana.transfers import Unreadable, Verdict

log = logging.getLogger(__name__)

# A flood of dust is worked off a few at a time, so that it holds up nobody else.
EXAMINED_PER_LOOK_MAX = 25
# What an operator has to look at; who makes more of it wants to fill our tables.
REVIEWS_MAX = 20
# Now and then everything is listed anew: a node may have left something out before.
LIST_ALL_EVERY = 20
# A wallet may give out the signature before the chain has the transaction.
CLAIM_PATIENCE = timedelta(hours=1)
# A block's time is in whole seconds, and an estimate of many clocks.
BLOCK_TIME_SLACK = timedelta(minutes=1)
# How often we look, by the age of the payment (rule S12).
SOON_S = 2
TROUBLE_S_MAX = 300
STEPS = (
    (timedelta(minutes=5), SOON_S),
    (timedelta(hours=1), 5),
    (timedelta(days=1), 300),
    (timedelta(days=30), 3_600),
)


def look(
    payment: Payment, terms: SolanaSettings, believed: Sequence[RpcEndpoint], now: datetime
) -> Finding:
    """All that the chain says of the payment now, by the first node that answers."""
    for node in chain.in_turn(believed, payment.checks):
        others = [other for other in believed if other != node]
        try:
            return _Look(payment, terms, node, others, now).finding()
        except ChainUnavailable as error:
            log.info("payment %s: %s", payment.public_id, error)
    return trouble(payment, now)


def trouble(payment: Payment, now: datetime) -> Finding:
    """No node can be asked: nothing is known, so nothing is done, and we ask again soon."""
    wait_s = min(5 * SOON_S, TROUBLE_S_MAX)
    later_s = due_in_s(payment, now, is_moving=False)
    return Finding(
        details={"is_trouble": True}, due_in_s=None if later_s is None else max(later_s, wait_s)
    )


def due_in_s(payment: Payment, now: datetime, *, is_moving: bool) -> int | None:
    """When to look again; None when the payment is not looked after any more."""
    if is_moving:
        return SOON_S
    age = now - payment.created_at
    for until, wait_s in STEPS:
        if age < until:
            # Who has paid is done; only a second transfer could still come.
            is_done = payment.received_nanos >= payment.amount_nanos
            return max(wait_s, STEPS[2][1]) if is_done else wait_s
    return None


@dataclass(slots=True)
class _Look:
    """One look with one node."""

    payment: Payment
    terms: SolanaSettings
    node: RpcEndpoint
    others: Sequence[RpcEndpoint]
    now: datetime
    known: dict[str, Entry] = field(init=False)
    changed: dict[str, Any] = field(default_factory=dict)
    seen: list[dict[str, Any]] = field(default_factory=list)
    is_left_over: bool = False

    def __post_init__(self) -> None:
        self.known = entries.of(self.payment.details)

    def finding(self) -> Finding:
        """Raises ChainUnavailable when the node stops answering."""
        order = Order.of(self.payment)
        cursor = self._walk(order)
        self._look_for_claims(order)
        paid = [entry for entry in self.known.values() if entry.kind == entries.PAID]
        is_waiting = any(not entry.is_settled for entry in self.known.values())
        details = {
            **self.changed,
            "cursor": cursor,
            "seen": self.seen,
            "is_trouble": False,
            "has_vanished": self._has_vanished(),
        }
        return Finding(
            # All that were ever proven, not only those of this look: what an account's first day
            # holds back is credited by a later one.
            evidence=tuple(self._evidence(entry) for entry in paid),
            state=self._state(has_money=bool(paid)),
            problem=self._problem(),
            details=details,
            due_in_s=due_in_s(
                self.payment,
                self.now,
                is_moving=bool(self.seen) or self.is_left_over or is_waiting,
            ),
        )

    def _walk(self, order: Order) -> str | None:
        """Examines what names the reference; returns up to where all is done."""
        is_whole = self.payment.checks % LIST_ALL_EVERY == LIST_ALL_EVERY - 1
        mentions = chain.mentions(
            self.node, order.reference, until=None if is_whole else order.cursor
        )
        cursor, is_done_so_far, left = order.cursor, True, EXAMINED_PER_LOOK_MAX
        for mention in mentions:
            known = self.known.get(mention.signature)
            if known is None or not known.is_settled:
                if left == 0:
                    self.is_left_over = True
                    break
                left -= 1
                commitment = FINALIZED if mention.is_final else CONFIRMED
                is_done = self._examine(order, mention.signature, commitment)
                is_done_so_far = is_done_so_far and is_done
            if is_done_so_far:
                cursor = mention.signature
        return cursor

    def _look_for_claims(self, order: Order) -> None:
        for entry in list(self.known.values()):
            if entry.kind != entries.CLAIMED:
                continue
            is_done = self._examine(order, entry.signature, FINALIZED)
            is_seen = is_done or self._examine(order, entry.signature, CONFIRMED)
            is_late = entry.is_older_than(CLAIM_PATIENCE, self.now)
            if not is_done and not is_seen and is_late and not self.seen:
                self._keep(entry, entries.REFUSED, 0, "the chain does not know it")

    def _examine(self, order: Order, signature: str, commitment: str) -> bool:
        """Judges one transaction; says whether it is final and nothing more is to be done."""
        known = self.known.get(signature, Entry(signature, "", since=self.now.isoformat()))
        verdict = self._verdict(self.node, order, known, commitment)
        if verdict is None:
            return False
        if commitment != FINALIZED:
            is_new = all(found["signature"] != signature for found in self.seen)
            if verdict.kind == transfers.PAID and is_new:
                self.seen.append({"signature": signature, "units": verdict.amount_units})
            return False
        if verdict.kind == transfers.PAID and verdict.amount_units >= self.terms.least_units:
            return self._accept(order, known, verdict)
        self._refuse(known, verdict)
        return True

    def _accept(self, order: Order, known: Entry, verdict: Verdict) -> bool:
        units = verdict.amount_units
        if self.terms.agree_from_units is None or units < self.terms.agree_from_units:
            self._keep(known, entries.PAID, units)
            return True
        doubt = self._doubt(order, known, verdict)
        if doubt is None:
            self._keep(known, entries.PAID, units)
            return True
        self._keep(known, entries.CHECKED, units, doubt)
        return False

    def _doubt(self, order: Order, known: Entry, verdict: Verdict) -> str | None:
        """None once another node says the same; else why not."""
        doubt = "no second node has answered"
        for other in self.others:
            try:
                told = self._verdict(other, order, known, FINALIZED)
            except ChainUnavailable as error:
                log.info("payment %s: %s", self.payment.public_id, error)
                continue
            if told == verdict:
                return None
            if told is not None:
                doubt = "two nodes tell it differently"
                if known.reason != doubt:
                    log.error(
                        "payment %s: %s and %s disagree about %s",
                        self.payment.public_id,
                        self.node,
                        other,
                        known.signature,
                    )
                    readiness.distrust(other)
        return doubt

    def _refuse(self, known: Entry, verdict: Verdict) -> None:
        """Keeps what a person should know of; dust is forgotten."""
        if known.is_claim:
            kind = entries.REVIEW if verdict.kind == transfers.REVIEW else entries.REFUSED
            self._keep(known, kind, verdict.amount_units, verdict.reason or "it brings too little")
        elif verdict.kind == transfers.REVIEW:
            reviews = sum(entry.kind == entries.REVIEW for entry in self.known.values())
            if reviews < REVIEWS_MAX:
                self._keep(known, entries.REVIEW, 0, verdict.reason)
        elif verdict.kind == transfers.PAID:
            self.changed["small"] = {"signature": known.signature, "units": verdict.amount_units}

    def _verdict(
        self, node: RpcEndpoint, order: Order, known: Entry, commitment: str
    ) -> Verdict | None:
        """What a node's word makes of it; None where the node does not have it."""
        try:
            found = chain.transaction(node, known.signature, commitment=commitment)
            if found is None:
                return None
            reading = transfers.read(found, order.target)
        except (UnreadableTransaction, Unreadable) as error:
            return Verdict(transfers.REVIEW, reason=str(error))
        others = quotes.references_among(reading.accounts, but=order.reference)
        if known.is_claim:
            return transfers.judge_claim(
                reading,
                reference=order.reference,
                exact_units=order.amount_units if order.is_exact else None,
                not_before=self.payment.created_at - BLOCK_TIME_SLACK,
                references_of_others=others,
            )
        return transfers.judge(reading, reference=order.reference, references_of_others=others)

    def _keep(self, known: Entry, kind: str, units: int, reason: str = "") -> None:
        entry = Entry(known.signature, kind, units, reason, known.is_claim, known.since)
        if kind == entries.REVIEW and known.kind != kind:
            log.error(
                "payment %s: an operator has to look at %s: %s",
                self.payment.public_id,
                entry.signature,
                reason,
            )
        self.known[entry.signature] = entry
        self.changed |= entry.as_details()

    def _has_vanished(self) -> bool:
        """Whether something was seen that neither is there any more nor has become final."""
        before = {found["signature"] for found in self.payment.details.get("seen") or ()}
        now = {found["signature"] for found in self.seen} | self.known.keys()
        if before - now:
            log.warning("payment %s: a transaction has vanished", self.payment.public_id)
            return True
        return bool(self.payment.details.get("has_vanished")) and not now

    def _state(self, *, has_money: bool) -> str | None:
        if has_money or self.seen:
            return None
        is_over = self.payment.expires_at is not None and self.payment.expires_at < self.now
        return states.EXPIRED if is_over else states.PENDING

    def _problem(self) -> str:
        for entry in self.known.values():
            if entry.kind == entries.REVIEW:
                return f"An operator has to look at a transaction: {entry.reason}."
        return ""

    @staticmethod
    def _evidence(entry: Entry) -> Evidence:
        return Evidence(entry.signature, entry.units * NANOS_PER_UNIT)
