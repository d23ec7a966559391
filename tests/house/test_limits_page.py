"""The page on limits says the numbers that the code holds requests to."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from solrouter import media_tokens
from solrouter.blueprints.api import bodies, messages, preferences, schemas
from solrouter.services import limits
from tests.samples import DOCS_PAGES, without_fences

ROOT = Path(__file__).resolve().parents[2]
LIMITS = "".join(without_fences((DOCS_PAGES / "limits.md").read_text(encoding="utf-8")))
ROWS: Mapping[str, str] = {
    "| Depth of its JSON | {} levels |": str(bodies.JSON_DEPTH_MAX),
    "| Parts of one message | {} |": f"{messages.PARTS_PER_MESSAGE_MAX:,}",
    "| Images, files and sounds together | {} |": str(messages.MEDIA_PARTS_MAX),
    "| `tools` | {} |": str(schemas.TOOLS_MAX),
    "| `stop` | {} sequences": str(schemas.STOPS_MAX),
    "| `n` | {} answers |": str(schemas.CHOICES_MAX),
    "| `models` | {} to fall back to |": str(preferences.MODELS_MAX),
}


@pytest.mark.parametrize("row", ROWS)
def test_a_row_of_the_page_is_what_the_code_has(row: str) -> None:
    assert row.format(ROWS[row]) in LIMITS


@pytest.mark.parametrize("code", sorted(limits.CODES.values()))
def test_every_429_of_a_plan_is_on_the_page(code: str) -> None:
    assert f"| `{code}` |" in LIMITS


def test_a_line_and_a_header_are_as_long_as_the_server_takes() -> None:
    served = (ROOT / "gunicorn.conf.py").read_text()
    assert "limit_request_line = 8190" in served
    assert "limit_request_field_size = 8190" in served
    assert "| A request's line and each of its headers | 8,190 bytes |" in LIMITS


def test_the_most_that_a_picture_counts_is_on_its_page() -> None:
    vision = (DOCS_PAGES / "vision.md").read_text(encoding="utf-8")
    assert f"{media_tokens.IMAGE_TOKENS_MAX:,} tokens for a picture" in vision
    assert f"a request may hold {messages.MEDIA_PARTS_MAX} images" in vision.lower()
