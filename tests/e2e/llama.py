"""Starts llama.cpp's own server in the environment that `make test-real` made for it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.served import ROOT, free_port

PYTHON = ROOT / ".venv-real" / "bin" / "python"
PROGRAM = ROOT / "tests" / "e2e" / "llama_server.py"
ENDED_WITHIN_S = 30
CONTEXT_TOKENS = 2048
# Enough to stop early in; the model would often go on to the end of its context.
OUTPUT_TOKENS_MAX = 128
# 0.02 and 0.06 USD for a million tokens, in nanodollars a token.
INPUT_NANOS, OUTPUT_NANOS = 20, 60
TERMS = (
    *("--upstream", "smollm2", "--input", "0.02", "--output", "0.06"),
    *("--context", str(CONTEXT_TOKENS), "--max-output", str(OUTPUT_TOKENS_MAX)),
)


@contextmanager
def running(log_path: Path) -> Iterator[str]:
    """The server's base URL while it runs, its model loaded."""
    with (
        log_path.open("wb") as log,
        subprocess.Popen(
            [PYTHON, PROGRAM, str(free_port())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://"), log_path.read_text(errors="replace")
        yield url
        process.stdin.close()
        process.wait(ENDED_WITHIN_S)
