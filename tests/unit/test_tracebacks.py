"""What nobody caught is told in our log's form, without what is secret in it; by real processes,
since the hooks are the process's own.
"""

import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT

KNOWN, KEY = "a-known-secret-of-the-settings", "sr_" + "k" * 44
BEGIN = f"""
from gevent import monkey
monkey.patch_all()
import gevent, sys, threading
from gevent.threadpool import ThreadPool
from solrouter import redaction, tracebacks
redaction.remember("{KNOWN}")
tracebacks.take_over()

def fail(*said):
    raise ValueError(f"cannot read {KNOWN} of {KEY}")

class Untidy:
    def __del__(self):
        fail()

    def __repr__(self):
        return "{KNOWN}"
"""
WAYS = {
    "greenlet": "gevent.spawn(fail, '{KEY}').join()",
    "callback": "gevent.get_hub().loop.run_callback(fail, '{KEY}'); gevent.sleep(0.01)",
    "timer": "t = gevent.get_hub().loop.timer(0); t.start(fail, '{KEY}'); gevent.sleep(0.05)",
    "native thread": "ThreadPool(1).apply(lambda: gevent.spawn(fail, '{KEY}').join())",
    "thread": "t = threading.Thread(target=fail, args=('{KEY}',)); t.start(); t.join()",
    "finaliser": "Untidy(); gevent.sleep(0)",
    "process": "fail('{KEY}')",
}


@pytest.mark.parametrize("way", WAYS)
def test_what_nobody_caught_is_told_without_secrets(way: str) -> None:
    source = BEGIN + WAYS[way].format(KEY=KEY)
    done = subprocess.run(
        [sys.executable, "-c", source],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    told = done.stderr
    assert re.search(r"^[\d-]+ [\d:.]+Z ERROR solrouter\.uncaught uncaught in ", told, re.M), told
    assert "ValueError: cannot read [redacted] of [redacted]" in told and "in fail" in told
    assert KNOWN not in told and KEY not in told
    assert done.returncode == (1 if way == "process" else 0)
