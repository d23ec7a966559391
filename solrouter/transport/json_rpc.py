"""JSON-RPC 2.0 over HTTP: one question, one answer, bounded in time and bytes, no redirect.

Knows no method. The operator gives the addresses; they may hold secrets, so no message of an error
says more than the host, and no error of a library, which might, stays behind ours as its cause.
"""

import json
from collections.abc import Sequence
from typing import Any

from solrouter.rpc_endpoint import RpcEndpoint
from solrouter.transport.errors import BrokenStream, TransportError
from solrouter.transport.http import HttpRequest, open_stream

CONNECT_S = 5.0
FIRST_BYTE_S = 10.0
BETWEEN_S = 5.0
TOTAL_S = 20.0
BYTES_MAX = 4 * 1024 * 1024
MESSAGE_CHARACTERS_MAX = 200


class RpcRefused(TransportError):
    """The node answered with an error; `code` is the node's number for it."""

    def __init__(self, message: str, *, code: int) -> None:
        super().__init__(message)
        self.code = code


def call(
    endpoint: RpcEndpoint,
    method: str,
    parameters: Sequence[Any] = (),
    *,
    bytes_max: int = BYTES_MAX,
    total_s: float = TOTAL_S,
) -> Any:
    """The `result` of a method.

    Raises RpcRefused for the node's own errors and TransportError for whatever else goes wrong.
    """
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)})
    try:
        with open_stream(_request(endpoint, body.encode(), total_s)) as stream:
            stream.wait_for_head()
            status = stream.status
            content = stream.read_all(bytes_max)
    except TransportError as error:
        error.__cause__ = None
        raise
    # Some nodes give an error of their own with a status that is none of success.
    return _result(content, status)


def _request(endpoint: RpcEndpoint, body: bytes, total_s: float) -> HttpRequest:
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if endpoint.authorization:
        headers["Authorization"] = endpoint.authorization
    return HttpRequest(
        method="POST",
        url=endpoint.url,
        headers=headers,
        body=body,
        connect_s=CONNECT_S,
        first_byte_s=min(FIRST_BYTE_S, total_s),
        between_s=BETWEEN_S,
        total_s=total_s,
    )


def _result(content: bytes, status: int) -> Any:
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        answer = None
    problem = answer.get("error") if isinstance(answer, dict) else None
    if isinstance(problem, dict):
        code = problem.get("code")
        message = str(problem.get("message", ""))[:MESSAGE_CHARACTERS_MAX]
        raise RpcRefused(message, code=code if isinstance(code, int) else 0)
    if status != 200:
        raise TransportError(f"the node answered with status {status}")
    if not isinstance(answer, dict) or answer.get("id") != 1 or "result" not in answer:
        raise BrokenStream("the node's answer is not JSON-RPC", clean_end=True)
    return answer["result"]
