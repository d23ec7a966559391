"""The receivers on the docs page, as they stand there: they take what is ours and nothing else."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import requests
from standardwebhooks import Webhook

from solrouter.clock import utcnow
from solrouter.services import webhooks
from solrouter.services.webhook_queue import body_of
from tests.conftest import node_is_ready, require
from tests.samples import DOCS_PAGES, samples

SAMPLES = samples(DOCS_PAGES / "webhooks.md")
SUFFIXES = {"python": "py", "js": "mjs"}
WAIT_S = 20


@contextmanager
def receiving(name: str, folder: Path, secret: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The sample as a program, and where it listens."""
    sample = SAMPLES[name]
    path = folder / f"receiver.{SUFFIXES[sample.language]}"
    path.write_text(sample.code)
    program = "node" if sample.language == "js" else sys.executable
    process = subprocess.Popen(
        [program, str(path)],
        env={**os.environ, "WEBHOOK_SECRET": secret, "PORT": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        found = re.search(r"port (\d+)", process.stdout.readline())
        assert found
        yield f"http://127.0.0.1:{found[1]}/", process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize(
    "name", ["python-webhook", pytest.param("node-webhook", marks=pytest.mark.node)]
)
def test_the_sample_takes_what_is_ours(name: str, tmp_path: Path) -> None:
    if name.startswith("node"):
        require("Node.js", node_is_ready())
    secret, body, now = webhooks.new_secret(), body_of("test", {"é": "ü"}), utcnow()

    def headers(secret: str, minutes: int = 0) -> dict[str, str]:
        at = now - timedelta(minutes=minutes)
        return {
            "webhook-id": "msg_1",
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(secret).sign("msg_1", at, body),
        }

    stranger = headers(webhooks.new_secret())
    ours = headers(secret)
    several = {**ours, "webhook-signature": f"v2,x {stranger['webhook-signature']} "
               f"{ours['webhook-signature']}"}  # fmt: skip
    with receiving(name, tmp_path, secret) as (url, process):

        def status(sent: dict[str, str], text: str = body) -> int:
            answer = requests.post(url, data=text.encode(), headers=sent, timeout=WAIT_S)
            return answer.status_code

        assert status(stranger) == 400
        assert status({}) == 400
        assert status(ours, body.replace("ü", "u")) == 400
        assert status(headers(secret, minutes=10)) == 400
        assert status(ours) == 204
        assert status(several) == 204
        assert process.stdout is not None and process.stdout.readline().startswith("test")


def test_the_message_on_the_page_is_such_a_one() -> None:
    import json

    shown = json.loads(SAMPLES["webhook-message"].code)
    assert list(shown) == list(json.loads(body_of("balance.low", {})))
