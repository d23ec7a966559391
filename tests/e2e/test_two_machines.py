"""Two machines on one database, asked by turns: what one is told holds on the other at once."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from bench.faults.databases import POSTGRESQL, Databases
from bench.faults.front import Front, nginx_program
from solrouter.services import keys
from tests import served as serving
from tests.conftest import require
from tests.e2e.place import until
from tests.e2e.scene import Customer, Scene, open_scene
from tests.served import Served

pytestmark = pytest.mark.postgresql


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The first machine, on PostgreSQL, believing one proxy."""
    require("PostgreSQL", Databases.has_postgresql())
    folder = tmp_path_factory.mktemp("machines")
    with open_scene(POSTGRESQL, folder, SOLROUTER_PROXY_HOPS="1") as found:
        yield found


@pytest.fixture(scope="module")
def machines(scene: Scene) -> Iterator[tuple[Served, Served]]:
    """Both."""
    second = serving.start(scene.served.environ, ready_s=60)
    yield scene.served, second
    second.stop()


def status_of(machine: Served, customer: Customer) -> int:
    """What a machine says to the customer's key."""
    return requests.get(
        f"{machine.api}/key", headers=customer.person.bearer, timeout=20
    ).status_code


def test_a_revoked_key_is_refused_by_both_from_the_next_request_on(
    scene: Scene, machines: tuple[Served, Served]
) -> None:
    customer = scene.customer()
    model = scene.offer(text="Good day.", usage=[5, 5])
    for machine in machines:
        assert customer_asks(machine, customer, model) == 200
    with scene.app.app_context():
        [key] = keys.list_of(customer.person.account_id)
        keys.revoke(customer.person.account_id, key.public_id, actor="test")
    for machine in machines:
        assert customer_asks(machine, customer, model) == 401
        assert status_of(machine, customer) == 401


def customer_asks(machine: Served, customer: Customer, model: str) -> int:
    """The status of a request for a completion."""
    body = {"model": model, "messages": [{"role": "user", "content": "Hello!"}]}
    answer = requests.post(
        f"{machine.api}/chat/completions", json=body, headers=customer.person.bearer, timeout=20
    )
    return answer.status_code


def test_a_session_of_one_is_good_on_the_other_and_ends_on_both(
    scene: Scene, machines: tuple[Served, Served]
) -> None:
    person = scene.customer().person
    visitor = requests.Session()
    visitor.headers["Sec-Fetch-Site"] = "same-origin"
    form = {"email": person.email, "password": person.password}
    assert visitor.post(f"{machines[0].url}/login", form, timeout=20).url.endswith("/account")
    assert visitor.get(f"{machines[1].url}/account", timeout=20).url.endswith("/account")
    cookie = dict(visitor.cookies)
    visitor.post(f"{machines[1].url}/logout", timeout=20)
    visitor.cookies.update(cookie)
    for machine in machines:
        assert "/login" in visitor.get(f"{machine.url}/account", timeout=20).url


def test_receipts_of_both_add_up_behind_nginx(
    scene: Scene, machines: tuple[Served, Served], tmp_path: Path
) -> None:
    require("nginx", nginx_program() is not None)
    customer = scene.customer()
    model = scene.offer(text="Good day.", usage=[5, 5])
    front = Front(tmp_path, [machine.port for machine in machines])
    try:
        url = f"http://127.0.0.1:{front.port}"
        body = {"model": model, "messages": [{"role": "user", "content": "Hello!"}]}
        for _ in range(10):
            answer = requests.post(
                f"{url}/v1/chat/completions", json=body, headers=customer.person.bearer, timeout=20
            )
            assert answer.status_code == 200
        assert len(customer.receipts(10)) == 10
        assert front.served_by == {machine.port for machine in machines}
        # A stranger's word of his own address is written over.
        forged = {"X-Forwarded-For": "203.0.113.66", **customer.person.bearer}
        assert requests.get(f"{url}/v1/key", headers=forged, timeout=20).status_code == 200
        assert until(lambda: last_used_from(scene, customer)) == "127.0.0.1"
    finally:
        front.stop()


def last_used_from(scene: Scene, customer: Customer) -> str | None:
    """Whence the customer's key was last used."""
    with scene.app.app_context():
        [key] = keys.list_of(customer.person.account_id)
    return key.last_used_address
