"""Python runs this at the start of the watched server: at a signal it tells what it is made of.

Only a process itself knows its greenlets. The signals are ones that neither gunicorn nor gevent
uses. At the second the garbage is collected first: what is left then is held by somebody.
"""

import gc
import json
import os
import signal
import sys
import threading
from collections import Counter
from pathlib import Path

TELL = signal.SIGRTMIN
TELL_COLLECTED = signal.SIGRTMIN + 1
TYPES_TOLD = 40


def tell(number: int, _: object) -> None:
    """Writes the counts to a file of this process's own, whole or not at all."""
    if number == TELL_COLLECTED:
        gc.collect()
    objects = gc.get_objects()
    greenlet = sys.modules.get("greenlet")
    alive = 0
    if greenlet is not None:
        # True of one that has begun and not ended.
        alive = sum(isinstance(one, greenlet.greenlet) and bool(one) for one in objects)
    types = Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in objects)
    told = {
        "greenlets": alive,
        "threads": threading.active_count(),
        "objects": len(objects),
        "types": dict(types.most_common(TYPES_TOLD)),
    }
    path = Path(os.environ["SOAK_FOLDER"]) / f"{os.getpid()}.json"
    path.with_suffix(".new").write_text(json.dumps(told))
    path.with_suffix(".new").rename(path)


if os.environ.get("SOAK_FOLDER"):
    for number in (TELL, TELL_COLLECTED):
        signal.signal(number, tell)
