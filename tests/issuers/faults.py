"""What a provider can do wrong, and what it may do although it looks odd."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from keys import Jwk, Key, encoded
from proxy import ELSEWHERE, Answer, Exchange, Fault, Gone, head

JSON = "application/json"
FLOOD = 50 * 1024 * 1024
PIECE = 64 * 1024
# The time for one byte of a trickle, in seconds. A whole JWKS takes minutes.
DROP = 0.2


def hangs(exchange: Exchange) -> None:
    """Reads the request and stays silent."""
    exchange.wait()


def trickles(exchange: Exchange) -> None:
    """Answers byte by byte, so the connection is never silent."""
    answer = exchange.forwarded()
    exchange.send(head(answer, len(answer.body)))
    for octet in answer.body:
        exchange.send(bytes([octet]))
        exchange.wait(DROP)


def hangs_in_the_middle(exchange: Exchange) -> None:
    """Sends half an answer, and then nothing."""
    answer = exchange.forwarded()
    exchange.send(head(answer, len(answer.body)) + answer.body[: len(answer.body) // 2])
    exchange.wait()


def ends_in_the_middle(exchange: Exchange) -> None:
    """Sends half an answer, and closes the connection."""
    answer = exchange.forwarded()
    exchange.send(head(answer, len(answer.body)) + answer.body[: len(answer.body) // 2])
    raise Gone


def says(status: int, body: bytes, content_type: str = JSON, **headers: str) -> Fault:
    """Always sends this answer."""
    return lambda exchange: exchange.answer(Answer(status, content_type, body, headers))


answers_500 = says(500, b'{"error":"server_error"}')
answers_404 = says(404, b"not found", "text/plain")
answers_html = says(200, b"<!doctype html><title>Sign in</title><p>The network wants you to sign in.", "text/html")
answers_garbage = says(200, b'{"keys":[{"kty":"RSA",')
answers_another_json = says(200, b'["keys"]')
answers_nothing = says(200, b"")
redirects = says(302, b"", location=ELSEWHERE)


def floods(exchange: Exchange) -> None:
    """Sends 50 MB with their length."""
    pour(exchange, FLOOD)


def floods_unannounced(exchange: Exchange) -> None:
    """Sends 50 MB without a length."""
    pour(exchange, None)
    raise Gone


def floods_its_head(exchange: Exchange) -> None:
    """Sends 50 MB of headers."""
    exchange.send(b"HTTP/1.1 200 OK\r\n")
    for n in range(FLOOD // PIECE):
        exchange.send(f"x-{n}: ".encode() + b"x" * PIECE + b"\r\n")
    raise Gone


def pour(exchange: Exchange, length: int | None) -> None:
    exchange.send(head(Answer(200, JSON, b""), length) + b'{"keys":[')
    for _ in range(FLOOD // PIECE):
        exchange.send(b" " * PIECE)


def altered(alter: Callable[[dict[str, Any]], dict[str, Any]]) -> Fault:
    """The provider's answer with a change."""

    def fault(exchange: Exchange) -> None:
        answer = exchange.forwarded()
        answer.body = json.dumps(alter(json.loads(answer.body))).encode()
        exchange.answer(answer)

    return fault


def with_keys(alter: Callable[[list[Jwk]], list[Jwk]]) -> Fault:
    """The provider's JWKS with other keys."""
    return altered(lambda jwks: {**jwks, "keys": alter(jwks["keys"])})


def only(*keys: Jwk) -> Fault:
    """A JWKS with only these keys."""
    return with_keys(lambda _: list(keys))


def and_also(*keys: Jwk) -> Fault:
    """These keys, followed by the provider's."""
    return with_keys(lambda theirs: [*keys, *theirs])


def each(**members: Any) -> Fault:
    """The provider's keys with these members changed, or removed if they are None."""

    def change(key: Jwk) -> Jwk:
        return {name: value for name, value in (key | members).items() if value is not None}

    return with_keys(lambda keys: [change(key) for key in keys])


def symmetric(kid: str, secret: bytes = b"a secret that everybody knows, as it is published") -> Jwk:
    """An HMAC key, which does not belong in a JWKS."""
    return {"kty": "oct", "kid": kid, "alg": "HS256", "use": "sig", "k": encoded(secret)}


def copies(key: Key, times: int) -> list[Jwk]:
    """Many keys, each with its own kid."""
    return [{**key.public, "kid": f"{key.kid}-{n}"} for n in range(times)]


# After each of these, a fetch has failed, and the last good keys stay in use.
FAILURES: dict[str, Fault] = {
    "hangs": hangs,
    "trickles": trickles,
    "hangs in the middle": hangs_in_the_middle,
    "ends in the middle": ends_in_the_middle,
    "answers 500": answers_500,
    "answers 404": answers_404,
    "answers HTML": answers_html,
    "answers garbage": answers_garbage,
    "answers another JSON": answers_another_json,
    "answers nothing": answers_nothing,
    "redirects": redirects,
    "floods": floods,
    "floods unannounced": floods_unannounced,
    "floods its head": floods_its_head,
    "has no keys": only(),
    "has symmetric keys only": only(symmetric("rsa"), symmetric("ec")),
    "has keys for encryption only": each(use="enc", alg=None),
    "has keys for signing only": each(key_ops=["sign"], use=None),
    "has a weak key only": only(Key.made("rsa", "RS256", bits=1024).public),
    "has too many keys": and_also(*copies(Key.made("many", "ES256"), 10_000)),
}
# Faults that do not depend on the requested document.
OF_THE_LINE = ["hangs", "answers 500", "answers HTML", "answers garbage", "redirects", "floods unannounced"]

