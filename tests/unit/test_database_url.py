"""DATABASE_URL: what it may be, and that a refusal says nothing of the password in it."""

from pathlib import Path

import pytest
from sqlalchemy import make_url

from solrouter import redaction
from solrouter.config import UnsafeConfiguration
from solrouter.config.surroundings import database_url

INSTANCE = Path("/srv/instance")


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("", "sqlite:////srv/instance/solrouter.sqlite3"),
        ("sqlite:///beside us/a.sqlite3", "sqlite:///beside us/a.sqlite3"),
        ("postgres://u:p@h/db", "postgresql+psycopg://u:p@h/db"),
        ("postgresql://u@[::1]:5432/db", "postgresql+psycopg://u@[::1]:5432/db"),
        ("postgresql:///db?host=/run/pg", "postgresql+psycopg:///db?host=%2Frun%2Fpg"),
        ("postgresql://u:p%40q@h/db", "postgresql+psycopg://u:p%40q@h/db"),
        ("postgresql://u:p@h/db?sslmode=require", "postgresql+psycopg://u:p@h/db?sslmode=require"),
    ],
)
def test_it_is_read_as_sqlalchemy_spells_it(given: str, read: str) -> None:
    assert database_url(given, instance_path=INSTANCE) == read


@pytest.mark.parametrize("sign", ["/", "#", ":", "?", "%2F"])
def test_a_password_that_can_be_read_is_known_to_the_net(sign: str) -> None:
    """`urlsplit` alone would find no password, or half of one, where a sign is not encoded."""
    read = database_url(f"postgresql://u:canary{sign}of-signs@h/db", instance_path=INSTANCE)
    password = make_url(read).password
    assert password == f"canary{sign if len(sign) == 1 else '/'}of-signs"
    redaction.remember(read)
    assert password not in redaction.redacted(f"the password is {password}")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("postgresql://u:ca/nary@canary@h/db", "Percent-encode / @ : #"),
        ("postgresql://u:ca/nary", "Percent-encode / @ : #"),
        ("postgresql://u:x@canary:nary/db", "Percent-encode / @ : #"),
        ("postgresql://u:canary@h:port/db", "USER:PASSWORD@HOST:PORT"),
        ("postgresql://u:canary@h:/db", "USER:PASSWORD@HOST:PORT"),
        ("postgresql://u:canary@h/db?foo=canary", 'invalid connection option "foo"'),
        ("postgresql:canary", "must begin with postgresql://"),
        ("sqlite:nonsense", "sqlite:/// and the path of a file"),
        ("sqlite://", "sqlite:/// and the path of a file"),
        ("sqlite:///", "sqlite:/// and the path of a file"),
        ("sqlite://host/path", "sqlite:/// and the path of a file"),
        ("sqlite:////tmp/a.sqlite3?foo=bar", "takes no options"),
        ("sqlite:///:memory:", "a database in memory"),
    ],
)
def test_what_cannot_be_read_is_refused_without_its_value(given: str, words: str) -> None:
    with pytest.raises(UnsafeConfiguration) as refused:
        database_url(given, instance_path=INSTANCE)
    assert words in str(refused.value)
    assert "nary" not in str(refused.value)
    assert refused.value.__cause__ is None
