"""The requests that the signed-in member may see: an owner and the keeper of money all of them, a
developer those of the keys that they made. What was asked and answered, where that is kept, is for
the owner and for whose key it was; the keeper of money sees what it cost.

For pages; every page that shows a request goes through here.
"""

from solrouter.blueprints import guards, sessions
from solrouter.services import activity, contents
from solrouter.services.activity import Receipt, Summary
from solrouter.services.contents import Content

READERS_OF_CONTENTS = guards.KEEPERS_OF_KEYS


def recent(*, limit: int, before: str | None = None) -> list[Receipt]:
    """Those that have ended, newest first. Raises NotFound for a `before` that is no id."""
    member = sessions.signed_in()
    return activity.recent(member.account_id, limit=limit, before=before, maker_id=maker_id())


def find(identifier: str) -> Receipt:
    """One of them. Raises NotFound, also for one that is there and is not theirs to see."""
    return activity.find(sessions.signed_in().account_id, identifier, maker_id=maker_id())


def summary() -> Summary:
    """What they cost today and this month."""
    return activity.summary(sessions.signed_in().account_id, maker_id=maker_id())


def content_of(receipt: Receipt) -> Content | None:
    """What is kept of it; None where nothing is, or where it is not theirs to read."""
    member = sessions.signed_in()
    if member.role not in READERS_OF_CONTENTS:
        return None
    return contents.find(member.account_id, activity.parse_id(receipt.id), maker_id=maker_id())


def maker_id() -> int | None:
    """By whose keys they were made; None: by anybody's."""
    member = sessions.signed_in()
    return member.user_id if member.role == guards.DEVELOPER else None
