"""A mail server as a program: it takes letters over SMTP, and remembers what it took.

A third party on a real socket, as strict as it needs to be: no letter without `MAIL` and `RCPT`, no
letter without signing in when it has a `password`, no word of a plain `AUTH` before TLS when it has
`tls`. Its faults: `refuses` maps a verb to the reply that it gets instead, `hangs_up_at` names the
verb at which the line is cut. Run it alone with `python -m tests.fakes.smtp --port 9025`.
"""

import argparse
import base64
import socketserver
import ssl
import sys
import threading
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import partial
from typing import Self, cast

POLL_S = 0.02
LINE_BYTES_MAX = 10_000


@dataclass(frozen=True)
class Taken:
    """One letter that was taken."""

    sender: str
    recipients: tuple[str, ...]
    message: EmailMessage
    was_encrypted: bool

    @property
    def subject(self) -> str:
        return str(self.message["Subject"])

    @property
    def text(self) -> str:
        return self._part("plain")

    @property
    def html(self) -> str:
        return self._part("html")

    def _part(self, kind: str) -> str:
        part = self.message.get_body((kind,))
        assert part is not None, f"the letter has no {kind} part"
        return str(part.get_content())


class FakeSmtp:
    """A mail server on 127.0.0.1. It listens from the moment it is made until `close()`."""

    def __init__(self, *, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.tls = tls
        self.username = "mailer"
        self.password: str | None = None
        self.refuses: dict[str, str] = {}
        self.hangs_up_at = ""
        self._changed = threading.Condition()
        self._taken: list[Taken] = []
        self._server = socketserver.ThreadingTCPServer(
            ("127.0.0.1", port), cast(type[_Session], partial(_Session, self))
        )
        self._server.daemon_threads = True
        serve = partial(self._server.serve_forever, poll_interval=POLL_S)
        self._thread = threading.Thread(target=serve, name="fake-smtp", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """What `SMTP_URL` takes."""
        login = "" if self.password is None else f"{self.username}:{self.password}@"
        return f"smtp://{login}127.0.0.1:{self.port}"

    @property
    def taken(self) -> list[Taken]:
        """The letters so far."""
        with self._changed:
            return list(self._taken)

    def take(self, letter: Taken) -> None:
        """Keeps a letter."""
        with self._changed:
            self._taken.append(letter)
            self._changed.notify_all()

    def wait_for(self, count: int, timeout_s: float = 10) -> list[Taken]:
        """The letters, once there are so many."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._taken) >= count, timeout_s), (
                f"{len(self._taken)} of {count} letters came"
            )
            return list(self._taken)

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Session(socketserver.StreamRequestHandler):
    """One connection."""

    def __init__(self, fake: FakeSmtp, *arguments: object) -> None:
        self._fake = fake
        self._is_encrypted = self._is_inside = False
        self._sender = ""
        self._recipients: list[str] = []
        super().__init__(*arguments)  # type: ignore[arg-type]

    def handle(self) -> None:
        self._say(self._fake.refuses.get("GREETING", "220 fake.example ESMTP"))
        while line := self.rfile.readline(LINE_BYTES_MAX):
            verb, _, rest = line.decode().strip().partition(" ")
            if verb.upper() == self._fake.hangs_up_at or not self._answer(verb.upper(), rest):
                return

    def finish(self) -> None:
        """Lets go of the line; what TLS was laid over is not the server's to close."""
        super().finish()
        self.connection.close()

    def _answer(self, verb: str, rest: str) -> bool:
        """Answers one command; says whether the line stays open."""
        if verb in self._fake.refuses:
            self._say(self._fake.refuses[verb])
        elif verb == "QUIT":
            self._say("221 Bye")
            return False
        else:
            self._obey(verb, rest)
        return True

    def _obey(self, verb: str, rest: str) -> None:
        match verb:
            case "EHLO" | "HELO":
                self._greet()
            case "STARTTLS":
                self._encrypt()
            case "AUTH":
                self._sign_in(rest)
            case "MAIL" if self._fake.password is not None and not self._is_inside:
                self._say("530 Authentication required")
            case "MAIL":
                self._sender, self._recipients = _address(rest), []
                self._say("250 OK")
            case "RCPT":
                self._recipients.append(_address(rest))
                self._say("250 OK")
            case "DATA" if self._sender and self._recipients:
                self._take()
            case "RSET" | "NOOP":
                self._say("250 OK")
            case _:
                self._say("503 Bad sequence of commands")

    def _greet(self) -> None:
        offers = ["fake.example", "8BITMIME"]
        if self._fake.tls is not None and not self._is_encrypted:
            offers.append("STARTTLS")
        elif self._fake.password is not None:
            offers.append("AUTH PLAIN")
        *first, last = offers
        for offer in first:
            self._say(f"250-{offer}")
        self._say(f"250 {last}")

    def _encrypt(self) -> None:
        assert self._fake.tls is not None
        self._say("220 Go ahead")
        self.connection = self._fake.tls.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", 0)
        self._is_encrypted = True

    def _sign_in(self, rest: str) -> None:
        kind, _, encoded = rest.partition(" ")
        _, username, password = base64.b64decode(encoded).decode().split("\0")
        expected = (self._fake.username, self._fake.password)
        self._is_inside = kind == "PLAIN" and (username, password) == expected
        self._say("235 Welcome" if self._is_inside else "535 Authentication failed")

    def _take(self) -> None:
        self._say("354 Go on")
        lines = []
        while (line := self.rfile.readline(LINE_BYTES_MAX)) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b".") else line)
        if "END" in self._fake.refuses:
            self._say(self._fake.refuses["END"])
            return
        message = message_from_bytes(b"".join(lines), policy=policy.default)
        assert isinstance(message, EmailMessage)
        recipients = tuple(self._recipients)
        self._fake.take(Taken(self._sender, recipients, message, self._is_encrypted))
        self._say("250 Taken")

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


def _address(rest: str) -> str:
    """`FROM:<a@b> SIZE=12` → `a@b`."""
    return rest.partition("<")[2].partition(">")[0]


def main() -> None:
    """Serves until interrupted, and prints each letter."""
    parser = argparse.ArgumentParser(description="A fake mail server.")
    parser.add_argument("--port", type=int, default=9025)
    with FakeSmtp(port=parser.parse_args().port) as fake:
        count = 0
        while True:
            count += 1
            letter = fake.wait_for(count, timeout_s=10**6)[-1]
            sys.stdout.write(f"{letter.subject}\n\n{letter.text}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
