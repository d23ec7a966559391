"""What adapter tests share: a provider as a program, and calls to it."""

from collections.abc import Iterator

import pytest

from tests.fakes.upstream import FakeUpstream


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    """A provider on a real port that does what the test says."""
    with FakeUpstream() as fake:
        yield fake
