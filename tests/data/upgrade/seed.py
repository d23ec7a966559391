"""Makes the data of an earlier version, by that version's own code and server.

Run in a tree of that version: `python seed.py DATABASE_URL FOLDER`. Prints what the test must find
again. README.md beside this file says how the dumps were made.
"""

import json
import signal
import sys
import time
from pathlib import Path

import requests

sys.path.insert(0, ".")

from bench.faults.books import Books
from bench.faults.upstream import Upstream
from solrouter import create_app
from solrouter.money import parse_usd
from solrouter.services import keys, payments, rotations
from solrouter.services.payments import codes
from tests import served as serving
from tests.conftest import close, settings
from tests.factories import Person, make_offer, make_person, pay_in

SETTLED, RUNNING = 12, 3


def main(url: str, folder: Path) -> None:
    """Fills the database and ends the server as a machine that fails would."""
    environ = settings(url, folder)
    app = create_app(environ)
    assert app.test_cli_runner().invoke(args=["db", "upgrade"]).exit_code == 0
    with Upstream.start() as upstream:
        people = _furnish(app, upstream)
        served = serving.start(environ)
        _use(served.api, people["alice@example.com"])
        streams = [
            _ask(served.api, people["bob@example.com"], "acme/endless", stream=True)
            for _ in range(RUNNING)
        ]
        # Kept, for a client that lets go of them has left.
        lines = [stream.iter_lines() for stream in streams]
        assert all(next(one) for one in lines)
        served.process.send_signal(signal.SIGKILL)
        served.process.wait()
    books = Books(url)
    found = {
        name: {"account_id": person.account_id, "key": person.key_text, "password": person.password,
               "balance": books.balance(person.account_id)}
        for name, person in people.items()
    }  # fmt: skip
    facts = {
        "people": found,
        "completions": books.number("SELECT count(*) FROM completions"),
        "transfers": books.number("SELECT count(*) FROM transfers"),
        "holds": books.running(),
    }
    sys.stdout.write(json.dumps(facts, indent=1) + "\n")
    close(app)


def _furnish(app, upstream: Upstream) -> dict[str, Person]:  # type: ignore[no-untyped-def]
    upstream.plays("tiny", text="Good day.", usage=[100, 10])
    upstream.plays("endless", pieces=["word "], endless=True, stall_between_s=0.05)
    upstream.plays("broken", status=500)
    for name in ("tiny", "endless", "broken"):
        make_offer(app, upstream.url(name), model=f"acme/{name}", provider=name)
    people = {
        name: make_person(app, name, credit="5", plan="unlimited")
        for name in ("alice@example.com", "bob@example.com")
    }
    alice = people["alice@example.com"]
    with app.app_context():
        pay_in(alice.account_id, parse_usd("7.50"), evidence="seed")
        payments.grant(alice.account_id, parse_usd("1"), actor="test", note="Sorry")
        code = codes.make(parse_usd("2"), uses_max=3, days=None, note="seed", actor="test")
        codes.redeem(alice.account_id, alice.user_id, code)
        limited = keys.create(alice.account_id, user_id=alice.user_id, name="Limited",
                              limit_nanos=parse_usd("1"), resets="daily")  # fmt: skip
        rotations.rotate(alice.account_id, limited.key.public_id, actor="test", overlap_s=86_400)
        gone = keys.create(alice.account_id, user_id=alice.user_id, name="Revoked")
        keys.revoke(alice.account_id, gone.key.public_id, actor="test")
    return people


def _use(api: str, person: Person) -> None:
    for number in range(SETTLED):
        model = "acme/broken" if number % 4 == 3 else "acme/tiny"
        _ask(api, person, model, stream=number % 2 == 0).close()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        credits_ = requests.get(f"{api}/credits", headers=person.bearer, timeout=5).json()["data"]
        if credits_.get("held", "0") in ("0", "0.000000000", 0):
            break
        time.sleep(0.1)


def _ask(api: str, person: Person, model: str, *, stream: bool) -> requests.Response:
    return requests.post(
        f"{api}/chat/completions",
        headers=person.bearer,
        json={
            "model": model,
            "messages": [{"role": "user", "content": "Hello!"}],
            "stream": stream,
        },
        stream=model == "acme/endless",
        timeout=20,
    )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
