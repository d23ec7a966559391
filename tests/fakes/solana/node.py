"""A node of the chain that answers JSON-RPC over HTTP, or fails at it.

| `fault`    | what happens                                             |
|------------|----------------------------------------------------------|
| `down`     | the line is cut without an answer                        |
| `slow`     | nothing comes until `release()`                          |
| `busy`     | 429, as public nodes say it                              |
| `moved`    | a redirect                                               |
| `garbage`  | an answer that is no JSON                                |
| `endless`  | an answer that never ends                                |
| `error`    | an error of JSON-RPC's                                   |

A lie is a function in `rewrites`, by method: it is given parameters and the true result and returns
what is told instead.
"""

import base64
import json
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from solders.transaction import VersionedTransaction

from tests.fakes.site import Site, SiteHandler
from tests.fakes.solana.chain import Chain, Recorded, is_signature

Json = dict[str, Any]
Lie = Callable[[list[Any], Any], Any]

WORDS: dict[str, tuple[int, bytes, dict[str, str]]] = {
    "busy": (429, b'{"error":"Too many requests"}', {}),
    "moved": (307, b"", {"Location": "http://127.0.0.1:9/elsewhere"}),
    "garbage": (200, b"<html>welcome</html>", {}),
}
PAGE_MAX = 1000
JSON_TYPE = "application/json"


class RpcError(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class NodeHandler(SiteHandler):
    """One connection to the node, which may be kept."""

    protocol_version = "HTTP/1.1"

    def take(self) -> None:
        asked, node = json.loads(self.body()), self.site
        node.authorizations.append(self.headers.get("Authorization", ""))
        self.close_connection = node.fault in ("down", "slow", "endless")
        if node.fault == "slow":
            node.wait_until_released()
        elif node.fault == "endless":
            self._never_end()
        elif node.fault in WORDS:
            status, content, headers = WORDS[node.fault]
            self.say(status, content, JSON_TYPE, **headers)
        elif node.fault != "down" and self.path != f"/v2/{node.token}":
            self.say(401, b'{"error":"unauthorized"}', JSON_TYPE)
        elif node.fault != "down":
            self.say(200, json.dumps(self._reply(asked)).encode(), JSON_TYPE)

    def _reply(self, asked: Json) -> Json:
        reply = {"jsonrpc": "2.0", "id": asked["id"]}
        try:
            return {**reply, "result": self.site.answer(asked["method"], asked["params"])}
        except RpcError as error:
            return {**reply, "error": {"code": error.code, "message": str(error)}}

    def _never_end(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(10**12))
        self.end_headers()
        with suppress(OSError):
            while True:
                self.wfile.write(b" " * 65_536)


class Node(Site):
    """A node; its path holds a secret, as hosted nodes' do."""

    handler = NodeHandler
    waits_for_clients = False

    def __init__(self, chain: Chain, *, token: str = "node-token-0123456789") -> None:
        self.chain = chain
        self.token = token
        self.fault = ""
        self.page_max = PAGE_MAX
        self.rewrites: dict[str, Lie] = {}
        self.asked: list[tuple[str, list[Any]]] = []
        self.authorizations: list[str] = []
        self._released = threading.Event()
        super().__init__()

    @property
    def url(self) -> str:
        """What a client takes, secret included."""
        return f"{self.origin}/v2/{self.token}"

    @property
    def name(self) -> str:
        """What may be told of it."""
        return self.origin.removeprefix("http://")

    def count(self, method: str) -> int:
        """How often it was asked for this."""
        return sum(name == method for name, _ in self.asked)

    def release(self) -> None:
        """Lets go of those who wait for a slow answer."""
        self._released.set()

    def wait_until_released(self) -> None:
        self._released.wait(60)

    def close(self) -> None:
        """Lets go of those who wait, and stops listening."""
        self.release()
        super().close()

    def answer(self, method: str, parameters: list[Any]) -> Any:
        """The result of a method. Raises RpcError."""
        self.asked.append((method, parameters))
        if self.fault == "error":
            raise RpcError(-32005, f"Node is behind by 150 slots ({self.url})")
        verb = VERBS.get(method)
        if verb is None:
            raise RpcError(-32601, "Method not found")
        result = verb(self, *parameters)
        lie = self.rewrites.get(method)
        return result if lie is None else lie(parameters, result)

    def context(self, value: Any) -> Json:
        return {"context": {"apiVersion": "3.1.0", "slot": self.chain.slot}, "value": value}


def get_signatures(node: Node, address: str, options: Json | None = None) -> list[Json]:
    options = options or {}
    found = node.chain.mentioning(address, options.get("commitment", "finalized"))
    signatures = [record.signature for record in found]
    start = signatures.index(options["before"]) + 1 if options.get("before") in signatures else 0
    end = signatures.index(options["until"]) if options.get("until") in signatures else len(found)
    limit = options.get("limit", PAGE_MAX)
    if not 0 < limit <= PAGE_MAX:
        raise RpcError(-32602, "Invalid limit; max 1000")
    return [
        {
            "blockTime": record.block_time,
            "confirmationStatus": record.status,
            "err": record.told["meta"]["err"],
            "memo": None,
            "signature": record.signature,
            "slot": record.slot,
        }
        for record in found[start:end][: min(limit, node.page_max)]
    ]


def get_transaction(node: Node, signature: str, options: Json | None = None) -> Json | None:
    options = options or {}
    if not is_signature(signature):
        raise RpcError(-32602, "Invalid param: WrongSize")
    if options.get("encoding") != "jsonParsed":
        raise RpcError(-32602, "this node only parses")
    record: Recorded | None = node.chain.find(signature, options.get("commitment", "finalized"))
    if record is None:
        return None
    told = record.told
    if told["version"] == 0 and options.get("maxSupportedTransactionVersion") is None:
        raise RpcError(-32015, "Transaction version (0) is not supported by the requesting client.")
    return {**told, "blockTime": record.block_time, "slot": record.slot}


def get_token_accounts(node: Node, owner: str, wanted: Json, *_: Any) -> Json:
    found = []
    for address in sorted({key for record in node.chain.records for key in record.keys}):
        account = node.chain.account(address)
        told = account["data"] if account else None
        info = told["parsed"]["info"] if isinstance(told, dict) else {}
        if info.get("owner") == owner and info.get("mint") == wanted.get("mint"):
            found.append({"account": account, "pubkey": address})
    return node.context(found)


def get_statuses(node: Node, signatures: list[str], *_: Any) -> Json:
    found = [node.chain.find(signature, "confirmed") for signature in signatures]
    return node.context(
        [
            record
            and {
                "confirmationStatus": record.status,
                "confirmations": None if record.is_final else 10,
                "err": record.told["meta"]["err"],
                "slot": record.slot,
                "status": record.told["meta"]["status"],
            }
            for record in found
        ]
    )


def send_transaction(node: Node, encoded: str, options: Json | None = None) -> str:
    if (options or {}).get("encoding") != "base64":
        raise RpcError(-32602, "this node takes base64")
    transaction = VersionedTransaction.from_bytes(base64.b64decode(encoded))
    return node.chain.take(transaction).signature


def get_latest_blockhash(node: Node, *_: Any) -> Json:
    blockhash = node.chain.latest_blockhash()
    return node.context({"blockhash": blockhash, "lastValidBlockHeight": node.chain.slot + 150})


VERBS: dict[str, Callable[..., Any]] = {
    "getHealth": lambda _: "ok",
    "getSlot": lambda node, *_: node.chain.slot,
    "getGenesisHash": lambda node: node.chain.genesis_hash,
    "getAccountInfo": lambda node, address, *_: node.context(node.chain.account(address)),
    "getTokenAccountsByOwner": get_token_accounts,
    "getLatestBlockhash": get_latest_blockhash,
    "getSignaturesForAddress": get_signatures,
    "getSignatureStatuses": get_statuses,
    "getTransaction": get_transaction,
    "sendTransaction": send_transaction,
}
