"""Mails leave the real server by themselves, beside the requests that ordered them."""

import time
import urllib.parse
import urllib.request
from collections.abc import Callable

from flask import Flask

from solrouter.services import accounts
from tests.edge.mailbox import link_of
from tests.fakes.smtp import FakeSmtp
from tests.served import Served

PASSWORD = "engine of analysis"
BASE_URL = "https://llm.example.com"


def post(served: Served, path: str, **form: str) -> float:
    """Sends a form as a program without cookies, and says how long it took."""
    data = urllib.parse.urlencode(form).encode()
    request = urllib.request.Request(f"{served.url}{path}", data, {"Host": "evil.example"})
    began_s = time.monotonic()
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 200
    return time.monotonic() - began_s


def test_a_mail_is_sent_at_once_and_nobody_waits_for_the_mail_server(
    serve: Callable[..., Served], smtp: FakeSmtp
) -> None:
    settings = {"SOLROUTER_ENV": "production", "SOLROUTER_BASE_URL": BASE_URL}
    served = serve(SMTP_URL=smtp.url, **settings)
    post(served, "/signup", email="ada@example.com", password=PASSWORD)
    (confirmation,) = smtp.wait_for(1)
    assert link_of(confirmation).startswith(f"{BASE_URL}/account/confirm-email/")
    post(served, "/password/forgot", email="nobody@example.com")
    post(served, "/password/forgot", email="ada@example.com")
    *_, reset = smtp.wait_for(2)
    assert reset.recipients == ("ada@example.com",)
    token = link_of(reset).rpartition("/")[2]
    post(served, f"/password/reset/{token}", password="analytical machinery")
    assert "/password/reset/-token-" in served.log
    assert token not in served.log and "analytical" not in served.log


def test_a_mail_that_its_server_did_not_live_to_send_is_sent_by_the_next(
    make_app: Callable[..., Flask], serve: Callable[..., Served], smtp: FakeSmtp
) -> None:
    app = make_app(SMTP_URL=smtp.url)
    with app.app_context():
        accounts.sign_up("ada@example.com", PASSWORD)
    assert smtp.taken == []
    serve(SMTP_URL=smtp.url)
    assert smtp.wait_for(1)[0].recipients == ("ada@example.com",)
