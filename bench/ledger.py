"""What the books of a request cost the process: `python -m bench.ledger [--database …]`.

Proves a key, admits and settles, as the server does it under gevent, so many at once; says how much
CPU time of this process (threads included) each request took, and how many were done in a second.
The upstream and HTTP are left out.
"""

from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from contextlib import contextmanager  # noqa: E402
from pathlib import Path  # noqa: E402

import gevent  # noqa: E402
from flask import Flask  # noqa: E402

from bench.faults.databases import POSTGRESQL, SQLITE, Databases, settings  # noqa: E402
from solrouter import create_app, database  # noqa: E402
from solrouter.chat import Usage  # noqa: E402
from solrouter.clock import utcnow  # noqa: E402
from solrouter.services import admission, billing, catalogue, keys  # noqa: E402
from solrouter.services.admission import Ask, Ending  # noqa: E402
from tests.factories import MODEL, Person, make_offer, make_person  # noqa: E402

WORKER = "bench-worker"
AT_ONCE = (1, 16, 64)
PLAN = "pro"


def main() -> int:
    """Measures each database with one hot account and with many; 1 when the audit is not clean."""
    parser = argparse.ArgumentParser(prog="python -m bench.ledger", description=__doc__)
    parser.add_argument("--database", choices=[SQLITE, POSTGRESQL, "both"], default="both")
    parser.add_argument("--requests", type=int, default=2_000)
    options = parser.parse_args()
    kinds = (SQLITE, POSTGRESQL) if options.database == "both" else (options.database,)
    is_clean = True
    with tempfile.TemporaryDirectory(prefix="ledger-") as name, Databases(Path(name)) as databases:
        for kind in kinds:
            for accounts in (1, 100):
                with _opened(databases.fresh(kind), Path(name), accounts) as (app, people):
                    for at_once in AT_ONCE:
                        _measure(app, people, kind, at_once, options.requests)
                    with app.app_context():
                        is_clean &= not list(billing.audit())
    return 0 if is_clean else 1


@contextmanager
def _opened(url: str, folder: Path, accounts: int) -> Iterator[tuple[Flask, list[Person]]]:
    app = create_app(settings(url, folder))
    make_offer(app, "http://127.0.0.1:9/v1")
    people = [
        make_person(app, f"person-{number}@example.com", credit="1000", plan=PLAN)
        for number in range(accounts)
    ]
    with app.app_context():
        admission.beat(WORKER)
    yield app, people
    with app.app_context():
        database.current().close()


def _measure(app: Flask, people: list[Person], kind: str, at_once: int, requests: int) -> None:
    numbers = iter(range(requests))

    def work() -> None:
        with app.app_context():
            for number in numbers:
                _request(people[number % len(people)])

    with app.app_context():
        for person in people[:8] * 2:
            _request(person)
    began_s, began_cpu_s = time.monotonic(), time.process_time()
    gevent.joinall([gevent.spawn(work) for _ in range(at_once)], raise_error=True)
    took_s, cpu_s = time.monotonic() - began_s, time.process_time() - began_cpu_s
    sys.stdout.write(
        f"{kind:10} {len(people):3} accounts {at_once:3} at once: "
        f"{cpu_s / requests * 1e6:6.0f} µs CPU a request, {requests / took_s:6.0f} requests/s\n"
    )
    sys.stdout.flush()


def _request(person: Person) -> None:
    snapshot = catalogue.current()
    ask = Ask(
        principal=keys.authenticate(person.key_text),
        requested_model=MODEL,
        offer=snapshot.models[MODEL].offers[0],
        catalogue_version=snapshot.version,
        prompt_bound=1_000,
        output_limit=1_000,
        is_named=True,
        choices=1,
        streamed=False,
        worker_id=WORKER,
        lifetime_s=600,
        at=utcnow(),
    )
    admitted = admission.admit(ask)
    usage = Usage(input=1_000, output=900)
    ending = Ending(
        model=MODEL,
        offer=ask.offer,
        outcome=admission.FINISHED,
        reason="stop",
        usage=usage,
        usage_source="upstream",
        cost_nanos=2_800_000,
        upstream_cost_nanos=2_800_000,
        attempts=[{"provider": "acme", "status": 200}],
        duration_ms=1,
    )
    admission.settle(admitted, ending)


if __name__ == "__main__":
    sys.exit(main())
