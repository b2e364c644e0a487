"""AWS's own Python SDK, boto3, with the account of the tests, used as Signet uses it.

If the SDK refuses something, or it differs from AWS's documentation, the server has a fault.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from states_table import states_table

Told = dict[str, Any]


@pytest.fixture(scope="module")
def told(start: Callable[[str], Told], tmp_path_factory: pytest.TempPathFactory) -> Told:
    cloud = start("aws")
    bundle: Path = tmp_path_factory.mktemp("aws") / "ca.pem"
    bundle.write_text(cloud["authority"])
    return {**cloud, "bundle": str(bundle)}


def client(service: str, told: Told, **over: str) -> Any:
    settings: dict[str, Any] = {
        "endpoint_url": told["endpoint"],
        "region_name": told["region"],
        "aws_access_key_id": told["access_key_id"],
        "aws_secret_access_key": told["secret_access_key"],
        "verify": told["bundle"],
        "config": Config(
            retries={"total_max_attempts": 1},
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    }
    return boto3.client(service, **{**settings, **over})


@pytest.fixture(scope="module")
def kms(told: Told) -> Any:
    return client("kms", told)


@pytest.fixture(scope="module")
def s3(told: Told) -> Any:
    return client("s3", told)


def refused(code: str, call: Callable[..., Any], **arguments: Any) -> None:
    """The call fails with AWS's own code."""
    with pytest.raises(ClientError) as error:
        call(**arguments)
    assert error.value.response["Error"]["Code"] == code


def make(kms: Any, spec: str, **more: Any) -> dict[str, Any]:
    return kms.create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY", **more)["KeyMetadata"]


def test_a_key_is_made_described_and_listed(kms: Any) -> None:
    tags = [{"TagKey": "signet-ring", "TagValue": "gateway"}, {"TagKey": "signet-sequence", "TagValue": "1"}]
    made = make(kms, "ECC_NIST_P256", Description="a description", Tags=tags)
    assert made["KeyState"] == "Enabled" and made["KeyManager"] == "CUSTOMER"
    assert made["SigningAlgorithms"] == ["ECDSA_SHA_256"]
    described = kms.describe_key(KeyId=made["KeyId"])["KeyMetadata"]
    assert described == made, "a key never changes by being looked at"
    assert sorted(kms.list_resource_tags(KeyId=made["Arn"])["Tags"], key=str) == sorted(tags, key=str)
    pages = kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 1})
    assert made["KeyId"] in [key["KeyId"] for page in pages for key in page["Keys"]]
    kms.update_key_description(KeyId=made["Arn"], Description="another")
    assert kms.describe_key(KeyId=made["KeyId"])["KeyMetadata"]["Description"] == "another"


def test_limits_are_aws_own(kms: Any) -> None:
    refused("ValidationException", kms.create_key, KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY", Description="d" * 8193)
    for tag in [{"TagKey": "a", "TagValue": "semi;colon"}, {"TagKey": "aws:a", "TagValue": "b"}]:
        refused("TagException", kms.create_key, Tags=[tag])
    refused("ValidationException", kms.create_key, KeySpec="ECC_NIST_P256", KeyUsage="ENCRYPT_DECRYPT")
    refused("MalformedPolicyDocumentException", kms.create_key, Policy="{}")
    refused("NotFoundException", kms.describe_key, KeyId="1234abcd-12ab-34cd-56ef-1234567890ab")
    refused("NotFoundException", kms.describe_key, KeyId="alias/nobody")


def test_one_of_many_gets_an_alias(kms: Any) -> None:
    keys = [make(kms, "ECC_NIST_P256")["KeyId"] for _ in range(6)]

    def claim(key: str) -> str | None:
        try:
            kms.create_alias(AliasName="alias/race/1", TargetKeyId=key)
            return key
        except kms.exceptions.AlreadyExistsException:
            return None

    with ThreadPoolExecutor(6) as pool:
        winners = [key for key in pool.map(claim, keys) if key]
    assert len(winners) == 1
    pages = kms.get_paginator("list_aliases").paginate(PaginationConfig={"PageSize": 1})
    aliases = [alias for page in pages for alias in page["Aliases"] if alias["AliasName"] == "alias/race/1"]
    assert [alias["TargetKeyId"] for alias in aliases] == winners
    assert aliases[0]["CreationDate"] is not None
    kms.delete_alias(AliasName="alias/race/1")
    refused("NotFoundException", kms.delete_alias, AliasName="alias/race/1")
    refused("ValidationException", kms.create_alias, AliasName="alias/with blank", TargetKeyId=keys[0])
    refused("InvalidAliasNameException", kms.create_alias, AliasName="alias/aws/mine", TargetKeyId=keys[0])


HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
SPECS = {
    "RSA_2048": [f"RSASSA_{scheme}_SHA_{bits}" for scheme in ("PKCS1_V1_5", "PSS") for bits in HASHES],
    "ECC_NIST_P256": ["ECDSA_SHA_256"],
    "ECC_NIST_P384": ["ECDSA_SHA_384"],
    "ECC_NIST_P521": ["ECDSA_SHA_512"],
    "ECC_NIST_EDWARDS25519": ["ED25519_SHA_512"],
}


def verify(public: Any, algorithm: str, signature: bytes, message: bytes) -> None:
    if algorithm.startswith("ED25519"):
        return public.verify(signature, message)
    chosen = HASHES[algorithm[-3:]]
    if algorithm.startswith("ECDSA"):
        return public.verify(signature, message, ec.ECDSA(chosen))
    if "PSS" in algorithm:
        scheme = padding.PSS(mgf=padding.MGF1(chosen), salt_length=chosen.digest_size)
    else:
        scheme = padding.PKCS1v15()
    return public.verify(signature, message, scheme, chosen)


def test_every_algorithm_signs_what_cryptography_verifies(kms: Any) -> None:
    message = b"eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0"
    for spec, algorithms in SPECS.items():
        key = make(kms, spec)["Arn"]
        answer = kms.get_public_key(KeyId=key)
        assert (answer["KeyId"], answer["KeySpec"]) == (key, spec)
        public = serialization.load_der_public_key(answer["PublicKey"])
        for algorithm in algorithms:
            kinds = [("RAW", message)]
            if not algorithm.startswith("ED25519"):
                kinds.append(("DIGEST", hashlib.new("sha" + algorithm[-3:], message).digest()))
            for kind, given in kinds:
                signed = kms.sign(KeyId=key, Message=given, MessageType=kind, SigningAlgorithm=algorithm)
                assert (signed["KeyId"], signed["SigningAlgorithm"]) == (key, algorithm)
                verify(public, algorithm, signed["Signature"], message)
                with pytest.raises(InvalidSignature):
                    verify(public, algorithm, signed["Signature"], message + b".")
        if spec.startswith("ECC_NIST_P"):
            utils.decode_dss_signature(signed["Signature"])
        refused("DryRunOperationException", kms.sign, KeyId=key, Message=message, SigningAlgorithm=algorithms[0], DryRun=True)
        refused("ValidationException", kms.sign, KeyId=key, Message=b"m" * 4097, SigningAlgorithm=algorithms[0])
    refused("InvalidKeyUsageException", kms.sign, KeyId=key, Message=message, SigningAlgorithm="ECDSA_SHA_256")
    refused(
        "ValidationException", kms.sign, KeyId=key, Message=message, MessageType="DIGEST", SigningAlgorithm="ED25519_SHA_512"
    )


STATES = {"enabled": "Enabled", "disabled": "Disabled", "deletion": "PendingDeletion"}


@pytest.mark.parametrize(("call", "state", "codes"), states_table("aws-kms"))
def test_each_call_answers_in_each_key_state_as_aws_says(kms: Any, call: str, state: str, codes: set[str]) -> None:
    sealing = call in ("Encrypt", "Decrypt")
    key = (kms.create_key()["KeyMetadata"] if sealing else make(kms, "ECC_NIST_P256"))["Arn"]
    alias = f"alias/states/{call}-{state}"
    of_key = {"KeyId": key}
    calls: dict[str, Callable[[], Any]] = {
        "DescribeKey": lambda: kms.describe_key(**of_key),
        "GetPublicKey": lambda: kms.get_public_key(**of_key),
        "Sign": lambda: kms.sign(**of_key, Message=b"m", SigningAlgorithm="ECDSA_SHA_256"),
        "Encrypt": lambda: kms.encrypt(**of_key, Plaintext=b"p"),
        "Decrypt": lambda: kms.decrypt(**of_key, CiphertextBlob=sealed),
        "UpdateKeyDescription": lambda: kms.update_key_description(**of_key, Description="d"),
        "DisableKey": lambda: kms.disable_key(**of_key),
        "EnableKey": lambda: kms.enable_key(**of_key),
        "ScheduleKeyDeletion": lambda: kms.schedule_key_deletion(**of_key, PendingWindowInDays=7),
        "CancelKeyDeletion": lambda: kms.cancel_key_deletion(**of_key),
        "CreateAlias": lambda: kms.create_alias(AliasName=alias, TargetKeyId=key),
        "DeleteAlias": lambda: kms.delete_alias(AliasName=f"{alias}-old"),
        "ListAliases": lambda: kms.list_aliases(**of_key),
        "ListKeys": lambda: kms.list_keys(),
        "ListResourceTags": lambda: kms.list_resource_tags(**of_key),
    }
    sealed = kms.encrypt(**of_key, Plaintext=b"p")["CiphertextBlob"] if sealing else b""
    kms.create_alias(AliasName=f"{alias}-old", TargetKeyId=key)
    if state == "disabled":
        calls["DisableKey"]()
    elif state == "deletion":
        calls["ScheduleKeyDeletion"]()
    assert kms.describe_key(**of_key)["KeyMetadata"]["KeyState"] == STATES[state]
    if not codes:
        calls[call]()
        return
    with pytest.raises(ClientError) as error:
        calls[call]()
    assert error.value.response["Error"]["Code"] in codes


def test_a_deletion_takes_a_week_and_can_be_taken_back(kms: Any) -> None:
    key = make(kms, "ECC_NIST_P256")["Arn"]
    refused("ValidationException", kms.schedule_key_deletion, KeyId=key, PendingWindowInDays=6)
    gone = kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    assert gone["KeyState"] == "PendingDeletion"
    kms.cancel_key_deletion(KeyId=key)
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Disabled"
    kms.enable_key(KeyId=key)
    kms.sign(KeyId=key, Message=b"m", SigningAlgorithm="ECDSA_SHA_256")


def test_what_was_encrypted_opens_in_its_context_under_its_key_alone(kms: Any, told: Told) -> None:
    key, context = told["symmetric_key"], {"signet-ring": "https://issuer.example", "signet-purpose": "trial"}
    sealed = kms.encrypt(KeyId=key, Plaintext=b"secret", EncryptionContext=context)
    assert sealed["KeyId"] == key
    blob = sealed["CiphertextBlob"]
    for named in [{}, {"KeyId": key}]:
        opened = kms.decrypt(CiphertextBlob=blob, EncryptionContext=context, **named)
        assert (opened["Plaintext"], opened["KeyId"]) == (b"secret", key)
    other = kms.create_key()["KeyMetadata"]["Arn"]
    refused("IncorrectKeyException", kms.decrypt, CiphertextBlob=blob, EncryptionContext=context, KeyId=other)
    for wrong in [{}, {"signet-ring": "https://issuer.example"}, {**context, "signet-purpose": "ring-key"}]:
        refused("InvalidCiphertextException", kms.decrypt, CiphertextBlob=blob, EncryptionContext=wrong, KeyId=key)
    flipped = blob[:-1] + bytes([blob[-1] ^ 1])
    refused("InvalidCiphertextException", kms.decrypt, CiphertextBlob=flipped, EncryptionContext=context, KeyId=key)
    refused("ValidationException", kms.encrypt, KeyId=key, Plaintext=b"p" * 4097)
    signing = make(kms, "ECC_NIST_P256")["Arn"]
    refused("InvalidKeyUsageException", kms.encrypt, KeyId=signing, Plaintext=b"p")


def test_an_object_is_written_under_conditions(s3: Any, told: Told) -> None:
    place = {"Bucket": told["bucket"], "Key": "eu/ring.json"}
    refused("NoSuchKey", s3.get_object, **place)
    refused("NoSuchKey", s3.put_object, Body=b"1", IfMatch='"none"', **place)
    first = s3.put_object(Body=b"1", IfNoneMatch="*", **place)["ETag"]
    refused("PreconditionFailed", s3.put_object, Body=b"2", IfNoneMatch="*", **place)
    second = s3.put_object(Body=b"2", IfMatch=first, **place)["ETag"]
    assert first != second
    refused("PreconditionFailed", s3.put_object, Body=b"3", IfMatch=first, **place)
    found = s3.get_object(**place)
    assert (found["Body"].read(), found["ETag"]) == (b"2", second)
    refused("NoSuchBucket", s3.get_object, Bucket="nobody", Key="k")


def test_a_wrong_secret_is_refused_and_so_is_an_unknown_caller(told: Told) -> None:
    wrong = client("kms", told, aws_secret_access_key="another")
    refused("InvalidSignatureException", wrong.list_keys)
    refused("UnrecognizedClientException", client("kms", told, aws_access_key_id="AKIDNOBODY").list_keys)
    refused("SignatureDoesNotMatch", client("s3", told, aws_secret_access_key="another").get_object, Bucket="rings", Key="k")
