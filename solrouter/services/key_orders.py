"""Keys made, changed and rotated by pages, commands and the API: with what `keys` cannot know.

A list of models names only models that there are. Under an `Idempotency-Key` a key is made or
rotated once, and whoever asks again is told the same text, which is kept for a day, sealed under
the asker's own key (`repeats`).
"""

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Connection

from solrouter.clock import new_id
from solrouter.errors import AnswerNotKept, Refused
from solrouter.services import catalogue, keys, repeats, rotations
from solrouter.services.key_rules import FREE, Rules
from solrouter.services.keys import Key, NewKey
from solrouter.services.repeats import Answered, Repeat

First = Callable[[Connection, str], None]


def create(
    account_id: int, *, rules: Rules, repeat: Repeat | None = None, **terms: Any
) -> tuple[NewKey, bool]:
    """`keys.create`, and whether it was done before. Raises what that raises, and AnswerNotKept,
    IdempotencyMismatch and RequestInProgress.
    """
    _refuse_unknown(rules.models_allowed)
    return _once(
        account_id,
        repeat,
        lambda first: keys.create(account_id, rules=rules, first=first, **terms),
    )


def change(account_id: int, public_id: str, **wishes: Any) -> Key:
    """`keys.change`. Raises what that raises."""
    models = wishes.get("rules", {}).get("models_allowed")
    if models is not None:
        known = keys.find(account_id, public_id).rules.models_allowed
        _refuse_unknown(models, known or ())
    return keys.change(account_id, public_id, **wishes)


def rotate(
    account_id: int, public_id: str, *, repeat: Repeat | None = None, **terms: Any
) -> tuple[NewKey, bool]:
    """`rotations.rotate`, and whether it was done before. Raises as `create` does."""
    return _once(
        account_id,
        repeat,
        lambda first: rotations.rotate(account_id, public_id, first=first, **terms),
    )


def _once(
    account_id: int, repeat: Repeat | None, act: Callable[[First | None], NewKey]
) -> tuple[NewKey, bool]:
    if repeat is None:
        return act(None), False

    def first(connection: Connection, told: str) -> None:
        order_id = new_id()
        repeats.take(connection, repeat, order_id)
        repeats.keep(connection, repeat, order_id, repeat.seal(told.encode()))

    try:
        return act(first), False
    except Answered as answered:
        public_id, _, text = answered.answer.decode().partition(" ")
        return NewKey(keys.find(account_id, public_id), text), True
    except AnswerNotKept:
        raise AnswerNotKept(
            "This was done for another key of your account, and only that key can see the answer. "
            "Use a new Idempotency-Key."
        ) from None


def _refuse_unknown(models: Iterable[str] | None, known: Iterable[str] = ()) -> None:
    """Raises Refused for a model that is neither in the catalogue nor known already."""
    snapshot = catalogue.fresh()
    authors = {model.author for model in snapshot.models.values()}
    for name in dict.fromkeys(text.strip() for text in models or ()):
        author, _, rest = name.partition("/")
        is_there = name in snapshot.models or (rest == "*" and author in authors)
        # What has no slash is for the rules to judge.
        if rest and not is_there and name != FREE and name not in known:
            raise Refused(
                f"There is no model “{name:.60}”. The list is on the Models page.",
                param="models_allowed",
            )
