"""Group commit: those that wait together share one transaction, and whoever leads takes all along.

Only for PostgreSQL; SQLite has its thread (`writer`). Steps of requests wait, one statement each,
and whichever caller comes first sends batches of them until its own step is among them. A *lane*
sends its batch as one pipeline over a connection of its own, so that a batch costs one round trip,
and one flush where it needs one.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg
from sqlalchemy import Engine

from solrouter.database.compiled import Numbered, array
from solrouter.database.faults import as_ours, is_transient, sqlstate
from solrouter.database.pipeline import Pipeline

STEPS_MAX = 64
DEADLOCK_TRIES_MAX = 5
# Steps of one account queue here, before any of them looks around: a statement sees the rows as
# they were when it began, so one that waited for this lock within itself would see old ones. All
# of a batch are locked at once and in order, so that two batches cannot wait for each other. Rows
# may go on referring to the account meanwhile (NO KEY).
LOCK = Numbered(
    "SELECT id FROM accounts WHERE id = ANY(%(accounts)s::bigint[]) ORDER BY id FOR NO KEY UPDATE"
)
BEGIN, COMMIT = Numbered("BEGIN"), Numbered("COMMIT")


@dataclass(slots=True)
class Step:
    """One statement of a request, its values, the account whose row it needs locked, its rows.

    `was_sent` says whether it may have happened although its answer was lost.
    """

    statement: Numbered
    values: dict[str, Any]
    account_id: int | None = None
    was_sent: bool = False
    is_done: bool = False
    rows: list[Any] = field(default_factory=list)
    error: BaseException | None = None


class Queue:
    """Steps that wait, and how a leader commits a batch of them."""

    def __init__(self, commit: Callable[[list[Step]], None], batch_max: int) -> None:
        self._commit = commit
        self._batch_max = batch_max
        self._waiting: deque[Step] = deque()

    def append(self, step: Step) -> None:
        """Waits for a leader. Raises nothing."""
        self._waiting.append(step)

    def lead_until(self, step: Step) -> None:
        """Commits batches until this step is among them. One leader at a time."""
        while not step.is_done:
            most = min(len(self._waiting), self._batch_max)
            batch = [self._waiting.popleft() for _ in range(most)]
            try:
                self._commit(batch)
            except Exception as error:
                _fail(batch, as_ours(error))
            except BaseException as error:
                # The leader is being killed; of the others nobody knows what became of them.
                _fail(batch, as_ours(psycopg.OperationalError("the leader was killed")))
                step.error = error
            for each in batch:
                each.is_done = True


def _fail(batch: list[Step], error: BaseException) -> None:
    for step in batch:
        step.error = step.error or error


class Lane:
    """One connection to PostgreSQL that runs steps in batches, each batch a transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._opened: Pipeline | None = None
        self._queue: Queue = Queue(self._commit, STEPS_MAX)
        self._lead = threading.Lock()

    def run(self, step: Step) -> list[Any]:
        """Runs it together with whatever waits, and returns its rows.

        Raises DatabaseUnavailable.
        """
        self._queue.append(step)
        with self._lead:
            self._queue.lead_until(step)
        if step.error is not None:
            raise step.error
        return step.rows

    def close(self) -> None:
        """Lets go of the connection."""
        with self._lead:
            self._drop()
        self._engine.dispose()

    def _commit(self, batch: list[Step]) -> None:
        """One batch; one by one if a step of it fails, which must not harm its neighbours."""
        try:
            self._send_whole(batch)
        except BaseException:
            # Killed: the connection is amidst whatever it was.
            self._drop()
            raise

    def _send_whole(self, batch: list[Step]) -> None:
        try:
            self._send(batch)
        except Exception as error:
            # The connection may be amidst a transaction, or be gone.
            is_gone = self._opened is None or self._opened.is_gone
            self._drop()
            if is_gone:
                raise
            if len(batch) == 1 and not is_transient(error):
                raise
            for step in batch:
                self._send_alone(step)

    def _send_alone(self, step: Step) -> None:
        for tries_left in reversed(range(DEADLOCK_TRIES_MAX)):
            try:
                self._send([step])
                return
            except Exception as error:
                self._drop()
                if not is_transient(error) or not tries_left:
                    step.error = as_ours(error)
                    return

    def _send(self, batch: list[Step]) -> None:
        """One round trip: all in one pipeline, and in one transaction. Looks need none."""
        pipeline = self._ready()
        accounts = sorted({step.account_id for step in batch if step.account_id is not None})
        calls = [(step.statement, step.values) for step in batch]
        if accounts:
            calls = [(BEGIN, {}), (LOCK, {"accounts": array(accounts)}), *calls, (COMMIT, {})]
        for step in batch:
            step.was_sent = True
        try:
            answers = pipeline.run(calls)
        except Exception as error:
            if pipeline.has_sent and not sqlstate(error):
                # The server has refused nothing, so it may have committed: not to be sent again.
                self._drop()
            raise
        for step, rows in zip(batch, answers[2:] if accounts else answers, strict=False):
            step.rows = rows

    def _ready(self) -> Pipeline:
        """The connection, opened anew if the server has ended it since the last batch."""
        if self._opened is not None and not self._opened.is_alive:
            self._drop()
        if self._opened is None:
            self._opened = Pipeline(self._engine.raw_connection())
        return self._opened

    def _drop(self) -> None:
        if self._opened is not None:
            opened, self._opened = self._opened, None
            opened.drop()
