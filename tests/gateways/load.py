"""Load on a gateway: tokens are used when they are new and again just before they expire, while keys rotate."""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping

from identity import CLAIMS, bearer, with_another_signature
from processes import Client
from sidecar import Sidecar

# The times of deploy/gateways, compressed. The verifier cache covers the time for which a gateway keeps keys
# (`CACHE_DURATION`) plus a fetch. L ≥ R + max(M, V) + 2S: 4 s ≥ 3.3 s; P ≥ 2L.
CACHE_DURATION = "1s"
POLICY = {
    "rotation_period": "8s",
    "publish_lead": "4s",
    "refresh_interval": "300ms",
    "jwks_max_age": "1s",
    "verifier_cache": "2s",
    "clock_skew": "500ms",
    "token_ttl": "3s",
    "token_max_ttl": "3s",
}
ROTATIONS = 3
ROTATIONS_LIMIT = 60.0
WORKERS = 3
# A token is used again when it is this close to its `exp`, in seconds.
LAST_MOMENT = 0.5
# One in this many tokens is also used with a wrong signature.
TAMPERED = 20


class Load:
    """Uses each token with every listener, and records the answers."""

    def __init__(self, sidecar: Sidecar, ports: Mapping[str, int]) -> None:
        self.sidecar = sidecar
        self.ports = dict(ports)
        # The number of tokens signed, by kid.
        self.signed: Counter[str] = Counter()
        self.passed: Counter[str] = Counter()
        self.kept_out: Counter[str] = Counter()
        self.faults: list[str] = []
        self.slowest = dict.fromkeys(self.ports, 0.0)
        self._waiting: deque[tuple[str, int]] = deque()
        self._due: queue.Queue[tuple[str, str, int] | None] = queue.Queue(WORKERS)
        self._workers = [threading.Thread(target=self._work, daemon=True) for _ in range(WORKERS)]
        for worker in self._workers:
            worker.start()

    def step(self) -> None:
        """Signs one token, and uses it and those whose time has come."""
        signed = self.sidecar.sign(CLAIMS)
        token, exp = signed["token"], signed["exp"]
        self.signed[signed["kid"]] += 1
        self._due.put(("new", token, exp))
        self._waiting.append((token, exp))
        while self._waiting and self._waiting[0][1] - time.time() < LAST_MOMENT:
            self._due.put(("old", *self._waiting.popleft()))
        if self.signed.total() % TAMPERED == 0:
            self._due.put(("bad", with_another_signature(token), exp))

    def finish(self) -> None:
        """Waits for the missing answers."""
        for _ in self._workers:
            self._due.put(None)
        for worker in self._workers:
            worker.join()

    def _work(self) -> None:
        clients = {name: Client(port) for name, port in self.ports.items()}
        while due := self._due.get():
            for name, client in clients.items():
                self._show(name, client, *due)
        for client in clients.values():
            client.close()

    def _show(self, name: str, client: Client, age: str, token: str, exp: int) -> None:
        asked = time.monotonic()
        try:
            answer = client.get("/orders", [bearer(token)])
        except OSError as error:
            self.faults.append(f"{name}: no answer for a {age} token: {error!r}")
            client.close()
            return
        self.slowest[name] = max(self.slowest[name], time.monotonic() - asked)
        if age == "bad":
            right, count = answer.status == 401, self.kept_out
        else:
            # It may have expired while it was used. Then it was not a good token any more.
            right, count = answer.status == 200 or time.time() >= exp, self.passed
        count[name] += 1
        if not right:
            self.faults.append(f"{name}: {answer.status} for a {age} token: {answer.body[:200]}")


def rotate_under_load(name: str, sidecar: Sidecar, ports: Mapping[str, int], figure: Callable[[str], None]) -> None:
    """Three rotations, in which no listener may refuse a good token or accept a bad one."""
    load = Load(sidecar, ports)
    began = time.monotonic()
    while len(load.signed) <= ROTATIONS:
        assert time.monotonic() - began < ROTATIONS_LIMIT, f"keys that signed: {load.signed}"
        load.step()
    load.finish()
    assert not load.faults, f"{len(load.faults)} of {load.passed}, the first: {load.faults[0]}"
    # The last key has only just begun to sign.
    assert sorted(load.signed.values())[1] > 100, f"too few tokens to show anything: {load.signed}"
    assert min(load.kept_out.values()) > 10, load.kept_out
    figure(
        f"{name}, {ROTATIONS} rotations: {load.signed.total()} tokens of {len(load.signed)} keys; good ones passed by "
        f"{dict(load.passed)}, bad ones kept out by {dict(load.kept_out)}, 0 wrong; slowest answer in ms "
        f"{ {name: round(seconds * 1000) for name, seconds in load.slowest.items()} }"
    )
