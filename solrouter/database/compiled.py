"""Statements compiled once for each database, and then run without SQLAlchemy's Core in between.

To build one expression and find its compiled form again costs more than all the books of a request.
A prepared statement is written as a function of the dialect's name that builds it:

    @prepared
    def _take_money(dialect: str) -> Update:
        return update(Account).where(Account.id == bindparam("account_id"))…

    _take_money.changes(connection, account_id=3, amount=500)
"""

import re
import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import Connection, Dialect, Executable

Convert = Callable[[Any], Any]


class Numbered:
    """A statement for PostgreSQL's lanes: its text with `$1`, `$2` …, and whose values they are.

    Written with `%(name)s`. Numbered once here, since psycopg would read the text for each run.
    """

    def __init__(self, text: str) -> None:
        self.names: list[str] = []
        self.text = re.sub(r"%\((\w+)\)s|%%", self._place, " ".join(text.split()))
        self._known = frozenset(self.names)

    def _place(self, found: re.Match[str]) -> str:
        name = found[1]
        if name is None:
            return "%"
        if name not in self.names:
            self.names.append(name)
        return f"${self.names.index(name) + 1}"

    def values(self, named: Mapping[str, Any]) -> list[Any]:
        """The values in the order of their numbers."""
        assert named.keys() == self._known, named.keys() ^ self._known
        return [named[name] for name in self.names]


def array(plain: Iterable[int | str]) -> str:
    """PostgreSQL's text of an array of numbers or of words that need no quotes.

    The client library takes five times as long to write a list.
    """
    return f"{{{','.join(map(str, plain))}}}"


class _Compiled:
    """One dialect's text, and how values become its parameters and its rows become values."""

    def __init__(self, statement: Any, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        self.text = str(compiled)
        self.numbered = Numbered(self.text) if dialect.name == "postgresql" else None
        self._binds = {
            name: (bind.type.dialect_impl(dialect).bind_processor(dialect), bind.effective_value)
            for bind, name in compiled.bind_names.items()
        }
        self._order: Sequence[str] | None = compiled.positiontup
        self._required = {name for bind, name in compiled.bind_names.items() if bind.required}
        columns = list(getattr(statement, "exported_columns", ()))
        self._converts: list[tuple[int, Convert]] = []
        for place, column in enumerate(columns):
            convert = column.type.dialect_impl(dialect).result_processor(dialect, None)
            if convert is not None:
                self._converts.append((place, convert))
        names = [column.key for column in columns]
        self._row: Any = namedtuple("Row", names, rename=True)  # type: ignore[misc]

    def parameters(self, values: dict[str, Any]) -> Any:
        """The values as the driver wants them: by place on SQLite, by name on PostgreSQL."""
        assert self._required == values.keys(), self._required ^ values.keys()
        found = {}
        for name, (convert, constant) in self._binds.items():
            value = values.get(name, constant)
            found[name] = value if convert is None else convert(value)
        return found if self._order is None else [found[name] for name in self._order]

    def rows(self, found: Sequence[Any]) -> list[Any]:
        """The driver's rows with our types and with names."""
        if not self._converts:
            return [self._row._make(row) for row in found]
        rows = []
        for row in found:
            values = list(row)
            for place, convert in self._converts:
                values[place] = convert(values[place])
            rows.append(self._row._make(values))
        return rows


class Prepared:
    """A statement with named parameters (`bindparam`), for both databases."""

    def __init__(self, build: Callable[[str], Executable]) -> None:
        self._build = build
        self._compiled: dict[str, _Compiled] = {}
        self.__doc__ = build.__doc__

    def rows(self, connection: Connection, **values: Any) -> list[Any]:
        """Runs it and returns its rows, with columns by name."""
        compiled = self.compiled(connection.dialect)
        return compiled.rows(self._run(connection, compiled, values).fetchall())

    def first(self, connection: Connection, **values: Any) -> Any | None:
        """Runs it and returns its first row, if there is one."""
        rows = self.rows(connection, **values)
        return rows[0] if rows else None

    def changes(self, connection: Connection, **values: Any) -> int:
        """Runs it and says how many rows it changed."""
        compiled = self.compiled(connection.dialect)
        return int(self._run(connection, compiled, values).rowcount)

    def compiled(self, dialect: Dialect) -> _Compiled:
        """What it is on this database."""
        found = self._compiled.get(dialect.name)
        if found is None:
            found = _Compiled(self._build(dialect.name), dialect)
            self._compiled[dialect.name] = found
        return found

    @staticmethod
    def _run(connection: Connection, compiled: _Compiled, values: dict[str, Any]) -> Any:
        parameters = compiled.parameters(values)
        if connection.dialect.name == "sqlite":
            raw = cast(sqlite3.Connection, connection.connection.dbapi_connection)
            return raw.execute(compiled.text, parameters)
        return connection.exec_driver_sql(compiled.text, parameters)


def prepared(build: Callable[[str], Executable]) -> Prepared:
    """Makes a prepared statement of the function that builds it."""
    return Prepared(build)
