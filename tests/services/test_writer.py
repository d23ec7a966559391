"""SQLite's writing thread as a server runs it: under gevent's patch, in a process of its own."""

import subprocess
import sys

from tests.served import ROOT

BEGIN = """
from gevent import monkey; monkey.patch_all()
import gevent, time
from gevent.hub import Waiter
from sqlalchemy import create_engine
from solrouter.database import writer

CALLERS = 50
thread = writer.Writer(create_engine("sqlite://"))
hold = monkey.get_original("threading", "Event")()
def first(connection):
    hold.wait(10)
def write(number):
    value = thread.run(lambda connection: number, durable=False)
    done(number)
    return value
def crowd():
    "Callers whose writes are committed together, behind one that keeps the thread busy."
    gevent.spawn(thread.run, first, durable=False)
    found = [gevent.spawn(write, number) for number in range(CALLERS)]
    gevent.sleep(0.1)
    hold.set()
    return found
"""
TURNS = """
looks = []
loop = gevent.get_hub().loop
watcher = loop.check()
watcher.start(lambda: looks.append(time.monotonic()))
ends = []
def done(number):
    began_s = time.monotonic()
    while time.monotonic() - began_s <= writer.TURN_S:
        pass
    ends.append(time.monotonic())
callers = crowd()
gevent.joinall(callers, timeout=30)
assert sorted(caller.value for caller in callers) == list(range(CALLERS))
print(sum(any(a <= look <= b for look in looks) for a, b in zip(ends, ends[1:])))
thread.close()
"""
CLOSED = """
hub = gevent.get_hub()
bell = writer._Bell(hub)
waiters = [Waiter(hub) for _ in range(CALLERS)]
def wait(number):
    waiters[number].get()
    if number == 0:
        bell.close()
    began_s = time.monotonic()
    while time.monotonic() - began_s <= writer.TURN_S:
        pass
callers = [gevent.spawn(wait, number) for number in range(CALLERS)]
gevent.sleep(0)
bell.ring(waiters)
gevent.joinall(callers, timeout=30)
print(sum(caller.ready() for caller in callers))
"""


def told_by(program: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", BEGIN + program],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_the_loop_looks_at_other_lines_while_a_crowd_goes_on() -> None:
    """Each who goes on takes a whole turn: between any two of them the loop has looked."""
    assert told_by(TURNS) == "49"


def test_nobody_waits_for_ever_when_the_writer_closes_meanwhile() -> None:
    assert told_by(CLOSED) == "50"
