"""A gateway whose sidecar hangs."""

from __future__ import annotations

import time

from identity import CLAIMS, bearer
from processes import Client
from program import wait_until
from sidecar import Sidecar

RECOVERY_LIMIT = 20.0


def statuses(client: Client, token: str, times: int = 20) -> set[int]:
    """The statuses for a token that is used this many times."""
    return {client.get("/orders", [bearer(token)]).status for _ in range(times)}


def time_of_a_refusal(mortal: Sidecar, port: int) -> float:
    """How long the gateway holds a request while the sidecar hangs, in seconds. Afterwards everything works again."""
    client = Client(port)
    good = mortal.sign(CLAIMS)["token"]
    assert statuses(client, good) == {200}
    mortal.pause()
    try:
        began = time.monotonic()
        assert statuses(client, good, 5) == {503}
        took = (time.monotonic() - began) / 5
    finally:
        mortal.resume()
    wait_until(lambda: statuses(client, good, 1) == {200}, RECOVERY_LIMIT, "the gateway gets answers again")
    assert statuses(client, good) == {200}
    client.close()
    return took
