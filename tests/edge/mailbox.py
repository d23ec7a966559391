"""Reading the mails that an app has sent, as their owners do."""

import re
from urllib.parse import urlsplit

from flask import Flask

from solrouter.services import delivery
from tests.fakes.smtp import FakeSmtp, Taken

PUBLIC_URL = "https://llm.example.com"
LINK = re.compile(r"https?://\S+")


class Mailbox:
    """The mails of everybody; `read` sends what is due first, as the server does by itself."""

    def __init__(self, app: Flask, smtp: FakeSmtp) -> None:
        self._app = app
        self._smtp = smtp

    def read(self) -> list[Taken]:
        """All mails so far."""
        with self._app.app_context():
            delivery.deliver_due()
        return self._smtp.taken

    def newest(self, recipient: str) -> Taken:
        """The last mail to this address."""
        found = [mail for mail in self.read() if mail.recipients == (recipient,)]
        assert found, f"no mail to {recipient}"
        return found[-1]

    def link(self, recipient: str) -> str:
        """The path of the link in the last mail to this address."""
        parts = urlsplit(link_of(self.newest(recipient)))
        return f"{parts.path}?{parts.query}" if parts.query else parts.path


def link_of(mail: Taken) -> str:
    """The one link in a mail."""
    (link,) = LINK.findall(mail.text)
    return str(link)
