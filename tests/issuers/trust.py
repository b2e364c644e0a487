"""A sidecar that trusts issuers, and the three interfaces for tokens."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from check import Checker
from program import LOOPBACK
from provider import AUDIENCE, Issuer
from sidecar import REQUEST_LIMIT, Sidecar, UnixConnection, binary

# Compressed times. A healthy issuer is asked every second.
TABLE: dict[str, Any] = {
    "audiences": [AUDIENCE],
    "min_refresh": "1s",
    "max_refresh": "1s",
    "max_stale": "1h",
    "unknown_kid_cooldown": "1s",
}
# An issuer that is asked only once an hour, unless a token gives a reason.
SELDOM = {"min_refresh": "1s", "max_refresh": "1h", "unknown_kid_cooldown": "1s"}
ACCEPTED = "accepted"
UNAVAILABLE = "issuer_unavailable"
CHECK_LIMIT = 60.0


def settings_file(directory: Path, tables: Mapping[str, Mapping[str, Any]]) -> Path:
    """The settings file with a table for each issuer."""
    lines: list[str] = []
    for issuer, table in tables.items():
        lines.append(f"[trusted_issuers.{json.dumps(issuer)}]")
        lines += [f"{name} = {json.dumps(value)}" for name, value in table.items()]
    path = directory / "signet.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


class Trusting(Sidecar):
    """A sidecar that trusts these issuers. `tables` has settings of an issuer's table that differ from `TABLE`."""

    def __init__(
        self, *issuers: Issuer | str, tables: Mapping[str, Mapping[str, Any]] | None = None, **settings: str
    ) -> None:
        names = [issuer if isinstance(issuer, str) else issuer.name for issuer in issuers]
        self.tables = {name: TABLE | (tables or {}).get(name, {}) for name in names}
        super().__init__(**({"trusted_issuers": ",".join(names), "audience": AUDIENCE, "algorithm": "ES256"} | settings))
        self.doors = Doors(self)

    def command(self) -> Sequence[str | Path]:
        self._settings |= {"config": str(settings_file(self.directory, self.tables))}
        return super().command()

    def own(self, **claims: Any) -> str:
        """A token of the sidecar itself."""
        return str(self.sign({"sub": "user-7", "aud": AUDIENCE, "scope": "orders:read"} | claims)["token"])

    def reload(self) -> None:
        """SIGHUP: reads everything now."""
        self._process.send_signal(signal.SIGHUP)

    def jwks(self) -> list[dict[str, Any]]:
        """The keys that it publishes."""
        with urllib.request.urlopen(self.discovery()["jwks_uri"], timeout=REQUEST_LIMIT) as answer:
            return list(json.load(answer)["keys"])

    def metrics(self) -> str:
        """`/metrics`."""
        return self._admin_text("/metrics")

    def page(self) -> str:
        """The status page."""
        return self._admin_text("/")

    def readiness(self) -> str:
        """The body of `/readyz`."""
        return self._admin_text("/readyz")

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        lines = [line for line in self.metrics().splitlines() if re.match(name + r"[{ ]", line)]
        return sum(float(line.split()[-1]) for line in lines if all(text in line for text in wanted))

    def failed_fetches(self, issuer: Issuer) -> float:
        """How many fetches of an issuer's keys have failed so far."""
        return self.fetches(issuer.name, "failed")

    def fetches(self, issuer: str, outcome: str = "ok") -> float:
        """How many fetches of an issuer's keys have had this result."""
        return self.metric("signet_issuer_fetches_total", issuer=issuer, outcome=outcome)

    def check(self) -> tuple[int, str]:
        """`signet check` with its settings. Returns the exit code and the answer."""
        command = [binary(), "check"]
        done = subprocess.run(command, env=self.environment(), capture_output=True, text=True, timeout=CHECK_LIMIT)
        return done.returncode, done.stdout

    def memory(self) -> int:
        """Its peak memory in KiB (proc(5), `VmHWM`)."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0])

    def _admin_text(self, path: str) -> str:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{self._admin}{path}", timeout=REQUEST_LIMIT) as answer:
            return str(answer.read().decode())

    def kill(self) -> None:
        # If it does not start, it is killed before it has any.
        if hasattr(self, "doors"):
            self.doors.close()
        super().kill()

    def revive(self) -> None:
        super().revive()
        self.doors = Doors(self)

    def stop(self) -> int:
        self.doors.close()
        return super().stop()


def word(sidecar: Trusting, token: str) -> str:
    """The verdict of one interface on a token."""
    return sidecar.doors.ask("verify", token).word


@dataclass(frozen=True)
class Verdict:
    """The result for a token: `accepted`, the code of the refusal, or the type of the problem."""

    word: str
    subject: str | None = None
    scope: str | None = None


class Doors:
    """`/v1/verify`, `/v1/authorize` and `Check`, with the same questions."""

    NAMES = ("verify", "authorize", "check")

    def __init__(self, sidecar: Sidecar) -> None:
        self._connection = UnixConnection(sidecar.socket)
        self._checker = Checker(sidecar.socket)

    def ask(self, door: str, token: str, **asked: Any) -> Verdict:
        """`asked` contains lists or strings: audience, scope, issuer."""
        ask = {"verify": self._verify, "authorize": self._authorize, "check": self._check}[door]
        return ask(token, asked)

    def all(self, token: str, **asked: Any) -> Verdict:
        """The verdict of all three, which must agree."""
        verdicts = {door: self.ask(door, token, **asked).word for door in self.NAMES}
        assert len(set(verdicts.values())) == 1, verdicts
        return self.ask("authorize", token, **asked)

    def identity(self, token: str) -> dict[str, str]:
        """The headers that `authorize` makes for a token. `Check` must make the same."""
        status, headers, answer = self._send("GET", "/v1/authorize", authorization=f"Bearer {token}")
        assert status == 200, answer
        made = {name: value for name, value in headers.items() if name.startswith("x-")}
        checked = self._checker.ask([("authorization", f"Bearer {token}")], {}).overwritten
        assert {name: value for name, value in checked.items() if name in made} == made
        return made

    def close(self) -> None:
        self._connection.close()
        self._checker.channel.close()

    def introspect(self, token: str) -> tuple[int, dict[str, Any]]:
        """`POST /v1/introspect` (RFC 7662): status and answer."""
        form = {"content-type": "application/x-www-form-urlencoded"}
        status, _, answer = self._send("POST", "/v1/introspect", urllib.parse.urlencode({"token": token}), **form)
        return status, answer

    def _send(self, method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, Any, dict[str, Any]]:
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        text = answer.read()
        return answer.status, answer.headers, json.loads(text) if text else {}

    def _verify(self, token: str, asked: Mapping[str, Any]) -> Verdict:
        status, _, answer = self._send("POST", "/v1/verify", json.dumps({"token": token, **asked}))
        if status != 200:
            return Verdict(problem(answer, status))
        if not answer["active"]:
            return Verdict(answer["error"])
        return Verdict(ACCEPTED, answer["claims"].get("sub"))

    def _authorize(self, token: str, asked: Mapping[str, Any]) -> Verdict:
        query = urllib.parse.urlencode(asked, doseq=True)
        status, headers, answer = self._send("GET", f"/v1/authorize?{query}", authorization=f"Bearer {token}")
        if status != 200:
            return Verdict(problem(answer, status))
        return Verdict(ACCEPTED, headers["x-auth-subject"], headers["x-auth-scope"])

    def _check(self, token: str, asked: Mapping[str, Any]) -> Verdict:
        requires = {name: value if isinstance(value, str) else " ".join(value) for name, value in asked.items()}
        verdict = self._checker.ask([("authorization", f"Bearer {token}")], requires)
        if verdict.code:
            return Verdict(problem(verdict.problem, verdict.status))
        return Verdict(ACCEPTED, verdict.overwritten.get("x-auth-subject"), verdict.overwritten.get("x-auth-scope"))


def problem(answer: Mapping[str, Any], status: int | None) -> str:
    """The code of a refusal is before its sentence. Other problems have their own types."""
    word = str(answer["type"]).rpartition(":")[2]
    assert answer["status"] == status
    if word in ("invalid_token", "insufficient_scope") and (code := re.match(r"(\w+): ", str(answer["detail"]))):
        return code[1]
    assert word != UNAVAILABLE or status == 503
    return word

