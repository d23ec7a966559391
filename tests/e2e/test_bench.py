"""`make bench` in a few seconds: it runs, judges answers and leaves a page. Never a timing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.faults.databases import SQLITE
from bench.speed.answers import Expected
from bench.speed.scenarios import SIZES
from bench.speed.shapes import Shape
from tests.conftest import require
from tests.served import ROOT

TARGETS = ("direct", "floor", f"solrouter-{SQLITE}")
HEAD_END = b"\r\n\r\n"


def test_a_tiny_run_leaves_figures_and_a_page(tmp_path: Path) -> None:
    require("Linux's /proc and processor affinity", hasattr(os, "sched_getaffinity"))
    command = (sys.executable, "-m", "bench.speed", "--tiny", "--out", str(tmp_path))
    done = subprocess.run(
        [*command, "--targets", *TARGETS],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "performance.json").read_text())
    assert [one["name"] for one in result["targets"]] == list(TARGETS)
    assert result["missing"] == {}
    measured = {(one["target"], one["scenario"]) for one in result["samples"]}
    wanted = {(target, one.name) for target in TARGETS for one in SIZES["tiny"]}
    assert measured == wanted - {("direct", "gap")}
    for sample in result["samples"]:
        assert sample["errors"] == 0, sample["faults"]
        assert sample["right"] > 0
        assert {"requests_per_s", "cpu_us", "p50_ms", "p99_ms", "others_cores"} <= set(sample)
        assert result["medians"][sample["target"]][sample["scenario"]]["right"] > 0
    [ours] = [one for one in result["targets"] if one["name"] == f"solrouter-{SQLITE}"]
    assert ours["books"].endswith("the audit found nothing")
    page = (tmp_path / "performance.md").read_text()
    assert all(one["title"] in page and one["title"] in done.stdout for one in result["targets"])
    assert (tmp_path / "performance.svg").read_text().startswith("<svg")


@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(b"200 OK", b"502 Bad Gateway", id="status"),
        pytest.param(b" tok7", b" t0k7", id="content"),
        pytest.param(b'"completion_tokens":', b'"completion_tokens":1', id="usage"),
    ],
)
def test_a_wrong_answer_is_found(is_streamed: bool, before: bytes, after: bytes) -> None:
    shape = Shape(20)
    answer = _answer(shape, is_streamed=is_streamed)
    judge = Expected(shape, is_streamed)
    # The first is compared to the letter, the second only counted.
    for _ in range(2):
        assert judge(answer, answer.index(HEAD_END)) == ""
    wrong = answer.replace(before, after)
    assert wrong != answer
    assert judge(wrong, wrong.index(HEAD_END)) != ""


def test_a_stream_that_never_says_that_it_is_done_is_wrong() -> None:
    shape = Shape(20)
    answer = _answer(shape, is_streamed=True).replace(b"[DONE]", b"[GONE]")
    assert Expected(shape, True)(answer, answer.index(HEAD_END)) != ""


def _answer(shape: Shape, *, is_streamed: bool) -> bytes:
    if not is_streamed:
        # As a program that writes JSON without blanks would send it.
        return shape.whole().replace(b'_tokens": ', b'_tokens":')
    head, contents, end = shape.pieces()
    return b"".join((head, *contents, end))
