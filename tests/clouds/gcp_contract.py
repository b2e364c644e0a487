"""Google's own Python SDK (google-cloud-kms over REST, google-auth, google-cloud-storage) with the cloud of the
tests.

If the SDK refuses something, the server has a fault.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import google_crc32c
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from google.api_core import exceptions
from google.auth import identity_pool
from google.auth.exceptions import RefreshError
from google.auth.transport.requests import Request
from google.cloud import kms, storage
from google.cloud.kms_v1.services.key_management_service.transports import KeyManagementServiceRestTransport
from google.iam.v1 import iam_policy_pb2
from google.oauth2 import credentials as oauth2
from google.oauth2 import service_account
from states_table import states_table

SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]
LOCATION = "projects/p/locations/global"
Purpose = kms.CryptoKey.CryptoKeyPurpose
Algorithm = kms.CryptoKeyVersion.CryptoKeyVersionAlgorithm
State = kms.CryptoKeyVersion.CryptoKeyVersionState


@pytest.fixture(scope="module")
def cloud(start: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    return start("gcp")


def client(cloud: dict[str, Any], credentials: Any) -> kms.KeyManagementServiceClient:
    transport = KeyManagementServiceRestTransport(
        host=cloud["url"].removeprefix("http://"), url_scheme="http", credentials=credentials
    )
    return kms.KeyManagementServiceClient(transport=transport)


@pytest.fixture(scope="module")
def keys(cloud: dict[str, Any]) -> kms.KeyManagementServiceClient:
    """With a JWT that the service account signs itself, as this SDK and Signet's do."""
    info = json.loads(cloud["service_account"])
    signer = service_account.Credentials.from_service_account_info(info, scopes=SCOPES)
    return client(cloud, signer.with_always_use_jwt_access(True))


@pytest.fixture(scope="module")
def ring(keys: kms.KeyManagementServiceClient) -> str:
    """A key ring that the SDK creates."""
    made = keys.create_key_ring(request={"parent": LOCATION, "key_ring_id": "python", "key_ring": {}})
    assert made.name == f"{LOCATION}/keyRings/python"
    with refused("ALREADY_EXISTS"):
        keys.create_key_ring(request={"parent": LOCATION, "key_ring_id": "python", "key_ring": {}})
    assert keys.get_key_ring(name=made.name).create_time.timestamp() > time.time() - 60
    return made.name


@contextmanager
def refused(status: str, says: str = "") -> Iterator[None]:
    """The call inside is refused with this code. Over REST, the SDK distinguishes only HTTP statuses."""
    with pytest.raises(exceptions.GoogleAPICallError) as refusal:
        yield
    error = refusal.value.response.json()["error"]
    assert (error["status"], error["code"]) == (status, refusal.value.code), error
    assert says in error["message"], error


def create_key(keys, ring, name, algorithm, purpose=Purpose.ASYMMETRIC_SIGN, labels=None, skip=True) -> kms.CryptoKey:
    template = {"algorithm": algorithm, "protection_level": kms.ProtectionLevel.SOFTWARE}
    key = {"purpose": purpose, "version_template": template, "labels": labels or {}}
    return keys.create_crypto_key(
        request={"parent": ring, "crypto_key_id": name, "crypto_key": key, "skip_initial_version_creation": skip}
    )


def create_version(keys, key: str) -> kms.CryptoKeyVersion:
    """A version, once it is generated."""
    version = keys.create_crypto_key_version(request={"parent": key, "crypto_key_version": {}})
    assert version.state == State.PENDING_GENERATION and not version.generate_time
    with refused("FAILED_PRECONDITION", "current state is: PENDING_GENERATION"):
        keys.get_public_key(name=version.name)
    deadline = time.monotonic() + 10
    while version.state == State.PENDING_GENERATION:
        assert time.monotonic() < deadline
        version = keys.get_crypto_key_version(name=version.name)
    return version


def crc(octets: bytes) -> int:
    return google_crc32c.value(octets)


def public(keys, version: str) -> Any:
    found = keys.get_public_key(name=version)
    assert found.name == version
    assert found.pem_crc32c == crc(found.pem.encode())
    assert found.protection_level == kms.ProtectionLevel.SOFTWARE
    return load_pem_public_key(found.pem.encode())


def sign(keys, version: str, message: bytes, hash_name: str | None) -> bytes:
    if hash_name is None:
        request = {"name": version, "data": message, "data_crc32c": crc(message)}
    else:
        digest = hashlib.new(hash_name, message).digest()
        request = {"name": version, "digest": {hash_name: digest}, "digest_crc32c": crc(digest)}
    signed = keys.asymmetric_sign(request=request)
    assert signed.name == version
    assert signed.signature_crc32c == crc(signed.signature)
    assert (signed.verified_data_crc32c, signed.verified_digest_crc32c) == (hash_name is None, hash_name is not None)
    return signed.signature


def verify(key: Any, signature: bytes, message: bytes, hash_name: str | None, pss: bool = False) -> None:
    chosen = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}.get(hash_name)
    if isinstance(key, ed25519.Ed25519PublicKey):
        key.verify(signature, message)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        utils.decode_dss_signature(signature)
        key.verify(signature, message, ec.ECDSA(chosen))
    elif pss:
        key.verify(signature, message, padding.PSS(padding.MGF1(chosen), padding.PSS.DIGEST_LENGTH), chosen)
    else:
        key.verify(signature, message, padding.PKCS1v15(), chosen)


SIGNING = [
    (Algorithm.RSA_SIGN_PKCS1_2048_SHA256, "sha256", rsa.RSAPublicKey),
    (Algorithm.RSA_SIGN_PKCS1_3072_SHA256, "sha256", rsa.RSAPublicKey),
    (Algorithm.RSA_SIGN_PKCS1_4096_SHA512, "sha512", rsa.RSAPublicKey),
    (Algorithm.RSA_SIGN_PSS_2048_SHA256, "sha256", rsa.RSAPublicKey),
    (Algorithm.RSA_SIGN_PSS_4096_SHA512, "sha512", rsa.RSAPublicKey),
    (Algorithm.EC_SIGN_P256_SHA256, "sha256", ec.EllipticCurvePublicKey),
    (Algorithm.EC_SIGN_P384_SHA384, "sha384", ec.EllipticCurvePublicKey),
    (Algorithm.EC_SIGN_ED25519, None, ed25519.Ed25519PublicKey),
]


@pytest.mark.parametrize(("algorithm", "hash_name", "kind"), SIGNING, ids=lambda value: getattr(value, "name", None))
def test_every_algorithm_signs_what_cryptography_verifies(keys, ring, algorithm, hash_name, kind) -> None:
    key = create_key(keys, ring, f"sign-{algorithm.name}", algorithm)
    assert (key.purpose, key.version_template.algorithm) == (Purpose.ASYMMETRIC_SIGN, algorithm)
    version = create_version(keys, key.name)
    assert (version.state, version.algorithm) == (State.ENABLED, algorithm)
    known = public(keys, version.name)
    assert isinstance(known, kind)
    for message in [b"", b"message", b"x" * 20_000]:
        signature = sign(keys, version.name, message, hash_name)
        verify(known, signature, message, hash_name, "PSS" in algorithm.name)
        with pytest.raises(InvalidSignature):
            verify(known, signature, message + b"!", hash_name, "PSS" in algorithm.name)


def test_wrong_checksums_digests_and_lengths_are_refused(keys, ring) -> None:
    key = create_key(keys, ring, "refusals", Algorithm.EC_SIGN_P256_SHA256)
    name = create_version(keys, key.name).name
    digest = hashlib.sha256(b"message").digest()
    for request in [
        {"digest": {"sha256": digest}, "digest_crc32c": 1},
        {"digest": {"sha384": hashlib.sha384(b"").digest()}},
        {"digest": {"sha256": digest[:31]}},
        {"data": b"x" * 65537},
    ]:
        with refused("INVALID_ARGUMENT"):
            keys.asymmetric_sign(request={"name": name, **request})
    unchecked = keys.asymmetric_sign(request={"name": name, "digest": {"sha256": digest}})
    assert not unchecked.verified_digest_crc32c


@pytest.mark.parametrize(("call", "state", "codes"), states_table("gcp-kms"))
def test_each_call_answers_in_each_key_state_as_google_says(keys, ring, call: str, state: str, codes: set[str]) -> None:
    key = create_key(keys, ring, f"states-{call}-{state}", Algorithm.EC_SIGN_P256_SHA256)

    def update(state: State) -> kms.CryptoKeyVersion:
        version = {"name": name, "state": state}
        return keys.update_crypto_key_version(
            request={"crypto_key_version": version, "update_mask": {"paths": ["state"]}}
        )

    if state == "generating":
        version = keys.create_crypto_key_version(request={"parent": key.name, "crypto_key_version": {}})
        name, expected = version.name, State.PENDING_GENERATION
        assert version.state == expected
    else:
        name = create_version(keys, key.name).name
        assert keys.get_crypto_key_version(name=name).state == State.ENABLED
        if state == "disabled":
            assert update(State.DISABLED).state == State.DISABLED
        elif state == "scheduled":
            scheduled = keys.destroy_crypto_key_version(name=name)
            assert scheduled.state == State.DESTROY_SCHEDULED
            assert scheduled.destroy_time.timestamp() > time.time() + 29 * 86_400
    calls = {
        "ListCryptoKeyVersions": lambda: [found.name for found in keys.list_crypto_key_versions(parent=key.name)],
        "GetCryptoKeyVersion": lambda: keys.get_crypto_key_version(name=name),
        "GetPublicKey": lambda: public(keys, name),
        "AsymmetricSign": lambda: sign(keys, name, b"m", "sha256"),
        "UpdateCryptoKeyVersion": lambda: update(State.ENABLED),
        "DestroyCryptoKeyVersion": lambda: keys.destroy_crypto_key_version(name=name),
        "RestoreCryptoKeyVersion": lambda: keys.restore_crypto_key_version(name=name),
    }
    if not codes:
        answer = calls[call]()
        assert call != "ListCryptoKeyVersions" or name in answer
        assert call != "RestoreCryptoKeyVersion" or answer.state == State.DISABLED
        return
    with refused(*codes):
        calls[call]()


def test_a_mask_changes_what_it_names_and_nothing_else(keys, ring) -> None:
    key = create_key(keys, ring, "masks", Algorithm.EC_SIGN_P256_SHA256, labels={"team": "gateway"})

    def update(change: dict[str, Any], *paths: str) -> kms.CryptoKey:
        return keys.update_crypto_key(
            request={"crypto_key": {"name": key.name, **change}, "update_mask": {"paths": list(paths)}}
        )

    template = {"algorithm": Algorithm.EC_SIGN_ED25519}
    changed = update({"version_template": template, "labels": {"lost": "label"}}, "version_template.algorithm")
    assert changed.version_template.algorithm == Algorithm.EC_SIGN_ED25519
    assert dict(changed.labels) == {"team": "gateway"}
    changed = update({"labels": {"signet-terms-1": "1-2-3"}}, "labels")
    assert dict(changed.labels) == {"signet-terms-1": "1-2-3"}, "all labels are replaced"
    assert create_version(keys, key.name).algorithm == Algorithm.EC_SIGN_ED25519
    for labels in [{"Team": "x"}, {"team": "x" * 64}, {"1": "x"}, {f"l{n}": "" for n in range(65)}]:
        with refused("INVALID_ARGUMENT"):
            update({"labels": labels}, "labels")
    with refused("INVALID_ARGUMENT"):
        update({"version_template": {"algorithm": Algorithm.GOOGLE_SYMMETRIC_ENCRYPTION}}, "version_template.algorithm")
    with refused("INVALID_ARGUMENT"):
        update({"purpose": Purpose.ENCRYPT_DECRYPT}, "purpose")


def test_a_key_of_one_name_is_created_once(keys, ring) -> None:
    create_key(keys, ring, "mark", Algorithm.GOOGLE_SYMMETRIC_ENCRYPTION, Purpose.ENCRYPT_DECRYPT, {"first": "yes"})
    with refused("ALREADY_EXISTS"):
        create_key(keys, ring, "mark", Algorithm.GOOGLE_SYMMETRIC_ENCRYPTION, Purpose.ENCRYPT_DECRYPT)
    kept = keys.get_crypto_key(name=f"{ring}/cryptoKeys/mark")
    assert dict(kept.labels) == {"first": "yes"}
    assert not list(keys.list_crypto_key_versions(parent=kept.name)), "it has no version"


def test_lists_come_in_pages(keys, ring) -> None:
    key = create_key(keys, ring, "pages", Algorithm.EC_SIGN_ED25519)
    made = [create_version(keys, key.name).name for _ in range(5)]
    assert [name.rsplit("/", 1)[1] for name in made] == ["1", "2", "3", "4", "5"]
    pager = keys.list_crypto_key_versions(request={"parent": key.name, "page_size": 2})
    pages = list(pager.pages)
    assert [len(page.crypto_key_versions) for page in pages] == [2, 2, 1]
    assert {page.total_size for page in pages} == {5}
    assert [version.name for page in pages for version in page.crypto_key_versions] == made
    with refused("INVALID_ARGUMENT"):
        list(keys.list_crypto_key_versions(request={"parent": key.name, "page_token": "nonsense"}))
    names = [found.name for found in keys.list_crypto_keys(request={"parent": ring, "page_size": 3})]
    assert key.name in names and len(names) == len(set(names))


def test_secrets_are_bound_to_their_context(keys, cloud) -> None:
    secret, aad = b"a private key", b"signet-context/1"
    sealed = keys.encrypt(
        request={
            "name": cloud["sealing_key"],
            "plaintext": secret,
            "plaintext_crc32c": crc(secret),
            "additional_authenticated_data": aad,
            "additional_authenticated_data_crc32c": crc(aad),
        }
    )
    assert sealed.verified_plaintext_crc32c and sealed.verified_additional_authenticated_data_crc32c
    assert sealed.ciphertext_crc32c == crc(sealed.ciphertext)
    assert sealed.name == f"{cloud['sealing_key']}/cryptoKeyVersions/1"

    def decrypt(ciphertext: bytes, context: bytes, **more: Any) -> kms.DecryptResponse:
        return keys.decrypt(
            request={
                "name": cloud["sealing_key"],
                "ciphertext": ciphertext,
                "ciphertext_crc32c": crc(ciphertext),
                "additional_authenticated_data": context,
                **more,
            }
        )

    opened = decrypt(sealed.ciphertext, aad)
    assert (opened.plaintext, opened.plaintext_crc32c) == (secret, crc(secret))
    flipped = bytes([*sealed.ciphertext[:-1], sealed.ciphertext[-1] ^ 1])
    for wrong in [(sealed.ciphertext, b"another"), (sealed.ciphertext, b""), (flipped, aad), (b"", aad)]:
        with refused("INVALID_ARGUMENT"):
            decrypt(*wrong)
    with refused("INVALID_ARGUMENT", "checksum"):
        decrypt(sealed.ciphertext, aad, additional_authenticated_data_crc32c=1)


def test_permissions_can_be_asked_for(keys, cloud) -> None:
    asked = ["cloudkms.cryptoKeyVersions.useToSign", "cloudkms.cryptoKeys.list"]
    for resource in [cloud["key_ring"], cloud["sealing_key"]]:
        answer = keys.test_iam_permissions(
            request=iam_policy_pb2.TestIamPermissionsRequest(resource=resource, permissions=asked)
        )
        assert list(answer.permissions) == asked


def test_what_does_not_exist_is_not_found(keys, ring) -> None:
    for call in [
        lambda: keys.get_crypto_key(name=f"{ring}/cryptoKeys/none"),
        lambda: keys.get_crypto_key_version(name=f"{ring}/cryptoKeys/none/cryptoKeyVersions/1"),
        lambda: keys.get_public_key(name=f"{ring}/cryptoKeys/none/cryptoKeyVersions/1"),
        lambda: list(keys.list_crypto_key_versions(parent=f"{ring}/cryptoKeys/none")),
        lambda: list(keys.list_crypto_keys(parent=f"{LOCATION}/keyRings/none")),
        lambda: sign(keys, f"{ring}/cryptoKeys/none/cryptoKeyVersions/1", b"m", "sha256"),
    ]:
        with refused("NOT_FOUND"):
            call()


def test_credentials_of_every_kind_are_taken_and_wrong_ones_refused(cloud, tmp_path: Path) -> None:
    ring, info = cloud["key_ring"], json.loads(cloud["service_account"])
    # The exchange of an assertion for a token.
    exchanged = service_account.Credentials.from_service_account_info(
        {**info, "token_uri": f"{cloud['url']}/token"}, scopes=SCOPES
    )
    exchanged.refresh(Request())
    bearer = oauth2.Credentials(exchanged.token)
    assert list(client(cloud, bearer).list_crypto_keys(parent=ring))
    # Workload identity federation.
    subject = tmp_path / "subject"
    subject.write_text(cloud["subject_token"])
    federated = identity_pool.Credentials(
        audience="//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/cluster",
        subject_token_type="urn:ietf:params:oauth:token-type:jwt",
        token_url=f"{cloud['url']}/v1/token",
        credential_source={"file": str(subject)},
        scopes=SCOPES,
    )
    assert list(client(cloud, federated).list_crypto_keys(parent=ring))
    # It answers 401. This SDK then wants to refresh credentials that cannot be refreshed.
    with pytest.raises(RefreshError):
        list(client(cloud, oauth2.Credentials("ya29.nobody")).list_crypto_keys(parent=ring))


def test_an_object_is_replaced_under_its_generation_alone(cloud) -> None:
    info = json.loads(cloud["service_account"])
    signer = service_account.Credentials.from_service_account_info(
        {**info, "token_uri": f"{cloud['url']}/token"}, scopes=SCOPES
    )
    bucket = storage.Client(
        project="p", credentials=signer, client_options={"api_endpoint": cloud["url"]}
    ).bucket(cloud["bucket"])
    ring = bucket.blob("a tenant/ring.json")
    assert bucket.get_blob(ring.name) is None
    ring.upload_from_string(b"first", if_generation_match=0)
    first = ring.generation
    with pytest.raises(exceptions.PreconditionFailed):
        ring.upload_from_string(b"another first", if_generation_match=0)
    ring.upload_from_string(b"second", if_generation_match=first)
    assert ring.generation > first
    with pytest.raises(exceptions.PreconditionFailed):
        ring.upload_from_string(b"another second", if_generation_match=first)
    assert bucket.get_blob(ring.name).download_as_bytes() == b"second"
