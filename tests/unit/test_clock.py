"""Ids in time order."""

import uuid
from datetime import UTC, datetime, timedelta

from solrouter.clock import first_id_at, new_id, time_of


def test_ids_sort_as_they_were_made() -> None:
    """Within a millisecond too: what one process does in it must not be told in another order."""
    made = [new_id() for _ in range(10_000)]
    assert made == sorted(made)
    in_one_millisecond = len(made) - len({one.int >> 80 for one in made})
    assert in_one_millisecond > len(made) // 2
    assert len(set(made)) == len(made)


def test_an_id_is_a_uuid_of_version_seven_and_tells_its_time() -> None:
    before = datetime.now(UTC)
    made = new_id()
    after = datetime.now(UTC)
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert before - timedelta(milliseconds=1) <= time_of(made) <= after
    assert first_id_at(time_of(made)) <= made < first_id_at(time_of(made) + timedelta(seconds=1))
