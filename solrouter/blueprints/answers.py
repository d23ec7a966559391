"""An answer whose headers are all our own words, so that nothing has to look them through again.

Werkzeug checks each header as it is added, copies all of them before they are sent, and looks for
a `Location` to mend: a tenth of the time of a request that has nothing of the kind.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from flask import Response

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Pair = tuple[str, str]


class Answer(Response):
    """A 200 with a body. `plain` are headers beside `headers`: ours, each once, sent unchecked.

    The body is bytes, or an iterator of them whose length nobody knows.
    """

    def __init__(self, body: bytes | Iterable[bytes], plain: list[Pair], *, mimetype: str) -> None:
        self.plain = plain
        if isinstance(body, bytes):
            plain.append(("Content-Length", str(len(body))))
            # In a list, since Werkzeug would say the length of bytes in a header of its own.
            body = [body]
        super().__init__(body, mimetype=mimetype)

    def get_app_iter(self, environ: "WSGIEnvironment") -> Iterable[bytes]:
        """What the server sends, and closes then."""
        return _Body(self.iter_encoded(), self.close)

    def iter_encoded(self) -> Iterator[bytes]:
        """The pieces of the body: they are bytes already."""
        return iter(self.response)  # type: ignore[arg-type]

    def get_wsgi_response(
        self, environ: "WSGIEnvironment"
    ) -> tuple[Iterable[bytes], str, list[Pair]]:
        """The body, the status and the headers, as the server wants them."""
        return self.get_app_iter(environ), self.status, [*self.headers.to_wsgi_list(), *self.plain]


class _Body:
    """Pieces that the server takes from where they are made, with no call between; then `close`."""

    __slots__ = ("_pieces", "close")

    def __init__(self, pieces: Iterator[bytes], close: Callable[[], None]) -> None:
        self._pieces = pieces
        self.close = close

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces


def add(response: Response, pairs: Iterable[Pair]) -> None:
    """Adds headers of our own words, which nobody has set yet."""
    if isinstance(response, Answer):
        response.plain.extend(pairs)
    else:
        response.headers.extend(pairs)


def find(response: Response, name: str) -> str | None:
    """What a header of our own words says, however it was added."""
    for plain_name, value in response.plain if isinstance(response, Answer) else ():
        if plain_name == name:
            return value
    return response.headers.get(name)
