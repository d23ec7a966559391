"""Counting tokens without a network: exact for o200k, quick on hostile text."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solrouter import media_tokens, tokens


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("hello world", 2),
        ("The meaning of life is a deeply philosophical question...", 10),
        ("<|endoftext|>", 7),
        ("Grüße aus 東京", 5),
    ],
)
def test_known_texts_have_their_known_counts(text: str, count: int) -> None:
    assert tokens.count(text) == count


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=300))
def test_no_text_is_more_tokens_than_bytes(text: str) -> None:
    assert tokens.count(text) <= len(text.encode("utf-8", "replace"))


@pytest.mark.parametrize("text", ["a" * 200_000, " " * 200_000, "\n" * 200_000, "€" * 60_000])
def test_hostile_text_is_counted_all_the_same(text: str) -> None:
    assert 0 < tokens.count(text) <= len(text.encode())


def test_text_beyond_the_maximum_is_estimated() -> None:
    assert tokens.count("x" * (tokens.COUNTED_BYTES_MAX + 4)) == tokens.COUNTED_BYTES_MAX // 4 + 1


def test_counting_asks_no_network() -> None:
    """In a process that cannot open a socket."""
    code = (
        "import socket\n"
        "def refuse(*a, **k): raise SystemExit('a socket was opened')\n"
        "socket.socket.connect = refuse\n"
        "from solrouter import tokens\n"
        "assert tokens.count('hello world') == 2\n"
    )
    result = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert result.returncode == 0, result.stderr.decode()


def test_a_prompt_counts_its_texts_its_tools_and_its_images() -> None:
    text = {"type": "text", "text": "hello world"}
    body = {
        "messages": [
            {"role": "user", "content": "hello world"},
            {"role": "user", "content": [text, {"type": "image_url"}]},
        ]
    }
    plain = tokens.count_prompt(body)
    assert plain == 3 + 2 * 4 + 5 + media_tokens.IMAGE_TOKENS_LIKELY
    tools = [{"type": "function", "function": {"name": "weather"}}]
    assert tokens.count_prompt({**body, "tools": tools}) > plain
