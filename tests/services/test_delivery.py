"""Mails: ordered with the act, sent afterwards, never lost silently; against a real mail server."""

import datetime
import ipaddress
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from flask import Flask

from solrouter import config, create_app, database
from solrouter.config import UnsafeConfiguration
from solrouter.services import accounts, delivery, letters, outbox
from solrouter.smtp_address import SmtpServer
from tests.conftest import SECRET_KEY, settings
from tests.fakes.smtp import FakeSmtp

ADA = "ada@example.com"
PASSWORD = "engine of analysis"
FOR_EVER_S = 10**6

MakeApp = Callable[..., Flask]


@pytest.fixture
def mailing(make_app: MakeApp, smtp: FakeSmtp) -> Iterator[Flask]:
    app = make_app(SMTP_URL=smtp.url)
    with app.app_context():
        yield app


def order(recipient: str = ADA) -> None:
    facts = {"new_email": "n…@example.com"}
    database.transact(
        lambda connection: outbox.put(connection, "email_changed", recipient, facts=facts)
    )


def state() -> tuple[bool, bool, int, str]:
    """Of the newest mail: sent, given up, tries, problem."""
    mail = outbox.list_of()[0]
    return mail.sent_at is not None, mail.failed_at is not None, mail.tries, mail.problem


def test_a_mail_is_sent_with_text_and_html_that_say_the_same(
    mailing: Flask, smtp: FakeSmtp
) -> None:
    accounts.sign_up(ADA, PASSWORD)
    assert delivery.deliver_due() == 1
    (mail,) = smtp.taken
    assert mail.recipients == (ADA,) and mail.sender == "no-reply@localhost"
    assert mail.subject == "Confirm your e-mail address"
    assert str(mail.message["From"]) == "SolRouter <no-reply@localhost>"
    assert mail.message["Auto-Submitted"] == "auto-generated" and mail.message["Message-ID"]
    (link,) = [line for line in mail.text.splitlines() if line.startswith("http")]
    assert link.startswith("http://localhost:8000/account/confirm-email/")
    assert f'<a href="{link}"' in mail.html
    for words in ("has made a SolRouter account", "The link works once"):
        assert words in " ".join(mail.text.split()) and words in mail.html
    assert state() == (True, False, 1, "")


def test_what_was_undone_is_not_sent(mailing: Flask, smtp: FakeSmtp) -> None:
    accounts.sign_up(ADA, PASSWORD)
    delivery.deliver_due()
    with pytest.raises(Exception, match="already"):
        accounts.sign_up(ADA, PASSWORD)
    assert delivery.deliver_due() == 0 and len(smtp.taken) == 1


@pytest.mark.parametrize(
    ("verb", "reply"),
    [
        ("GREETING", "421 Busy"),
        ("MAIL", "451 Later"),
        ("MAIL", "550 No such sender"),
        ("RCPT", "450 Greylisted"),
        ("DATA", "451 Later"),
        ("END", "452 Full"),
    ],
)
def test_what_is_not_taken_is_tried_again(
    mailing: Flask, smtp: FakeSmtp, verb: str, reply: str
) -> None:
    smtp.refuses[verb] = reply
    order()
    assert delivery.deliver_due() == 0
    sent, given_up, tries, problem = state()
    assert (sent, given_up, tries) == (False, False, 1)
    assert "mail server" in problem and ADA not in problem
    assert delivery.deliver_due() == 0, "not at once"
    smtp.refuses.clear()
    assert delivery.deliver_due(ahead_s=outbox.FIRST_DELAY_S) == 1
    assert state() == (True, False, 2, "")


def test_a_server_that_hangs_up_or_is_gone_is_tried_again(make_app: MakeApp) -> None:
    with FakeSmtp() as smtp:
        app = make_app(SMTP_URL=smtp.url)
        smtp.hangs_up_at = "DATA"
        with app.app_context():
            order()
            assert delivery.deliver_due() == 0
    with app.app_context():
        assert delivery.deliver_due(ahead_s=outbox.FIRST_DELAY_S) == 0
        assert state()[:3] == (False, False, 2) and "no connection" in state()[3]


@pytest.mark.parametrize("verb", ["RCPT", "END"])
def test_what_is_refused_for_ever_is_given_up_and_can_be_seen(
    mailing: Flask, smtp: FakeSmtp, verb: str
) -> None:
    smtp.refuses[verb] = "550 No such mailbox"
    order()
    delivery.deliver_due()
    assert state()[:3] == (False, True, 1) and "550" in state()[3]
    assert outbox.failed_count() == 1
    smtp.refuses.clear()
    assert outbox.retry_failed() == 1
    assert delivery.deliver_due() == 1 and outbox.failed_count() == 0


def test_the_tries_have_an_end_with_a_name(mailing: Flask, smtp: FakeSmtp) -> None:
    smtp.refuses["DATA"] = "451 Later"
    order()
    for _ in range(outbox.TRIES_MAX):
        assert not state()[1]
        for claimed in outbox.claim(ahead_s=outbox.DELAY_S_MAX):
            outbox.failed(claimed, "451")
    assert state()[1] and state()[2] == outbox.TRIES_MAX
    assert delivery.deliver_due(ahead_s=FOR_EVER_S) == 0


def test_a_process_that_dies_leaves_its_mail_to_the_next(mailing: Flask, smtp: FakeSmtp) -> None:
    order()
    assert len(outbox.claim()) == 1
    assert delivery.deliver_due() == 0, "for a while it is the other's"
    assert delivery.deliver_due(ahead_s=outbox.CLAIM_S) == 1


def test_of_many_processes_one_sends(context_on_both: Flask, smtp: FakeSmtp) -> None:
    app = context_on_both
    app.config["SMTP_URL"] = SmtpServer.parse(smtp.url)
    for number in range(8):
        order(f"p{number}@example.com")
    start = threading.Barrier(4)

    def send() -> None:
        with app.app_context():
            start.wait()
            delivery.deliver_due()

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(mail.recipients[0] for mail in smtp.taken) == [
        f"p{number}@example.com" for number in range(8)
    ]


def test_a_letter_that_cannot_be_written_keeps_no_other_waiting(
    mailing: Flask, smtp: FakeSmtp
) -> None:
    """As one that a newer version has ordered, while old and new run side by side."""
    database.transact(lambda connection: outbox.put(connection, "of_tomorrow", ADA))
    order("bob@example.com")
    assert delivery.deliver_due() == 1
    assert [mail.recipients for mail in smtp.taken] == [("bob@example.com",)]
    [written, unwritten] = outbox.list_of()
    assert written.sent_at is not None
    assert (unwritten.tries, unwritten.failed_at) == (1, None)
    assert "could not be written" in unwritten.problem


def test_a_server_that_is_away_is_asked_once_and_costs_no_tries(make_app: MakeApp) -> None:
    app = make_app(SMTP_URL="smtp://127.0.0.1:9")
    with app.app_context():
        for number in range(5):
            order(f"{number}@example.com")
        assert delivery.deliver_due() == 0
        assert sorted(mail.tries for mail in outbox.list_of()) == [0, 0, 0, 0, 1]
        assert not outbox.is_any_due()
        for number in range(25):
            order(f"later-{number}@example.com")
        assert delivery.deliver_due() == 0
        assert sum(mail.tries for mail in outbox.list_of()) == 2


def test_a_password_is_used(make_app: MakeApp, smtp: FakeSmtp) -> None:
    smtp.password = "p@ss/word"
    app = make_app(SMTP_URL=f"smtp://mailer:p%40ss%2Fword@127.0.0.1:{smtp.port}")
    with app.app_context():
        order()
        assert delivery.deliver_due() == 1
        smtp.password = "another"
        order()
        assert delivery.deliver_due() == 0
        assert "535" in state()[3] and "ss/word" not in state()[3]


# Encryption.


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A certificate for 127.0.0.1 with its key, which this process's OpenSSL believes."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fake.example")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "mail.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return path


def tls_of(path: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def test_starttls_is_used_where_it_is_offered(make_app: MakeApp, authority: Path) -> None:
    with FakeSmtp(tls=tls_of(authority)) as smtp:
        smtp.password = "secret"
        with make_app(SMTP_URL=smtp.url).app_context():
            order()
            assert delivery.deliver_due() == 1
        assert [mail.was_encrypted for mail in smtp.taken] == [True]


def test_a_certificate_that_nobody_vouches_for_is_not_spoken_to(
    make_app: MakeApp, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with FakeSmtp(tls=tls_of(authority)) as smtp:
        with make_app(SMTP_URL=smtp.url).app_context():
            order()
            assert delivery.deliver_due() == 0
            assert "no connection" in state()[3]
        assert smtp.taken == []


def test_without_starttls_nothing_is_sent_to_another_machine(
    make_app: MakeApp, smtp: FakeSmtp
) -> None:
    """Whoever sits in between can take the offer away. 0.0.0.0 is this machine, unbeknown to us."""
    with make_app(SMTP_URL=f"smtp://0.0.0.0:{smtp.port}").app_context():
        order()
        assert delivery.deliver_due() == 0
        assert "STARTTLS" in state()[3]
    assert smtp.taken == []


# The words.


@pytest.mark.parametrize("kind", delivery.WRITERS)
def test_every_kind_has_a_letter(kind: str) -> None:
    names = (
        "link",
        "until",
        "at",
        "new_email",
        "provider",
        "login",
        "invited_by",
        "by",
        "amount",
        "problem",
        "key",
        "hint",
        "network",
        "threshold",
        "account",
        "balance",
        "spent",
        "month",
        "host",
        "title",
        "text",
        "began",
    )
    facts = {**dict.fromkeys(names, "x"), "role": "developer", "codes_left": "9"}
    facts["by_operator"] = "no"
    letter = letters.compose(kind, {**facts, "email": ADA, "contact": ""})
    assert letter.subject and ADA in letter.text
    assert all(len(line) <= letters.COLUMNS for line in letter.text.splitlines())
    assert "{" not in letter.text and letter.html.startswith("<!doctype html>")


def test_what_people_typed_is_no_markup_no_link_and_no_line_of_its_own() -> None:
    login = "<b>x</b>\n\nhttps://evil.example/\n\nand more"
    facts = {"email": ADA, "contact": "", "link": "https://ours.example/x", "at": "now"}
    letter = letters.compose("sign_in_added", {**facts, "provider": "GitHub", "login": login})
    assert letter.links == ["https://ours.example/x"]
    assert "<b>" not in letter.html and letter.html.count("<a ") == 1


# The settings.


@pytest.mark.parametrize(
    "url", ["mail.example.com", "http://mail.example.com", "smtp://", "smtp://h:port", "smtp://[x"]
)
def test_a_url_that_is_none_stops_the_server_and_is_not_shown(tmp_path: Path, url: str) -> None:
    with pytest.raises(UnsafeConfiguration, match="SMTP_URL") as caught:
        create_app(settings("", tmp_path, SMTP_URL=url))
    assert url not in str(caught.value).removeprefix("SMTP_URL: must look like smtp://")


def test_addresses_are_read() -> None:
    assert SmtpServer.parse("smtp://h").port == 587
    assert SmtpServer.parse("smtps://h").port == 465 and SmtpServer.parse("smtps://h").is_tls
    server = SmtpServer.parse("smtp://me%40x:p%3Aw@h:25")
    assert (server.username, server.password, server.port) == ("me@x", "p:w", 25)
    assert "p:w" not in repr(server)


def test_mail_in_production_needs_an_address_for_its_links(tmp_path: Path) -> None:
    environ = {
        "SOLROUTER_ENV": "production",
        "SECRET_KEY": SECRET_KEY,
        "SMTP_URL": "smtp://mail.example.com",
    }
    with pytest.raises(UnsafeConfiguration, match="SOLROUTER_BASE_URL"):
        config.load(environ, instance_path=tmp_path)
    hosts = {"SOLROUTER_ALLOWED_HOSTS": "llm.example.com,other.example"}
    loaded = config.load({**environ, **hosts}, instance_path=tmp_path)
    assert loaded["PUBLIC_URL"] == "https://llm.example.com"
    assert loaded["SOLROUTER_MAIL_FROM"] == "SolRouter <no-reply@llm.example.com>"


@pytest.mark.parametrize(
    ("mode", "hosts", "url"),
    [
        ("production", "127.0.0.1,llm.example.com", "https://llm.example.com"),
        ("production", "localhost", "http://localhost:8123"),
        ("production", "[::1]", "http://[::1]:8123"),
        ("production", "localhost:9000", "http://localhost:9000"),
        ("production", "llm.example.com,127.0.0.1", "https://llm.example.com"),
        ("production", "127.0.0.1", "http://127.0.0.1:8123"),
        ("production", "", ""),
        ("development", "", "http://localhost:8123"),
        ("development", "127.0.0.1", "http://127.0.0.1:8123"),
        ("development", "127.0.0.1,localhost", "http://localhost:8123"),
    ],
)
def test_links_lead_where_the_server_answers(
    tmp_path: Path, mode: str, hosts: str, url: str
) -> None:
    environ = {"SOLROUTER_ENV": mode, "SECRET_KEY": SECRET_KEY, "PORT": "8123"}
    loaded = config.load({**environ, "SOLROUTER_ALLOWED_HOSTS": hosts}, instance_path=tmp_path)
    assert loaded["PUBLIC_URL"] == url
