"""The requests that the signed-in member may see: an owner and the keeper of money all of them, a
developer those of the keys that they made. What was asked and answered, where that is kept, is for
the owner and for whose key it was; the keeper of money sees what it cost.

For pages; every page that shows a request goes through here.
"""

from datetime import date

from solrouter.blueprints import guards, sessions
from solrouter.services import activity, contents, usage_days
from solrouter.services.activity import Filters, Found, Receipt
from solrouter.services.contents import Content
from solrouter.services.usage_days import Slice

READERS_OF_CONTENTS = guards.KEEPERS_OF_KEYS


def recent(*, limit: int, before: str | None = None) -> list[Receipt]:
    """Those that have ended, newest first. Raises NotFound for a `before` that is no id."""
    member = sessions.signed_in()
    return activity.recent(member.account_id, limit=limit, before=before, maker_id=maker_id())


def find(identifier: str) -> Receipt:
    """One of them. Raises NotFound, also for one that is there and is not theirs to see."""
    return activity.find(sessions.signed_in().account_id, identifier, maker_id=maker_id())


def page(filters: Filters, *, limit: int, before: str | None = None) -> Found:
    """Those that fit, newest first. Raises NotFound for a `before` that is no id."""
    account_id = sessions.signed_in().account_id
    return activity.page(account_id, filters, limit=limit, before=before, maker_id=maker_id())


def used(since: date) -> list[Slice]:
    """What they used and cost, by day, model and key."""
    return usage_days.of_account(sessions.signed_in().account_id, since, maker_id=maker_id())


def content_of(receipt: Receipt) -> Content | None:
    """What is kept of it; None where nothing is, or where it is not theirs to read."""
    member = sessions.signed_in()
    # What was asked is no business of an operator who looks at the account.
    if member.role not in READERS_OF_CONTENTS or member.is_viewing:
        return None
    return contents.find(member.account_id, activity.parse_id(receipt.id), maker_id=maker_id())


def maker_id() -> int | None:
    """By whose keys they were made; None: by anybody's."""
    member = sessions.signed_in()
    return member.user_id if member.role == guards.DEVELOPER else None
