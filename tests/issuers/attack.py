"""Tokens with random kids, sent by separate processes, so only Signet's own cost is measured."""

from __future__ import annotations

import multiprocessing
import secrets
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import cycle
from multiprocessing.synchronize import Event
from pathlib import Path

from keys import encoded, unsigned
from program import wait_until
from provider import Issuer
from proxy import JWKS
from raw import Raw, verify_request

WORKERS = 2
LIMIT = 30.0
ended: Event


def random_requests(issuer: Issuer, times: int) -> list[bytes]:
    """Requests with tokens of this issuer, each with an unknown kid."""
    claims, signature = issuer.claims(), encoded(bytes(64))

    def token() -> str:
        return unsigned({"alg": "ES256", "typ": "at+jwt", "kid": secrets.token_hex(8)}, claims) + "." + signature

    return [verify_request(token()) for _ in range(times)]


def prepare(end: Event) -> None:
    """Stores, in a process of the attack, the event that ends it."""
    global ended
    ended = end


def show(socket: Path, requests: list[bytes], for_ever: bool) -> int:
    """Sends the requests one by one, once or until the end. Returns how many were refused for their kid."""
    refused = 0
    with Raw(socket) as raw:
        for request in cycle(requests) if for_ever else requests:
            if ended.is_set():
                break
            refused += b'"unknown_key"' in raw.timed(request)[1]
    return refused


class Attack:
    """Sends all requests as fast as possible on several connections, once or repeatedly until `end`."""

    def __init__(self, socket: Path, requests: list[bytes], for_ever: bool = False) -> None:
        # A fork would copy locks that other threads of this process hold at the moment.
        processes = multiprocessing.get_context("spawn")
        self._ended = processes.Event()
        self._pool = ProcessPoolExecutor(WORKERS, processes, prepare, (self._ended,))
        self._work = [self._pool.submit(show, socket, requests[n::WORKERS], for_ever) for n in range(WORKERS)]

    def end(self) -> int:
        """Ends an attack that runs for ever. Returns how many requests were refused."""
        self._ended.set()
        return self.refused()

    def goes_on(self) -> bool:
        """Whether there are requests left."""
        return not all(work.done() for work in self._work)

    def refused(self) -> int:
        """How many requests were refused, once all are answered."""
        return sum(work.result() for work in self._work)

    def __enter__(self) -> Attack:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._pool.shutdown()


def early_fetches(issuer: Issuer, began: float, took: float, cool_down: float) -> int:
    """How many fetches of the keys an attack causes: at least one, and at most one per cool-down (seconds)."""
    # The last tokens request another fetch after the cool-down.
    wait_until(lambda: time.monotonic() > began + took + 1.5 * cool_down, LIMIT, "what was wished for has come")
    fetches = len(issuer.proxy.seen(JWKS)) - 1
    assert 1 <= fetches <= took / cool_down + 2
    return fetches
