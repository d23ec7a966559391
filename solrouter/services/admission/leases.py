"""Who does the periodic work, and the end of what the dead have left."""

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from solrouter import config, database
from solrouter.models import Lease
from solrouter.models.columns import db_now
from solrouter.services.admission import releasing


def lead(worker_id: str) -> bool:
    """Whether this process does the periodic work for the next while: one at a time does.

    It leads for half a lease. Where nobody has led for a while, the former leader neither, maybe
    nobody could report: who leads then gives everybody time for it.
    """
    lease_s = _lease_s()

    def verb(connection: Connection) -> bool:
        led_until = connection.execute(releasing.led_until()).scalar()
        upsert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        values = {"worker_id": worker_id, "expires_at": db_now(releasing.half(lease_s))}
        statement = upsert(Lease).values(name=releasing.CLOCK, **values)
        statement = statement.on_conflict_do_update(
            index_elements=[Lease.name],
            set_=values,
            where=(Lease.worker_id == worker_id) | (Lease.expires_at < db_now()),
        )
        if connection.execute(statement.returning(Lease.name)).first() is None:
            return False
        connection.execute(releasing.give_time(lease_s, led_until))
        return True

    return database.transact(verb, durable=False, ahead=True)


def expire() -> int:
    """Ends the requests of workers silent for a lease and those past their deadline; says how many.

    They are `interrupted` and cost nothing. While nobody leads, nobody is taken for silent.
    """
    lease_s = _lease_s()
    return database.transact(lambda connection: releasing.expire(connection, lease_s))


def expire_of(account_id: int) -> int:
    """`expire` for one account; mostly there is nothing, which a look tells."""
    lease_s = _lease_s()
    if not releasing.has_dead(account_id, lease_s):
        return 0
    return database.transact(lambda connection: releasing.expire(connection, lease_s, account_id))


def _lease_s() -> int:
    return int(config.current()["SOLROUTER_LEASE_S"])
