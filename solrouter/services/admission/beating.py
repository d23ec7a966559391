"""A process says that it lives, a few times in each lease; and knows whether it was heard."""

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from solrouter import database
from solrouter.errors import DatabaseUnavailable
from solrouter.models import Worker
from solrouter.models.columns import db_now


class _Last:
    """How it went the last time. Before the first time nothing speaks against it."""

    was_heard = True


def beat(worker_id: str) -> None:
    """Renews this process's lease, which all its holds live by. Raises DatabaseUnavailable."""

    def verb(connection: Connection) -> None:
        upsert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        statement = upsert(Worker).values(id=worker_id, started_at=db_now(), seen_at=db_now())
        connection.execute(
            statement.on_conflict_do_update(index_elements=[Worker.id], set_={"seen_at": db_now()})
        )

    last = database.current().remembered("beating", _Last)
    try:
        database.transact(verb, durable=False, ahead=True)
    except DatabaseUnavailable:
        last.was_heard = False
        raise
    last.was_heard = True


def is_heard() -> bool:
    """Whether the database took the last beat; one whose disk is full answers and takes none."""
    return database.current().remembered("beating", _Last).was_heard
