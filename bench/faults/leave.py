"""Clients that leave in the middle of an answer, and during silence, streamed and not."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from bench.faults.books import Row
from bench.faults.client import Answer, Caller
from bench.faults.place import Place, Stage, Terms, open_place, until
from bench.faults.report import Report

# One token for every tokenizer.
PIECE = " the"
PIECES = 400
BETWEEN_S = 0.01
WHOLE_S = 4.0
SAID_BEFORE_SILENCE = 10
SILENT_S = 2.5
ABORTED_WITHIN_S = 2.0
# The rest after the last point is too little to be still on its way when the news of the leaving
# comes: before it the upstream pauses for longer than that may take, and then finishes.
LAST_POINT, PAUSE_S = 99, 2.5
TOLERANCE = 0.10
SLACK = 10
INPUT_USD, OUTPUT_USD = "0.001", "2"
PROMPT_NANOS_MAX = 100
# How much of the answer they wait for; None: some silence.
POINTS = {"0": 0, "10": 10, "50": 50, "99": LAST_POINT, "silent": None}


@dataclass(frozen=True)
class Size:
    """How many clients leave at each point."""

    each: int


LONG, SHORT = Size(25), Size(1)


@dataclass(frozen=True)
class Leaver:
    """One client, and the upstream that only it speaks to."""

    name: str
    percent: int | None
    stream: bool

    @property
    def terms(self) -> Terms:
        """Its model. Usage would come at the end, which is never reached."""
        script: dict[str, Any] = {"pieces": [PIECE] * PIECES, "stall_between_s": BETWEEN_S}
        if not self.stream:
            script = {"pieces": [PIECE] * PIECES, "stall_before_s": WHOLE_S}
        elif self.percent is None:
            # The role's event comes first.
            script |= {"stall_after": [SAID_BEFORE_SILENCE + 1, 60]}
        elif self.is_last:
            script |= {"stall_after": [self.wanted + 1, PAUSE_S]}
        return Terms(self.name, script, INPUT_USD, OUTPUT_USD)

    @property
    def is_last(self) -> bool:
        """Whether it leaves when nearly all of a stream has come."""
        return self.stream and self.percent == LAST_POINT

    @property
    def wanted(self) -> int:
        """The pieces that it waits for."""
        return PIECES * (self.percent or 0) // 100

    async def ask(self, caller: Caller) -> Answer:
        """Asks, and leaves when its time has come."""
        model = self.terms.model
        if not self.stream:
            part = SILENT_S if self.percent is None else WHOLE_S * self.percent / 100
            # Nobody can leave before the request has been sent.
            return await caller.chat(
                model, stream=False, max_tokens=PIECES, leave_after_s=max(part, 0.05)
            )
        if self.percent is None:
            return await caller.chat(model, stream=True, max_tokens=PIECES, leave_after_s=SILENT_S)
        return await caller.chat(
            model,
            stream=True,
            max_tokens=PIECES,
            leave_when=lambda answer: answer.data.count(PIECE.encode()) >= self.wanted,
        )


def run(report: Report, stage: Stage, size: Size) -> None:
    """All points side by side, one client of each kind at a time."""
    report.begin(f"leave, {stage.kind}")
    waves = [
        [
            Leaver(f"{'s' if stream else 'w'}-{point}-{wave}", percent, stream)
            for point, percent in POINTS.items()
            for stream in (True, False)
        ]
        for wave in range(size.each)
    ]
    terms = tuple(leaver.terms for wave in waves for leaver in wave)
    with open_place(stage, terms=terms) as place:
        answers: dict[Leaver, Answer] = {}
        for wave in waves:
            answers |= asyncio.run(_leave(place.caller(), wave))
        time.sleep(ABORTED_WITHIN_S)
        settled_s = until(lambda: place.books.running() == 0, within_s=5)
        report.check(settled_s is not None, "holds left pending", place.books.running())
        rows = {row.requested_model: row for row in place.books.receipts()}
        report.equal(place.books.number("SELECT count(*) FROM completions"), len(rows), "receipts")
        for percent in POINTS.values():
            for stream in (True, False):
                same = [one for one in answers if (one.percent, one.stream) == (percent, stream)]
                _judge(report, place, same, answers, rows)
        status, said = place.audit()
        report.check(status == 0, "the audit is clean", said)


async def _leave(caller: Caller, wave: list[Leaver]) -> dict[Leaver, Answer]:
    answers = await asyncio.gather(*(leaver.ask(caller) for leaver in wave))
    return dict(zip(wave, answers, strict=True))


def _judge(
    report: Report,
    place: Place,
    leavers: list[Leaver],
    answers: dict[Leaver, Answer],
    rows: dict[str, Row],
) -> None:
    """The upstream's abort, the one row and its charge, for all who left at the same point."""
    first = leavers[0]
    where = "in silence" if first.percent is None else f"at {first.percent} %"
    what = f"left {where}, {'streamed' if first.stream else 'whole'}"
    aborts, came = place.upstream.aborts(), place.upstream.counts()
    found = [rows.get(leaver.terms.model) for leaver in leavers]
    admitted = [row for row in found if row is not None]
    # One who leaves at once, or soon whatever has come, may leave a busy server before the
    # admission; then there was no request.
    is_soon = first.percent == 0 or (not first.stream and first.percent is not None)
    must = sum(leaver.name in came for leaver in leavers) if is_soon else len(leavers)
    report.check(len(admitted) >= must, f"{what}: receipts", f"{len(admitted)} of {len(leavers)}")
    late = [
        aborts[leaver.name][0] - (answers[leaver].left_s or 0)
        for leaver in leavers
        if leaver.name in aborts
    ]
    unheard = [one.name for one in leavers if one.name in came and one.name not in aborts]
    report.check(
        not unheard and all(seconds <= ABORTED_WITHIN_S for seconds in late),
        f"{what}: upstream aborted after at most",
        f"{max(late, default=0):.3f} s" + (f", never: {unheard}" if unheard else ""),
    )
    outcomes = {row.outcome for row in admitted}
    report.check(outcomes <= {"cancelled"}, f"{what}: outcome", outcomes or "none")
    truths = [(row, aborts.get(leaver.name, (0, 0))[1] - 1) for leaver, row in
              zip(leavers, found, strict=True) if row is not None]  # fmt: skip
    _judge_charge(report, what, first, truths)


def _judge_charge(report: Report, what: str, first: Leaver, truths: list[tuple[Row, int]]) -> None:
    """Near what the upstream had sent; never the whole, never nothing once there was content."""
    told = [(row.completion_tokens, sent) for row, sent in truths]
    if first.stream and first.percent is not None:
        # What is on its way while the news of the leaving travels is no tenth of so little.
        slack = SLACK if first.percent == 0 else 0
        near = all(abs(made - sent) <= TOLERANCE * sent + slack for made, sent in told)
        report.check(near, f"{what}: output tokens charged, and sent by the upstream", told[:4])
    else:
        report.note(f"{what}: output tokens charged {[made for made, _ in told[:4]]}")
    whole = PIECES * 2_000
    dearest = max((row.charge_nanos for row, _ in truths), default=0)
    # A second of the last pause counts for as much as is left; that it was cut says the outcome.
    most = whole + PROMPT_NANOS_MAX if first.is_last else whole - 1
    report.check(dearest <= most, f"{what}: charged at most", f"{dearest} of {whole} nanodollars")
    said = first.stream and first.percent != 0
    least = min((row.charge_nanos for row, _ in truths), default=1)
    if said or first.percent is None:
        report.check(least > 0, f"{what}: charged at least", f"{least} nanodollars")
