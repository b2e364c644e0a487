"""Generates configuration files of KrakenD from a seed, and the backend for them, to compare two gateways.

What "Differences from KrakenD" in docs/gateway.md lists is not generated: equal keys in two answers that are merged in
parallel, answers without a body, missing values, and of flatmap_filter all that "Differences" names.
"""

from __future__ import annotations

import http
import http.server
import json
import random
from typing import Any

from processes import HttpServer

NAMES = ["a", "b", "c", "d", "name", "items"]
TEXTS = ["", "text", "Ünïcode ✓", 'quote " and \\', "<b>&</b>", "a/b?c=d", "line\nline", "0"]
# In these spellings: no gateway may change the digits.
NUMBERS = ["0", "-1", "1.50", "12345678901234567890", "1e3", "0.1", "9007199254740993"]
STRATEGIES = ["always", "success", "errored", "complete", "incomplete"]
# Documents of one backend.
DOCUMENTS = 60


class Number(float):
    """A number that keeps its spelling."""

    def __new__(cls, text: str) -> Number:
        number = super().__new__(cls, text)
        number.text = text  # type: ignore[attr-defined]
        return number

    def __repr__(self) -> str:
        return str(self.text)  # type: ignore[attr-defined]


def written(value: Any) -> str:
    """Writes JSON, with the original digits of each number."""
    match value:
        case Number():
            return repr(value)
        case dict():
            return "{" + ",".join(f"{json.dumps(name)}:{written(member)}" for name, member in value.items()) + "}"
        case list():
            return "[" + ",".join(map(written, value)) + "]"
        case _:
            return json.dumps(value, ensure_ascii=False)


class Documents:
    """The answers of a backend, by path: status, type, body."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.by_path: dict[str, tuple[int, str, str]] = {}
        self.objects: list[str] = []
        self.others: list[str] = []
        for number in range(DOCUMENTS):
            self._add(number)

    def _add(self, number: int) -> None:
        pick = self._random.random()
        path = f"/{number}"
        if pick < 0.7:
            body = {"id": number, "key": f"k{number}"} | self._object(3)
            status = self._random.choice([200, 200, 200, 201])
            self.by_path[path] = (status, "application/json", written(body))
            self.objects.append(path)
            return
        status, body = self._random.choice(
            [
                (200, written([self._value(2) for _ in range(self._random.randrange(4))])),
                (200, "7"),
                (200, '"a text"'),
                (200, "no json"),
                (200, '{"cut":'),
                (404, '{"error":"nothing"}'),
                (500, "down"),
                (503, ""),
            ]
        )
        self.by_path[path] = (status, "application/json", body)
        self.others.append(path)

    def _object(self, depth: int) -> dict[str, Any]:
        return {name: self._value(depth - 1) for name in NAMES if self._random.random() < 0.5}

    def _value(self, depth: int) -> Any:
        pick = self._random.random()
        if depth > 0 and pick < 0.35:
            return self._object(depth)
        if depth > 0 and pick < 0.45:
            return [self._value(depth - 1) for _ in range(self._random.randrange(3))]
        return self._random.choice([self._random.choice(TEXTS), Number(self._random.choice(NUMBERS)), True, False, None])


class Backend(HttpServer):
    """Answers with its documents."""

    def __init__(self, documents: Documents) -> None:
        class Serve(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def do_GET(self) -> None:
                path = self.path.split("?", maxsplit=1)[0]
                status, kind, body = documents.by_path.get(path, (http.HTTPStatus.NOT_FOUND, "text/plain", "nothing"))
                octets = body.encode()
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(octets)))
                self.end_headers()
                self.wfile.write(octets)

            def log_message(self, format: str, *args: Any) -> None:
                """Logs nothing, because the tests report what is wrong."""

        super().__init__(Serve)


class Endpoints:
    """Generates endpoints from a seed."""

    def __init__(self, seed: int, documents: Documents) -> None:
        self._random = random.Random(seed)
        self._documents = documents

    def some(self, count: int) -> list[dict[str, Any]]:
        return [self._endpoint(f"/e{number}") for number in range(count)]

    def _endpoint(self, path: str) -> dict[str, Any]:
        flow = self._random.choice(["alone", "alone", "merge", "chain"])
        endpoint: dict[str, Any] = {"endpoint": path, "timeout": "10s"}
        proxy: dict[str, Any] = {}
        match flow:
            case "alone":
                endpoint["backend"] = [self._backend(0, in_merge=False)]
            case "merge":
                count = self._random.choice([2, 3])
                endpoint["backend"] = [self._backend(number, in_merge=True) for number in range(count)]
                if self._random.random() < 0.3:
                    # If a backend fails, KrakenD skips this filter.
                    endpoint["backend"] = [self._good_backend(number) for number in range(count)]
                    proxy["flatmap_filter"] = self._flatmap([f"g{number}" for number in range(count)])
            case _:
                proxy["sequential"] = True
                endpoint["backend"] = self._chain()
        if self._random.random() < 0.25:
            data = {"fixed": self._random.choice(["x", 7, None, {"y": [1]}]), "a": "from the file"}
            proxy["static"] = {"strategy": self._random.choice(STRATEGIES), "data": data}
        if proxy:
            endpoint["extra_config"] = {"proxy": proxy}
        if self._random.random() < 0.2:
            endpoint["output_encoding"] = self._random.choice(["json-collection", "string", "negotiate"])
        if self._random.random() < 0.3:
            endpoint["cache_ttl"] = "60s"
        return endpoint

    def _path(self) -> str:
        among = self._documents.objects if self._random.random() < 0.8 else self._documents.others
        return self._random.choice(among)

    def _backend(self, number: int, in_merge: bool) -> dict[str, Any]:
        backend = self._filtered({"url_pattern": self._path()})
        pick = self._random.random()
        if pick < 0.15:
            backend["is_collection"] = True
        elif pick < 0.3:
            backend["encoding"] = self._random.choice(["safejson", "string"])
        if in_merge:
            # If two answers have the same key, the later one counts in KrakenD.
            backend["group"] = f"g{number}"
        extra = backend.get("extra_config", {}) | self._on_error(number).get("extra_config", {})
        return backend | ({"extra_config": extra} if extra else {})

    def _good_backend(self, number: int) -> dict[str, Any]:
        return self._filtered({"url_pattern": self._random.choice(self._documents.objects)}) | {"group": f"g{number}"}

    def _flatmap(self, first: list[str]) -> list[dict[str, Any]]:
        """Operations whose paths begin with one of these names. Every value moves to a name of its own, because KrakenD
        keeps two values of one name. It also doubles items that are appended after others were deleted."""
        operations: list[dict[str, Any]] = []
        if self._random.random() < 0.3:
            arrays = [".".join(self._steps(first, 2, stars=False)) for _ in range(2)]
            operations.append({"type": "append", "args": arrays})
        for number in range(self._random.randint(1, 3)):
            if self._random.random() < 0.4:
                paths = [".".join(self._steps(first, self._random.randint(2, 4), stars=True)) for _ in range(2)]
                operations.append({"type": "del", "args": paths})
                continue
            source = self._steps(first, self._random.randint(1, 3), stars=True)
            source[-1] = self._random.choice(NAMES) if len(source) > 1 else source[-1]
            name = f"moved{number}"
            target = [*source[:-1], name]
            pick = self._random.random()
            if pick < 0.3:
                target.append("below")
            elif pick < 0.6 and "*" not in source:
                target = [name]
            operations.append({"type": "move", "args": [".".join(source), ".".join(target)]})
        return operations

    def _steps(self, first: list[str], count: int, stars: bool) -> list[str]:
        among = NAMES + (["*", "*", "0"] if stars else [])
        return [self._random.choice(first), *(self._random.choice(among) for _ in range(count - 1))]

    def _on_error(self, number: int) -> dict[str, Any]:
        pick = self._random.random()
        if pick < 0.15:
            return {"extra_config": {"backend/http": {"return_error_code": True}}}
        if pick < 0.3:
            return {"extra_config": {"backend/http": {"return_error_details": f"backend{number}"}}}
        return {}

    def _chain(self) -> list[dict[str, Any]]:
        """Each requests what an earlier answer names. The first is an object, because nothing else has keys."""
        first = {"url_pattern": self._random.choice(self._documents.objects), "group": "g0"}
        second = {"url_pattern": "/{resp0_g0.id}", "group": "g1"}
        third = {"url_pattern": self._path() + "?from={resp0_g0.key}", "group": "g2"} | self._on_error(2)
        return [first, second, third][: self._random.choice([2, 3])]

    def _filtered(self, backend: dict[str, Any]) -> dict[str, Any]:
        def path(most: int) -> str:
            return ".".join(self._random.choice(NAMES) for _ in range(self._random.randint(1, most)))

        if self._random.random() < 0.2:
            backend["target"] = path(2)
        if self._random.random() < 0.2:
            backend["extra_config"] = {"proxy": {"flatmap_filter": self._flatmap(NAMES)}}
            return backend
        if self._random.random() < 0.3:
            backend["allow"] = [path(3) for _ in range(self._random.randint(1, 3))]
        elif self._random.random() < 0.3:
            # Only later versions of KrakenD support deeper paths.
            backend["deny"] = [path(1) for _ in range(self._random.randint(1, 3))]
        if self._random.random() < 0.3:
            # KrakenD does renames in no particular order.
            backend["mapping"] = {name: f"new_{name}" for name in self._random.sample(NAMES, 2)}
        if self._random.random() < 0.2:
            backend["group"] = "group"
        return backend


# The names that KrakenD's modules know.
LONG = {"proxy": "github.com/devopsfaith/krakend/proxy", "backend/http": "github.com/devopsfaith/krakend/http"}


def for_the_peer(value: Any) -> Any:
    """The same file with the long names."""
    match value:
        case dict():
            return {LONG.get(name, name): for_the_peer(member) for name, member in value.items()}
        case list():
            return [for_the_peer(item) for item in value]
        case _:
            return value
