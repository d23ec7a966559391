"""Between the two steps of a sign-in: who has given the password and not yet the code.

A sealed note in the passing cookie, good for some minutes and until the password changes. It stands
for nobody: no session is there before the second step.
"""

from dataclasses import dataclass

from flask import session

from solrouter.blueprints import sealed
from solrouter.services import sign_ins

KEPT_S = 300
NOTE = "half_way"


@dataclass(frozen=True, slots=True)
class Waiting:
    """Whose second step is waited for, and the mark of the password of the first."""

    user_id: int
    mark: str


def begin(user_id: int, mark: str | None) -> None:
    """Notes that this browser has done the first step for the user, with what password if any."""
    session[NOTE] = sealed.seal(NOTE, [user_id, mark or sign_ins.half_way(user_id)])


def waiting() -> Waiting | None:
    """Who is waited for in this browser; None for nobody, or too late."""
    note = session.get(NOTE) if session else None
    facts = sealed.unseal(NOTE, note, age_s_max=KEPT_S) if note else None
    if facts is None:
        return None
    user_id, mark = facts
    is_same = mark is not None and mark == sign_ins.half_way(user_id)
    return Waiting(int(user_id), str(mark)) if is_same else None


def forget() -> None:
    """Ends the wait."""
    session.pop(NOTE, None)
