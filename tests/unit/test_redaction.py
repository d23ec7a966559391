"""What is, or looks like, a secret does not leave: by its shape, and by its very text."""

import logging
from collections.abc import Callable, Iterator

import pytest
from flask import Flask

from solrouter import logs, redaction
from solrouter.redaction import BLANK
from solrouter.services.key_text import make_text


@pytest.fixture(autouse=True)
def _forgetful() -> Iterator[None]:
    before = set(redaction._known)
    yield
    redaction._known.clear()
    redaction._known.update(before)


@pytest.mark.parametrize(
    "secret",
    [
        "sr_" + "Ab3" * 14 + "Zz",
        "sk-proj-0123456789abcdef",
        "sk-ant-api03-0123456789",
        "gsk_0123456789abcdef",
        "xai-0123456789abcdef",
        "ghp_0123456789abcdef",
        "AIzaSyA0123456789abcdef",
        "whsec_0123456789",
        "Bearer anything-at-all",
        "bearer   anything",
    ],
)
@pytest.mark.parametrize("around", ["{}", "key={}&x=1", '{{"k": "{}"}}', "a {} b", "'{}'"])
def test_a_shape_is_blanked(secret: str, around: str) -> None:
    word = secret.rsplit(maxsplit=1)[-1]
    assert word not in redaction.redacted(around.format(secret))


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("postgresql://ann:pa55@db:5432/x", f"postgresql://{BLANK}@db:5432/x"),
        ("redis://:pa55@db/0", f"redis://{BLANK}@db/0"),
        ("Cookie: solrouter=" + "a" * 43, f"Cookie: solrouter={BLANK}"),
    ],
)
def test_passwords_in_addresses_and_cookies(text: str, left: str) -> None:
    assert redaction.redacted(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "GET /v1/models 200 1.0ms id=req_0123456789abcdef",
        "the key key_0123456789abcdef of acct_0123456789abcdef",
        "https://example.com:8000/path@x",
        "sr_short",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redaction.redacted(text) == text


def test_what_is_known_is_blanked_whatever_it_looks_like() -> None:
    redaction.remember("correct horse", None, "", "short", "smtp://ann:p%40ss-word@mail:25")
    text = "correct horse, p%40ss-word and p@ss-word, but short"
    assert redaction.redacted(text) == f"{BLANK}, {BLANK} and {BLANK}, but short"


def test_the_password_of_the_mail_server_is_known(make_app: Callable[..., Flask]) -> None:
    url = "smtp://ann:p%40ss-word-of-mail@mail.example.com"
    make_app(SMTP_URL=url, SOLROUTER_BASE_URL="https://llm.example.com")
    for said in ("p@ss-word-of-mail", "p%40ss-word-of-mail"):
        assert redaction.redacted(f"535 {said} refused") == f"535 {BLANK} refused"


def test_values_within_values() -> None:
    redaction.remember("a-known-secret")
    value = {"name": ["a-known-secret", 1, None, {"a-known-secret": True}], "n": 1.5}
    assert redaction.cleaned(value) == {"name": [BLANK, 1, None, {BLANK: True}], "n": 1.5}


def record(message: str, *arguments: object, error: bool = False) -> logging.LogRecord:
    import sys

    found = sys.exc_info() if error else None
    return logging.LogRecord("x", logging.ERROR, "f.py", 1, message, arguments, found)


def test_a_traceback_and_its_causes_are_blanked() -> None:
    key = make_text()
    redaction.remember("a-known-secret")
    formatter = logs.Redaction(logs.LINE)
    try:
        try:
            raise ValueError(f"inner {key}")
        except ValueError as inner:
            raise RuntimeError("outer a-known-secret") from inner
    except RuntimeError:
        text = formatter.format(record("fault of %s", key, error=True))
    assert "RuntimeError" in text and "ValueError" in text
    assert key not in text and "a-known-secret" not in text


@pytest.mark.parametrize(
    ("line", "left"),
    [
        (
            "Invalid request from ip=127.0.0.1: Invalid HTTP Header: 'Cookie typed by hand'",
            "Invalid request from ip=127.0.0.1",
        ),
        (
            "Invalid request from ip=::1: Invalid HTTP request line: 'a'",
            "Invalid request from ip=::1",
        ),
        ("Error handling request GET /models?q=typed", "Error handling request GET /models"),
        ("Error handling request /models?q=typed", "Error handling request /models"),
        (
            f"Error handling request /password/reset/{'t' * 43}",
            "Error handling request /password/reset/-token-",
        ),
        ("Booting worker with pid: 7", "Booting worker with pid: 7"),
    ],
)
def test_the_servers_own_lines_repeat_nothing_that_was_sent(line: str, left: str) -> None:
    formatter = logs.ServersRedaction(logging.Formatter("%(message)s"))
    assert formatter.format(record(line)) == left


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("bad value “my secret diary” here", f"bad value “{BLANK}” here"),
        ("Your secrets", "Your secrets"),
        ("the model is not known", "the model is not known"),
        ("secret diary", BLANK),
        ("my secret", "my secret"),
        ("", ""),
    ],
)
def test_an_echo_of_what_was_said_is_blanked(text: str, left: str) -> None:
    said = {
        "messages": [{"content": ["It is\nmy secret   diary", {"url": "data:the model is not"}]}]
    }
    assert redaction.without_echo(text, said) == left


def test_an_echo_that_would_take_too_long_to_find_is_not_quoted() -> None:
    assert redaction.without_echo("any words", "x" * redaction.ECHOED_CHARACTERS_MAX + "y") == ""


def test_a_line_tells_its_time_in_utc() -> None:
    line = record("hello")
    line.created, line.msecs = 0.0, 7.0
    assert logs.Redaction(logs.LINE).format(line).startswith("1970-01-01 00:00:00.007Z ERROR x")
