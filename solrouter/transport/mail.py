"""Handing a letter to a mail server by SMTP. Knows no templates and no database.

The line is always encrypted, but to a server on this machine that offers no STARTTLS. Messages of
errors hold the server's code and never its words, which may quote the address.
"""

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate, make_msgid, parseaddr

from solrouter.smtp_address import SmtpServer
from solrouter.transport.errors import ConnectFailed, MailNotTaken, MailRefused, TransportError

DEADLINE_S = 20.0
PERMANENT = 500


def send(
    server: SmtpServer, *, sender: str, recipient: str, subject: str, text: str, html: str
) -> None:
    """Returns when the server has taken the letter.

    Raises MailRefused if it never will, and MailNotTaken or ConnectFailed if it may later.
    """
    message = _message(sender=sender, recipient=recipient, subject=subject, text=text, html=html)
    with _let_in(server) as line:
        line.send_message(message)


def greet(server: SmtpServer) -> None:
    """Returns when the server has let us in, and sends nothing.

    Raises MailNotTaken or ConnectFailed.
    """
    with _let_in(server) as line:
        line.noop()


@contextmanager
def _let_in(server: SmtpServer) -> Iterator[smtplib.SMTP]:
    """A line to the server, as whom it knows us. Its library's errors become ours."""
    try:
        with _connected(server) as line:
            _secure(line, server)
            if server.username:
                line.login(server.username, server.password)
            yield line
    except smtplib.SMTPRecipientsRefused as error:
        code = next(iter(error.recipients.values()))[0]
        raise _refusal(code, "the recipient") from error
    except smtplib.SMTPDataError as error:
        raise _refusal(error.smtp_code, "the letter") from error
    except smtplib.SMTPResponseException as error:
        # The sender, our name and password, the greeting: an operator can mend these.
        raise MailNotTaken(f"the mail server answered {error.smtp_code}") from error
    except smtplib.SMTPException as error:
        raise MailNotTaken(f"the mail server failed ({type(error).__name__})") from error
    except OSError as error:
        reason = "tls" if isinstance(error, ssl.SSLError) else "unreachable"
        raise ConnectFailed(
            f"no connection to the mail server ({type(error).__name__})", reason=reason
        ) from error


def _connected(server: SmtpServer) -> smtplib.SMTP:
    if server.is_tls:
        return smtplib.SMTP_SSL(
            server.host, server.port, timeout=DEADLINE_S, context=ssl.create_default_context()
        )
    return smtplib.SMTP(server.host, server.port, timeout=DEADLINE_S)


def _secure(line: smtplib.SMTP, server: SmtpServer) -> None:
    line.ehlo_or_helo_if_needed()
    if server.is_tls:
        return
    if line.has_extn("starttls"):
        line.starttls(context=ssl.create_default_context())
    elif not server.is_near:
        # Whoever sits in between can take the offer out of the greeting.
        raise MailNotTaken("the mail server offers no STARTTLS")


def _refusal(code: int, what: str) -> TransportError:
    kind = MailRefused if code >= PERMANENT else MailNotTaken
    return kind(f"the mail server refused {what} ({code})")


def _message(*, sender: str, recipient: str, subject: str, text: str, html: str) -> EmailMessage:
    message = EmailMessage()
    name, address = parseaddr(sender)
    message["From"] = Address(name, addr_spec=address)
    message["To"] = Address(addr_spec=recipient)
    message["Subject"] = subject
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain=address.rpartition("@")[2])
    # Nobody's out-of-office should answer us (RFC 3834).
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    message.add_alternative(html, subtype="html")
    return message
