"""An open connection to the socket, with as little code as possible between a request and its answer."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from sidecar import REQUEST_LIMIT

GOOD = b'"active":true'
MILLISECOND = 1e-3


def verify_request(token: str) -> bytes:
    """`POST /v1/verify` for the configured audience."""
    body = json.dumps({"token": token}).encode()
    return b"POST /v1/verify HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


class Raw:
    """Sends prepared requests, and times their answers."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(REQUEST_LIMIT)
        self._socket.connect(str(path))
        self._rest = b""

    def timed(self, request: bytes) -> tuple[float, bytes]:
        """The time in seconds, and the whole answer."""
        began = time.perf_counter()
        self._socket.sendall(request)
        answer = self._answer()
        return time.perf_counter() - began, answer

    def _answer(self) -> bytes:
        while (end := self._rest.find(b"\r\n\r\n")) < 0:
            self._read()
        head = self._rest[:end].lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
        whole = end + 4 + length
        while len(self._rest) < whole:
            self._read()
        answer, self._rest = self._rest[:whole], self._rest[whole:]
        return answer

    def _read(self) -> None:
        piece = self._socket.recv(1 << 20)
        if not piece:
            raise ConnectionError("the sidecar closed the connection")
        self._rest += piece

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def quantile(times: Sequence[float], part: float) -> float:
    """The quantile of times in seconds, converted to milliseconds."""
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] / MILLISECOND
