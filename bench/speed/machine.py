"""What the operating system knows: cores, and the time and memory of processes. Linux only."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024


def cores() -> tuple[int, int]:
    """The core of what is measured, and the core of all that measures it."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


@contextmanager
def on_cores(wanted: Iterable[int]) -> Iterator[None]:
    """Processes that are started inside run on these cores; we come back to our own."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, wanted)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def move(pids: Iterable[int], core: int) -> bool:
    """Puts running processes on a core; whether we were allowed to."""
    try:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.sched_setaffinity(pid, {core})
    except PermissionError:
        return False
    return True


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        try:
            tasks = list(Path(f"/proc/{one}/task").iterdir())
            children = [(task / "children").read_text().split() for task in tasks]
        except OSError:
            continue
        found.append(one)
        waiting += [int(child) for some in children for child in some]
    return found


def cpu_s(pids: Iterable[int]) -> float:
    """The CPU time that these processes have used, in user and in kernel mode."""
    return sum(_ticks(pid) for pid in pids) / TICKS_PER_S


def _ticks(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    fields = text.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def rss_mb(pids: Iterable[int]) -> float:
    """The resident memory of these processes; what they share counts once for each."""
    pages = 0
    for pid in pids:
        with suppress(OSError):
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * PAGE_KB / 1024


def busy_s() -> float:
    """The CPU time that the whole machine has used since it started."""
    user, nice, system, _, _, irq, softirq, steal = (
        int(text) for text in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / TICKS_PER_S
