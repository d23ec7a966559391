"""Who runs the server: an operator makes a user an operator, and takes it from another one again.

Never from oneself, so that somebody is left who can undo it; and never from the last. On the server
`accounts.set_operator` does both without asking.
"""

from sqlalchemy import Connection, select, update

from solrouter import database
from solrouter.errors import NotFound, Refused
from solrouter.models import User
from solrouter.services import audit, people


def appoint(user_id: int, *, by: int) -> None:
    """Makes the user an operator. Raises Refused where their address is not confirmed or they are
    shut out, and NotFound.
    """

    def verb(connection: Connection) -> None:
        query = select(User.email_verified_at, User.disabled_at).where(User.id == user_id)
        row = connection.execute(query.with_for_update()).one_or_none()
        if row is None:
            raise NotFound("There is no such user.")
        if row.email_verified_at is None or row.disabled_at is not None:
            raise Refused("Only who has a confirmed address and may sign in can be an operator.")
        _set(connection, user_id, True, by)

    database.transact(verb)


def dismiss(user_id: int, *, by: int) -> None:
    """Ends the user's rights as an operator, from their next request on. Raises Refused."""
    if user_id == by:
        raise Refused("You cannot take it from yourself. Another operator can.")

    def verb(connection: Connection) -> None:
        # All of them are locked, in one order: of two who dismiss each other, one is left.
        present = select(User.id).where(User.is_operator.is_(True), User.disabled_at.is_(None))
        left = set(connection.scalars(present.order_by(User.id).with_for_update())) - {user_id}
        if by not in left:
            raise Refused("You are no operator any more, or nobody would be left.")
        _set(connection, user_id, False, by)

    database.transact(verb)


def _set(connection: Connection, user_id: int, flag: bool, by: int) -> None:
    changed = update(User).where(User.id == user_id, User.is_operator.is_(not flag))
    if not connection.execute(changed.values(is_operator=flag)).rowcount:
        return
    connection.execute(
        audit.event(
            actor=f"user:{by}",
            action="user.operator" if flag else "user.no_operator",
            subject=f"user:{user_id}",
            account_id=people.own_account(user_id),
        )
    )
