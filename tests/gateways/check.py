"""A client of Envoy's authorization service as others would write it: grpcio with messages generated from Envoy's own
files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from envoy.config.core.v3 import base_pb2
from envoy.service.auth.v3 import external_auth_pb2, external_auth_pb2_grpc
from google.protobuf import json_format

ANSWER_LIMIT = 10.0
SERVICE = "envoy.service.auth.v3.Authorization"
Headers = Iterable[tuple[str, str]]


@dataclass
class Verdict:
    """The parts of an answer."""

    # A code of `google.rpc.Code`.
    code: int
    # For a denial: the answer to the client.
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    problem: dict[str, Any] = field(default_factory=dict)
    # For a permission: the changes to the request.
    overwritten: dict[str, str] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    metadata: dict[str, Any] = field(default_factory=dict)


class Checker:
    """A client of one socket."""

    def __init__(self, socket: Path) -> None:
        # As other clients name it. grpcio alone would send the socket's path with percent signs, which no host has.
        self.channel = grpc.insecure_channel(f"unix:{socket}", [("grpc.default_authority", "localhost")])
        self.stub = external_auth_pb2_grpc.AuthorizationStub(self.channel)

    def __enter__(self) -> Checker:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def ask(self, headers: Headers, requires: Mapping[str, str], **options: Any) -> Verdict:
        """Asks like Envoy by default: headers by name, with several of one name joined."""
        joined: dict[str, str] = {}
        for name, value in headers:
            joined[name] = f"{joined[name]},{value}" if name in joined else value
        return self._send(checked(joined), requires, **options)

    def ask_all(self, many: Iterable[Headers]) -> None:
        """Asks for several requests at once, all of which must be allowed."""
        calls = [self.stub.Check.future(checked(dict(headers)), timeout=ANSWER_LIMIT) for headers in many]
        assert {call.result().status.code for call in calls} == {0}

    def ask_raw(self, headers: Iterable[tuple[str, bytes]], requires: Mapping[str, str]) -> Verdict:
        """Asks like Envoy with `encode_raw_headers`: headers one by one, as bytes."""
        request = external_auth_pb2.CheckRequest()
        request.attributes.request.http.header_map.headers.extend(
            base_pb2.HeaderValue(key=name, raw_value=value) for name, value in headers
        )
        return self._send(request, requires)

    def _send(
        self, request: external_auth_pb2.CheckRequest, requires: Mapping[str, str], **options: Any
    ) -> Verdict:
        request.attributes.context_extensions.update(requires)
        # The server skips everything else that Envoy says about a request.
        request.attributes.source.address.socket_address.address = "192.0.2.1"
        request.attributes.request.http.path = "/orders"
        return taken_apart(self.stub.Check(request, timeout=ANSWER_LIMIT, **options))

    def call(self, method: str, message: bytes = b"") -> bytes:
        """Calls any method with any bytes."""
        return bytes(self.channel.unary_unary(method)(message, timeout=ANSWER_LIMIT))


def checked(headers: Mapping[str, str]) -> external_auth_pb2.CheckRequest:
    """The message for a request with these headers."""
    request = external_auth_pb2.CheckRequest()
    request.attributes.request.http.headers.update(headers)
    return request


def taken_apart(response: external_auth_pb2.CheckResponse) -> Verdict:
    verdict = Verdict(response.status.code)
    overwrite = base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
    for option in [*response.denied_response.headers, *response.ok_response.headers]:
        assert option.append_action == overwrite, f"{option.header.key} would be added to what is there"
    match response.WhichOneof("http_response"):
        case "denied_response":
            denied = response.denied_response
            verdict.status = denied.status.code
            verdict.headers = {option.header.key: option.header.value for option in denied.headers}
            verdict.problem = json.loads(denied.body)
        case "ok_response":
            allowed = response.ok_response
            verdict.overwritten = {option.header.key: option.header.value for option in allowed.headers}
            verdict.removed = set(allowed.headers_to_remove)
    verdict.metadata = json_format.MessageToDict(response.dynamic_metadata)
    return verdict
