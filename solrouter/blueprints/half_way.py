"""Between the two steps of a sign-in: who has given the password and not yet the code.

A sealed note in the passing cookie, good for some minutes and until the password changes. It stands
for nobody: no session is there before the second step.
"""

from flask import session

from solrouter.blueprints import sealed
from solrouter.services import sign_ins

KEPT_S = 300
NOTE = "half_way"


def begin(user_id: int) -> None:
    """Notes that this browser has done the first step for the user."""
    session[NOTE] = sealed.seal(NOTE, [user_id, sign_ins.half_way(user_id)])


def user_id() -> int | None:
    """Whose second step is waited for in this browser; None for nobody's, or too late."""
    note = session.get(NOTE) if session else None
    facts = sealed.unseal(NOTE, note, age_s_max=KEPT_S) if note else None
    if facts is None:
        return None
    waiting, mark = facts
    is_same = mark is not None and mark == sign_ins.half_way(waiting)
    return int(waiting) if is_same else None


def forget() -> None:
    """Ends the wait."""
    session.pop(NOTE, None)
