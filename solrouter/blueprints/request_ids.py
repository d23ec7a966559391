"""A request's id and its line in the access log. A client's own id is not believed.

The line holds ids, never a query or a body. Other rooms add what they learn with `note`.
"""

import logging
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from flask import Flask, Request, Response

from solrouter import clock, counters, logs
from solrouter.blueprints import answers
from solrouter.blueprints.contexts import notes_itself, request_itself
from solrouter.errors import Refused
from solrouter.services import audit

log = logging.getLogger("solrouter.access")

HEADER = "X-Request-Id"
RECEIPT = "X-Generation-Id"
ID_BYTES = 12
TOKEN = "-token-"
# 32 bytes as a mail's link spells them have 43 characters.
LIKE_A_TOKEN = re.compile(r"[\w-]{36,}", re.ASCII)


def init_app(app: Flask) -> None:
    """Puts an id on every request and every answer."""
    app.before_request(begin)
    app.after_request(end)
    app.teardown_request(forget)


def note(**ids: str) -> None:
    """Adds ids, such as `account` or `key`, to this request's line in the access log."""
    notes_itself().setdefault("log_ids", {}).update(ids)


@contextmanager
def noting_refusals() -> Iterator[None]:
    """Around a proof of who somebody is: that it was refused stands in the access log, too."""
    try:
        yield
    except Refused:
        note(proof="refused")
        raise


def begin() -> None:
    """Gives the request its id, and tells the audit trail where its acts come from."""
    known = notes_itself()
    known.request_id = f"req_{secrets.token_hex(ID_BYTES)}"
    known.began_s = clock.monotonic_s()
    audit.act_from(request_itself().remote_addr or "", known.request_id)


def end(response: Response) -> Response:
    """Names the request in its answer and in the log."""
    known, asked = notes_itself(), request_itself()
    answers.add(response, [(HEADER, known.request_id)])
    elapsed_s = clock.monotonic_s() - known.began_s
    rule, status = asked.url_rule, response.status_code
    counters.note_request(rule.endpoint if rule is not None else "", status, elapsed_s)
    # A route without names in it is a word of ours.
    is_ours = rule is not None and rule.rule == asked.path
    path = asked.path if is_ours else _path_to_log(asked)
    ids, elapsed_ms = known.get("log_ids", {}), elapsed_s * 1000
    receipt_id = answers.find(response, RECEIPT)
    if receipt_id is not None:
        ids = {**ids, "request": receipt_id}
    if logs.are_json():
        facts = {"method": asked.method, "path": path, "status": status, "ms": round(elapsed_ms, 1)}
        logs.tell_facts(log, {**facts, "id": known.request_id, **ids}, is_ours=is_ours)
        return response
    told = "".join([f" {name}={value}" for name, value in ids.items()])
    logs.tell(
        log,
        f"{asked.method} {path} {status} {elapsed_ms:.1f}ms id={known.request_id}{told}",
        is_ours=is_ours,
    )
    return response


def _path_to_log(asked: Request) -> str:
    path = asked.path
    token = (asked.view_args or {}).get("token")
    if token:
        # A link of a mail: whoever has it gets in.
        path = path.replace(token, TOKEN)
    elif asked.url_rule is None:
        # Nor when it leads to no page: asked for in another way, or not copied whole.
        path = LIKE_A_TOKEN.sub(TOKEN, path)
    # Quoted, since a path may hold any character, line ends included.
    return quote(path)


def forget(_error: BaseException | None) -> None:
    """What this thread does next is not this request's doing."""
    audit.act_from("", "")
