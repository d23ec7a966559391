"""How the wire can fail. Every library's own error is translated into one of these, once.

TransportError
├─ Unsendable                 the request cannot be written: a bad address, a broken header
├─ AddressRefused             a user's address leads where strangers may not send us
├─ ConnectFailed(reason)      no connection: `dns`, `refused`, `unreachable` or `tls`
├─ ReadTimedOut(phase)        a deadline passed: `connect`, `first_byte`, `between` or `total`
├─ BrokenStream(clean_end)    the answer stopped before its end, or was no HTTP
├─ TooLarge(limit_bytes)      the answer passed a limit of ours
├─ MailNotTaken               the mail server did not take a letter; it may later
└─ MailRefused                the mail server will never take this letter
"""


class TransportError(Exception):
    """Something failed between us and another server. The message never holds a header."""


class Unsendable(TransportError):
    """The request cannot be written as HTTP, so nothing was sent."""


class AddressRefused(TransportError):
    """The address is not one that a user may make us call, so nothing was sent."""


class ConnectFailed(TransportError):
    """No connection was made, so nothing was sent."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class ReadTimedOut(TransportError):
    """A deadline passed; `phase` names which."""

    def __init__(self, message: str, *, phase: str) -> None:
        super().__init__(message)
        self.phase = phase


class BrokenStream(TransportError):
    """The answer ended before it was complete.

    `clean_end`: the other side closed in good order, yet too early. Otherwise the line was reset,
    the bytes were no HTTP, or we closed it ourselves.
    """

    def __init__(self, message: str, *, clean_end: bool = False) -> None:
        super().__init__(message)
        self.clean_end = clean_end


class TooLarge(TransportError):
    """The answer has passed a limit of ours."""

    def __init__(self, message: str, *, limit_bytes: int) -> None:
        super().__init__(message)
        self.limit_bytes = limit_bytes


class MailNotTaken(TransportError):
    """The mail server did not take the letter; another try may succeed."""


class MailRefused(TransportError):
    """The mail server will never take this letter to this recipient."""
