"""Compresses the pages that hold no secret; docs/adr/0014 says why only those, and how.

It is asked for by the rooms that `blueprints/__init__.py` names. What is streamed, and the API,
never come here.
"""

import gzip
import io
import secrets

from flask import Response, request

BYTES_MIN = 1024
# What costs little and gains nearly all: 9 takes twice the time for one percent.
LEVEL = 6
BEST_LEVEL = 9
PADDING_BYTES_MAX = 100
TYPES = frozenset(
    (
        "text/html",
        "text/plain",
        "text/markdown",
        "application/json",
        "application/xml",
        "application/rss+xml",
    )
)


def compress(response: Response) -> Response:
    """The answer in gzip, where the reader takes it and it is worth it; for `after_request`."""
    if not _may_be_compressed(response):
        return response
    response.vary.add("Accept-Encoding")
    if not is_taken():
        return response
    # Whoever counts the bytes of many answers on the wire learns nothing exact of a signed-in page.
    padding = secrets.randbelow(PADDING_BYTES_MAX) if request.cookies else 0
    return put(response, packed(response.get_data(), level=LEVEL, padding_bytes=padding))


def put(response: Response, data: bytes) -> Response:
    """The answer with these bytes in gzip instead of its own."""
    response.set_data(data)
    response.headers["Content-Encoding"] = "gzip"
    if (etag := response.get_etag()[0]) is not None:
        # The same words in other bytes: what a weak tag says.
        response.set_etag(etag, weak=True)
    return response


def is_taken() -> bool:
    """Whether the reader says that they take gzip."""
    return request.accept_encodings["gzip"] > 0


def packed(data: bytes, *, level: int, padding_bytes: int = 0) -> bytes:
    """The data in gzip, its header longer by so many bytes; the same data give the same bytes."""
    name = "a" * padding_bytes
    target = io.BytesIO()
    with gzip.GzipFile(filename=name, mode="wb", compresslevel=level, fileobj=target, mtime=0) as f:
        f.write(data)
    return target.getvalue()


def _may_be_compressed(response: Response) -> bool:
    return (
        response.status_code == 200
        and request.method in ("GET", "HEAD")
        and response.mimetype in TYPES
        and not response.is_streamed
        and "Content-Encoding" not in response.headers
        and len(response.get_data()) >= BYTES_MIN
    )
