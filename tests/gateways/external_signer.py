"""A client that calls the signer of service account tokens like the API server of Kubernetes.

The messages are built here from the contract of `k8s.io/externaljwt/apis/v1/api.proto`. What the API server checks in
each answer is checked here, too.
"""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

ANSWER_LIMIT = 10.0
LONGEST_KID = 1024
LEAST_EXPIRATION = 600
# L ≥ R + 2M + 2S: 10 s ≥ 2.3 s; P ≥ 2L. T must be ten minutes, and at most 32 keys may be published, so P is long
# here.
POLICY = {
    "rotation_period": "21s",
    "publish_lead": "10s",
    "refresh_interval": "300ms",
    "jwks_max_age": "1s",
    "verifier_cache": "1s",
    "clock_skew": "0s",
    "token_max_ttl": "600s",
}
HASHES = {"RS256": hashes.SHA256(), "ES256": hashes.SHA256(), "ES384": hashes.SHA384(), "ES512": hashes.SHA512()}
ALGORITHMS = list(HASHES)
FIELD = descriptor_pb2.FieldDescriptorProto


def messages(package: str) -> dict[str, Any]:
    """The messages of one version."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    file.dependency.append(timestamp_pb2.DESCRIPTOR.name)
    one, many = FIELD.LABEL_OPTIONAL, FIELD.LABEL_REPEATED
    for name, fields in {
        "SignJWTRequest": [("claims", 1, one, FIELD.TYPE_STRING, "")],
        "SignJWTResponse": [("header", 1, one, FIELD.TYPE_STRING, ""), ("signature", 2, one, FIELD.TYPE_STRING, "")],
        "FetchKeysRequest": [],
        "FetchKeysResponse": [
            ("keys", 1, many, FIELD.TYPE_MESSAGE, f".{package}.Key"),
            ("data_timestamp", 2, one, FIELD.TYPE_MESSAGE, ".google.protobuf.Timestamp"),
            ("refresh_hint_seconds", 3, one, FIELD.TYPE_INT64, ""),
        ],
        "Key": [
            ("key_id", 1, one, FIELD.TYPE_STRING, ""),
            ("key", 2, one, FIELD.TYPE_BYTES, ""),
            ("exclude_from_oidc_discovery", 3, one, FIELD.TYPE_BOOL, ""),
        ],
        "MetadataRequest": [],
        "MetadataResponse": [("max_token_expiration_seconds", 1, one, FIELD.TYPE_INT64, "")],
    }.items():
        message = file.message_type.add(name=name)
        for field, number, label, kind, type_name in fields:
            message.field.add(name=field, number=number, label=label, type=kind, type_name=type_name or None)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClassesForFiles([file.name], pool)


@dataclass
class Keys:
    """The answer of `FetchKeys`."""

    # The public keys as PKIX DER, by kid.
    der: dict[str, bytes]
    refresh_hint: int


class ApiServer:
    """An API server that uses one version of the service."""

    def __init__(self, socket: Path, version: str = "v1") -> None:
        self.version = version
        self.messages = messages(version)
        self.channel = grpc.insecure_channel(f"unix:{socket}", [("grpc.default_authority", "localhost")])

    def close(self) -> None:
        self.channel.close()

    def _call(self, method: str, request: str, response: str, **fields: Any) -> Any:
        classes = {name: self.messages[f"{self.version}.{name}"] for name in (request, response)}
        call = self.channel.unary_unary(
            f"/{self.version}.ExternalJWTSigner/{method}",
            request_serializer=classes[request].SerializeToString,
            response_deserializer=classes[response].FromString,
        )
        return call(classes[request](**fields), timeout=ANSWER_LIMIT)

    def metadata(self) -> int:
        """The maximum lifetime of a token. The API server does not start with less than ten minutes."""
        longest = self._call("Metadata", "MetadataRequest", "MetadataResponse").max_token_expiration_seconds
        assert longest >= LEAST_EXPIRATION
        return int(longest)

    def fetch_keys(self) -> Keys:
        """Fetches the keys."""
        answer = self._call("FetchKeys", "FetchKeysRequest", "FetchKeysResponse")
        assert answer.refresh_hint_seconds > 0
        assert answer.HasField("data_timestamp")
        assert 0 <= time.time() - answer.data_timestamp.ToNanoseconds() / 1e9 < 3600
        kids = [key.key_id for key in answer.keys]
        assert kids and len(set(kids)) == len(kids)
        for key in answer.keys:
            assert 0 < len(key.key_id) <= LONGEST_KID
            assert not key.exclude_from_oidc_discovery
            serialization.load_der_public_key(key.key)
        return Keys({key.key_id: key.key for key in answer.keys}, answer.refresh_hint_seconds)

    def sign(self, payload: str) -> tuple[str, str]:
        """Signs a payload in base64url. Returns the token and its kid."""
        answer = self._call("Sign", "SignJWTRequest", "SignJWTResponse", claims=payload)
        header = json.loads(decoded(answer.header))
        assert set(header) == {"alg", "kid", "typ"}
        assert header["typ"] == "JWT"
        assert header["alg"] in HASHES
        assert 0 < len(header["kid"]) <= LONGEST_KID
        return f"{answer.header}.{payload}.{answer.signature}", header["kid"]


def verifies(token: str, der: bytes) -> bool:
    """Whether the key has signed the token, according to an independent library."""
    head, _, signature = token.rpartition(".")
    algorithm = json.loads(decoded(head.partition(".")[0]))["alg"]
    key, octets = serialization.load_der_public_key(der), decoded(signature)
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(octets, head.encode(), padding.PKCS1v15(), HASHES[algorithm])
        else:
            assert isinstance(key, ec.EllipticCurvePublicKey)
            half = len(octets) // 2
            r, s = (int.from_bytes(part, "big") for part in (octets[:half], octets[half:]))
            key.verify(utils.encode_dss_signature(r, s), head.encode(), ec.ECDSA(HASHES[algorithm]))
    except InvalidSignature:
        return False
    return True


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encoded(claims: dict[str, Any] | str | bytes) -> str:
    """A payload in base64url."""
    text = json.dumps(claims) if isinstance(claims, dict) else claims
    octets = text.encode() if isinstance(text, str) else text
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
