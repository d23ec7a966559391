"""Our own scripts, styles and pictures: compressed, and kept for good by their hash in the address.

A page asks for `site.css?v=1a2b3c4d`, and so never gets another version than it was written for. An
address with another hash, as in the middle of a new release, is answered with what is here, and
nobody keeps that.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import Flask, Response, current_app, request
from werkzeug.security import safe_join

from solrouter.blueprints import compression

ENDPOINT = "static"
HASH_ARGUMENT = "v"
HASH_CHARACTERS = 12
FILES_MAX = 256
KEPT_FOR_GOOD = "public, max-age=31536000, immutable"
COMPRESSED_SUFFIXES = frozenset((".css", ".js", ".svg", ".txt"))


@dataclass(frozen=True, slots=True)
class Packed:
    """A file's hash and, where that is shorter, its bytes in gzip."""

    hash: str
    gzip: bytes | None


def init_app(app: Flask) -> None:
    """Puts the hash into every address of a file that `url_for` writes."""
    app.url_defaults(add_hash)


def add_hash(endpoint: str, values: dict[str, Any]) -> None:
    """The argument that names the version, for `url_defaults`."""
    if endpoint != ENDPOINT:
        return
    if packed := _found(values["filename"]):
        values[HASH_ARGUMENT] = packed.hash


def finish(response: Response, filename: str) -> Response:
    """What Flask would send for a file, with how long it may be kept, and compressed if it can be.

    A range and a 304 stay as they are.
    """
    packed = _found(filename)
    if packed is None:
        return response
    if request.args.get(HASH_ARGUMENT) == packed.hash:
        response.headers["Cache-Control"] = KEPT_FOR_GOOD
    if packed.gzip is None:
        return response
    response.vary.add("Accept-Encoding")
    if response.status_code == 200 and compression.is_taken():
        response.close()
        response.direct_passthrough = False
        compression.put(response, packed.gzip)
    return response


def _found(filename: str) -> Packed | None:
    """The file of this name, None where there is none."""
    path = safe_join(str(current_app.static_folder), filename)
    if path is None:
        return None
    try:
        # The time is looked at so that who works on a file sees it at once.
        return _packed(path, Path(path).stat().st_mtime_ns)
    except OSError:
        return None


@lru_cache(maxsize=FILES_MAX)
def _packed(path: str, _modified_ns: int) -> Packed:
    data = Path(path).read_bytes()
    found = hashlib.sha256(data).hexdigest()[:HASH_CHARACTERS]
    if Path(path).suffix not in COMPRESSED_SUFFIXES:
        return Packed(found, None)
    packed = compression.packed(data, level=compression.BEST_LEVEL)
    return Packed(found, packed if len(packed) < len(data) else None)
