"""The API keys that the signed-in member may see: an owner all of the account's, a developer those
that they made, the keeper of money none.

For pages; everything that a page shows or does with a key goes through here.
"""

from solrouter.blueprints import guards, sessions
from solrouter.errors import NotFound
from solrouter.services import keys
from solrouter.services.keys import Key


def visible() -> list[Key]:
    """Those in use first, then the newest."""
    return [key for key in keys.list_of(sessions.signed_in().account_id) if _is_visible(key)]


def in_use() -> list[Key]:
    """Those of them that work, the newest first."""
    return [key for key in visible() if key.status == "active"]


def find(public_id: str) -> Key:
    """One of them. Raises NotFound, also for a key that is there and is not theirs to see."""
    key = keys.find(sessions.signed_in().account_id, public_id)
    if not _is_visible(key):
        raise NotFound("There is no such key.")
    return key


def _is_visible(key: Key) -> bool:
    member = sessions.signed_in()
    if member.role == guards.OWNER:
        return True
    return member.role == guards.DEVELOPER and key.user_id == member.user_id
