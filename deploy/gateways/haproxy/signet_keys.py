#!/usr/bin/env python3
"""Converts Signet's JWKS to a form that HAProxy can read, and reloads HAProxy when the set of keys has changed.

HAProxy cannot fetch a JWKS. Its `jwt_verify` reads public keys at start, from PEM files that its configuration names. This
solution has no code in the path of a request, unlike Lua or an agent, and does not look up a key by what a client says,
unlike a map from kid to path:

    Signet ── JWKS, each time that its Cache-Control ends ──> this ── keys.cfg, KID.pem ──> HAProxy
                                                                └── the command after `--`, if they changed ──^

keys.cfg has one line for each key. It verifies a token if its kid and its alg are those of the key. The file is replaced in
one step, and a PEM file never changes, because the kid is the key's thumbprint. HAProxy may therefore start at any moment.

    signet_keys.py http://127.0.0.1:8080/.well-known/jwks.json /var/lib/signet-haproxy --once
    signet_keys.py http://127.0.0.1:8080/.well-known/jwks.json /var/lib/signet-haproxy -- systemctl reload haproxy

Run the first before HAProxy starts. It writes the keys and ends, and fails if there are none. The second runs until it is
stopped. Its command must fail if HAProxy would not accept the new keys. `systemctl reload haproxy` does, because it checks the
configuration first. A failed command is logged and tried again. After a SIGUSR2 alone, it would go unnoticed that HAProxy kept
the old keys. If Signet does not answer, or answers without a key that HAProxy can use, the last keys stay. Needs only
Python 3.11.

SIGNET_VERIFIER_CACHE must be at least the longest time between two fetches (`--at-most`, 300 s), plus the time of a reload and
a minute for fetches that fail. Its default of 20 min is enough.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FETCH_LIMIT = 5.0
LARGEST_JWKS = 512 * 1024
SHORTEST_WAIT = 1.0
RELOAD_LIMIT = 60.0

# For each curve, the SubjectPublicKeyInfo (RFC 5480) in DER up to the point, which has a fixed length.
CURVES = {
    "ES256": ("P-256", 32, "3059301306072a8648ce3d020106082a8648ce3d030107034200"),
    "ES384": ("P-384", 48, "3076301006072a8648ce3d020106052b81040022036200"),
    "ES512": ("P-521", 66, "30819b301006072a8648ce3d020106052b8104002303818600"),
}
RSA = {"RS256", "RS384", "RS512"}
RSA_ALGORITHM = bytes.fromhex("300d06092a864886f70d0101010500")


class Unusable(Exception):
    """A key that HAProxy cannot use, or whose members contradict each other."""


def octets(jwk: Mapping[str, Any], name: str) -> bytes:
    text = jwk.get(name)
    if not isinstance(text, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", text):
        raise Unusable(f"its {name} is not base64url")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def der(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    size = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(size)]) + size + content


def der_integer(number: bytes) -> bytes:
    digits = number.lstrip(b"\0") or b"\0"
    return der(0x02, b"\0" + digits if digits[0] >= 0x80 else digits)


def public_key(jwk: Mapping[str, Any]) -> tuple[str, str, str]:
    """Returns the kid, the algorithm and the PEM of a key. Nothing else of the JWKS gets into a file."""
    algorithm = jwk.get("alg")
    if jwk.get("use", "sig") != "sig":
        raise Unusable("it is not for signatures")
    if algorithm in CURVES:
        curve, size, start = CURVES[algorithm]
        x, y = octets(jwk, "x"), octets(jwk, "y")
        if (jwk.get("kty"), jwk.get("crv"), len(x), len(y)) != ("EC", curve, size, size):
            raise Unusable(f"it is no key for {algorithm}")
        members = ("crv", "kty", "x", "y")
        spki = bytes.fromhex(start) + b"\x04" + x + y
    elif algorithm in RSA and jwk.get("kty") == "RSA":
        members = ("e", "kty", "n")
        pair = der(0x30, der_integer(octets(jwk, "n")) + der_integer(octets(jwk, "e")))
        spki = der(0x30, RSA_ALGORITHM + der(0x03, b"\0" + pair))
    else:
        raise Unusable(f"HAProxy cannot verify {algorithm!r}; set SIGNET_ALGORITHM to one of {[*CURVES, *sorted(RSA)]}")
    # The thumbprint (RFC 7638) is safe in a path and in a configuration, and never refers to another key.
    canonical = json.dumps({name: jwk[name] for name in members}, separators=(",", ":"), sort_keys=True)
    kid = base64.urlsafe_b64encode(hashlib.sha256(canonical.encode()).digest()).rstrip(b"=").decode()
    if jwk.get("kid") != kid:
        raise Unusable("its kid is not its thumbprint")
    text = base64.b64encode(spki).decode()
    lines = [text[i : i + 64] for i in range(0, len(text), 64)]
    return kid, algorithm, "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""])


def replace(path: Path, text: str) -> None:
    """Replaces a file in one step, and syncs it to the disk."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with beside.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)


def write(directory: Path, keys: list[tuple[str, str, str]]) -> None:
    """Writes the files for HAProxy. `tidy` removes unneeded PEM files after the reload."""
    lines = [
        "# Written by signet_keys.py; not to be edited. For `frontend … from signet_keys`.",
        "defaults signet_keys from common",
        "    http-request set-var(txn.token) http_auth_bearer",
        "    http-request set-var(txn.kid) var(txn.token),jwt_header_query('$.kid')",
        "    http-request set-var(txn.alg) var(txn.token),jwt_header_query('$.alg')",
    ]
    for kid, algorithm, pem in keys:
        path = directory / f"{kid}.pem"
        if not path.is_file():
            replace(path, pem)
        # `--` is needed because one kid in 64 begins with a hyphen, like an option.
        lines.append(
            f'    http-request set-var(txn.signature) var(txn.token),jwt_verify("{algorithm}","{path}")'
            f" if {{ var(txn.kid) -m str -- {kid} }} {{ var(txn.alg) -m str -- {algorithm} }}"
        )
    text = "\n".join([*lines, ""])
    path = directory / "keys.cfg"
    if not path.is_file() or path.read_text() != text:
        replace(path, text)


def tidy(directory: Path, keys: list[tuple[str, str, str]]) -> None:
    """Removes the keys that are no longer published. Call it when no new process of HAProxy can need them."""
    published = {kid for kid, _, _ in keys}
    for path in directory.glob("*.pem"):
        if path.stem not in published:
            path.unlink(missing_ok=True)


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: keys come only from the operator's address."""

    def redirect_request(self, *_: Any) -> None:
        return None


def fetch(url: str) -> tuple[list[tuple[str, str, str]], float]:
    """Returns the keys that HAProxy can use, and for how many seconds they may be cached."""
    opener = urllib.request.build_opener(NoRedirect, urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=FETCH_LIMIT) as answer:
        text = answer.read(LARGEST_JWKS + 1)
        max_age = re.search(r"max-age=(\d+)", answer.headers.get("cache-control", ""))
    if len(text) > LARGEST_JWKS:
        raise ValueError(f"the JWKS has more than {LARGEST_JWKS} octets")
    keys = []
    for jwk in json.loads(text)["keys"]:
        try:
            keys.append(public_key(jwk))
        except Unusable as why:
            say(f"key {str(jwk.get('kid'))[:64]!r} is left out: {why}")
    if not keys:
        raise ValueError("the JWKS has no key that HAProxy can use")
    return sorted(keys), float(max_age[1]) if max_age else 0.0


def say(what: str) -> None:
    print(f"signet_keys: {what}", file=sys.stderr, flush=True)


def follow(url: str, directory: Path, at_most: float, reload: list[str]) -> None:
    """Keeps HAProxy's keys up to date. Never returns."""
    # The keys that HAProxy uses. Unknown at first, so HAProxy is reloaded once, in case an earlier run was killed between
    # a change and a reload.
    loaded: list[tuple[str, str, str]] | None = None
    pause = SHORTEST_WAIT
    while True:
        try:
            keys, max_age = fetch(url)
            if keys != loaded:
                write(directory, keys)
                subprocess.run(reload, check=True, timeout=RELOAD_LIMIT, stdin=subprocess.DEVNULL)
                loaded = keys
                tidy(directory, keys)
                say(f"HAProxy was reloaded with {[kid for kid, _, _ in keys]}")
            pause = SHORTEST_WAIT
            time.sleep(max(SHORTEST_WAIT, min(max_age, at_most)))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, subprocess.SubprocessError) as error:
            say(f"{url}: {error}; HAProxy goes on with the keys that it has; next try in {pause:.0f} s")
            time.sleep(pause)
            pause = min(2 * pause, at_most, 30.0)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0], epilog="After --: the command that reloads HAProxy."
    )
    parser.add_argument("url", help="Signet's JWKS")
    parser.add_argument("directory", type=Path, help="where keys.cfg and the PEM files are; HAProxy must be able to read it")
    parser.add_argument("--once", action="store_true", help="write the keys and end")
    parser.add_argument("--at-most", type=float, default=300.0, help="seconds between two fetches, whatever max-age says")
    # argparse would mix up the command's options with ours.
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    reload = sys.argv[end + 1 :]
    asked = parser.parse_args(sys.argv[1:end])
    directory = asked.directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    if not re.fullmatch(r"[A-Za-z0-9_./-]+", str(directory)):
        parser.error("the directory's path must need no quotes in a configuration of HAProxy")
    if asked.once:
        try:
            keys, _ = fetch(asked.url)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            say(f"{asked.url}: {error}")
            return 1
        write(directory, keys)
        return 0
    if not reload:
        parser.error("say after -- how HAProxy is reloaded, or --once")
    follow(asked.url, directory, asked.at_most, reload)
    return 0


if __name__ == "__main__":
    sys.exit(main())
