"""A client that is a plain socket: it sees each byte as it comes, and when the line is closed."""

import json
import socket
from collections.abc import Mapping

from tests.e2e.scene import Customer


def ask(customer: Customer, model: str, *, receive_bytes: int = 0) -> socket.socket:
    """Asks for a stream over a connection that stays open; its receive buffer may be small."""
    line = socket.socket()
    if receive_bytes:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    line.settimeout(20)
    line.connect(("127.0.0.1", customer.scene.served.port))
    messages = [{"role": "user", "content": "Hello!"}]
    body = json.dumps({"model": model, "messages": messages, "stream": True}).encode()
    head: Mapping[str, object] = {
        "Host": "127.0.0.1",
        "Content-Type": "application/json",
        "Content-Length": len(body),
        **customer.person.bearer,
    }
    lines = [b"POST /v1/chat/completions HTTP/1.1"]
    lines += [f"{name}: {value}".encode() for name, value in head.items()]
    line.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + body)
    return line


def read_until(line: socket.socket, mark: bytes) -> bytes:
    """What comes until the mark has come. A line that is closed before fails the test."""
    data = b""
    while mark not in data:
        data += (piece := line.recv(65_536))
        assert piece, data[-500:]
    return data
