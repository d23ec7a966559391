"""Notes to ourselves that a browser carries: it can neither read nor change them, nor give one for
another purpose, nor keep one for ever.
"""

import json
from typing import Any

from solrouter import clock, secrets


def seal(purpose: str, facts: Any) -> str:
    """The facts as a text that only this server can open."""
    note = {"for": purpose, "at": clock.utcnow().timestamp(), "facts": facts}
    return secrets.current().encrypt(json.dumps(note)).decode()


def unseal(purpose: str, text: str, *, age_s_max: float) -> Any | None:
    """The facts; None when the text is not such a note of ours, or too old."""
    try:
        note = json.loads(secrets.current().decrypt(text.encode()))
    except (secrets.Undecipherable, ValueError):
        return None
    if not isinstance(note, dict) or note.get("for") != purpose:
        return None
    is_late = clock.utcnow().timestamp() - note["at"] > age_s_max
    return None if is_late else note["facts"]
