"""One connection to PostgreSQL that sends many statements at once and then reads all answers.

It speaks to libpq itself, in pipeline mode for as long as it is open: the client library's cursors
cost several times what the exchange does, and its way of waiting under gevent as much again.
https://www.postgresql.org/docs/current/libpq-pipeline-mode.html
"""

import select
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from gevent import get_hub, monkey
from psycopg import adapt, pq
from psycopg.adapt import PyFormat
from psycopg.errors import error_from_result
from sqlalchemy import PoolProxiedConnection

from solrouter.database.compiled import Numbered

READABLE, WRITABLE = 1, 2
Rows = list[tuple[Any, ...]]
Call = tuple[Numbered, Mapping[str, Any]]
# Which answers of a statement are its own: preparing it gives one too.
ONE, PREPARED_ONE = (True,), (False, True)


class Pipeline:
    """An open connection. Whoever sees `run` fail must `drop` it."""

    def __init__(self, opened: PoolProxiedConnection) -> None:
        self._opened = opened
        connection: Any = opened.dbapi_connection
        self.pgconn: pq.abc.PGconn = connection.pgconn
        self.pgconn.nonblocking = 1
        self.pgconn.enter_pipeline_mode()
        self._adapted = adapt.Transformer(connection)
        self._prepared: dict[tuple[Numbered, tuple[int, ...]], bytes] = {}
        # Whether the last run came as far as sending all that it was given.
        self.has_sent = False

    @property
    def is_alive(self) -> bool:
        """Whether the server has not said goodbye meanwhile: reads what has come, and waits not."""
        try:
            # The first reads the server's last words, the second the end behind them.
            self.pgconn.consume_input()
            self.pgconn.consume_input()
        except psycopg.OperationalError:
            return False
        return not self.is_gone

    @property
    def is_gone(self) -> bool:
        """Whether the connection is known to be lost."""
        return self.pgconn.status != pq.ConnStatus.OK

    def drop(self) -> None:
        """Closes it, whatever it was amidst."""
        self._opened.invalidate()

    def run(self, calls: Sequence[Call]) -> list[Rows]:
        """Runs the statements in one round trip and returns the rows of each.

        Raises psycopg.Error: the server's first complaint, after which it skipped the rest.
        """
        self.has_sent = False
        expected = [is_answer for call in calls for is_answer in self._queue(call)]
        self.has_sent = True
        self.pgconn.pipeline_sync()
        while self.pgconn.flush():
            self._wait(READABLE | WRITABLE)
            self.pgconn.consume_input()
        answers = []
        failure: psycopg.Error | None = None
        for is_answer in expected:
            result = self._result()
            if result.status == pq.ExecStatus.FATAL_ERROR:
                failure = failure or error_from_result(result)
            elif failure is None and is_answer:
                answers.append(self._rows(result))
            self._expect_no_more()
        self._result()
        if failure is not None:
            raise failure
        return answers

    def _queue(self, call: Call) -> Sequence[bool]:
        """Writes one statement behind the others; says for each answer if it is the statement's."""
        statement, values = call
        ordered = statement.values(values)
        texts = self._adapted.dump_sequence(ordered, [PyFormat.AUTO] * len(ordered))
        types = self._adapted.types or ()
        name = self._prepared.get((statement, types))
        if name is not None:
            self.pgconn.send_query_prepared(name, texts, self._adapted.formats)
            return ONE
        name = self._prepared[statement, types] = b"s%d" % len(self._prepared)
        self.pgconn.send_prepare(name, statement.text.encode(), types)
        self.pgconn.send_query_prepared(name, texts, self._adapted.formats)
        return PREPARED_ONE

    def _rows(self, result: pq.abc.PGresult) -> Rows:
        if result.ntuples == 0:
            return []
        self._adapted.set_pgresult(result)
        return self._adapted.load_rows(0, result.ntuples, tuple)

    def _result(self) -> pq.abc.PGresult:
        """The next answer."""
        while self.pgconn.is_busy():
            self._wait(READABLE)
            self.pgconn.consume_input()
        result = self.pgconn.get_result()
        if result is None:
            raise psycopg.OperationalError("the server's answers do not fit what was sent")
        return result

    def _expect_no_more(self) -> None:
        """Each answer of a pipeline is followed by a mark of its end."""
        while self.pgconn.is_busy():
            self._wait(READABLE)
            self.pgconn.consume_input()
        if self.pgconn.get_result() is not None:
            raise psycopg.OperationalError("the server's answers do not fit what was sent")

    def _wait(self, events: int) -> None:
        """Waits for the socket: this greenlet alone, where gevent has patched; else the thread."""
        if monkey.is_module_patched("select"):
            hub = get_hub()
            watcher = hub.loop.io(self.pgconn.socket, events)
            try:
                hub.wait(watcher)
            finally:
                watcher.close()
            return
        wanted = [self.pgconn.socket]
        select.select(wanted, wanted if events & WRITABLE else [], [])
