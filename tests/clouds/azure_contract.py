"""Microsoft's own Python SDK (azure-identity, azure-keyvault-keys) with the Key Vault server of the tests.

If the SDK refuses something, the server has a fault. SIGNET_FAKE_URL and SIGNET_FAKE_CA say where the server is. The
arguments say what to do: any of the functions below whose names begin with step_, in order.
"""

import base64
import datetime
import hashlib
import os
import sys

from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.identity import ClientAssertionCredential, ClientSecretCredential
from azure.keyvault.keys import KeyClient
from azure.keyvault.keys.crypto import CryptographyClient, EncryptionAlgorithm, KeyWrapAlgorithm, SignatureAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from states_table import states_table

URL = os.environ["SIGNET_FAKE_URL"]
CA = os.environ["SIGNET_FAKE_CA"]
TENANT = "11111111-2222-3333-4444-555555555555"
CLIENT = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
SECRET = "s3cret~of-the.application"
ASSERTION = "header.federated-assertion.signature"

# The identity library's HTTP client reads it from here; the vault's gets it as an argument.
os.environ["REQUESTS_CA_BUNDLE"] = CA
IDENTITY = {"authority": URL, "disable_instance_discovery": True, "connection_verify": CA}
VAULT = {"verify_challenge_resource": False, "connection_verify": CA, "retry_backoff_factor": 0.1}


def secret():
    return ClientSecretCredential(TENANT, CLIENT, SECRET, **IDENTITY)


def keys():
    return KeyClient(URL, secret(), **VAULT)


def crypto(key):
    return CryptographyClient(key, secret(), **VAULT)


def unpadded(octets):
    """The form of bytes that the vault needs when the SDK is called below its models."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def refused(call, *, status, inner=None, kind=HttpResponseError):
    try:
        call()
    except kind as error:
        assert error.status_code == status, (error.status_code, error.message)
        if inner:
            assert error.error.innererror["code"] == inner, error.error.innererror
        return error
    raise AssertionError(f"{call} was not refused")


def step_versions():
    """Create, new versions of one name with other key types, pages, tags, attributes in whole seconds."""
    client = keys()
    made = [client.create_ec_key("py-ring", curve="P-256", tags={"signet-sequence": "0"})]
    made.append(client.create_rsa_key("py-ring", size=2048, tags={"signet-sequence": "1"}))
    made.append(client.create_ec_key("py-ring", curve="P-521", key_operations=["sign", "verify"]))
    assert [key.key_type for key in made] == ["EC", "RSA", "EC"]
    assert made[0].properties.tags == {"signet-sequence": "0"}
    assert made[0].properties.created_on.microsecond == 0 and made[0].properties.enabled
    assert client.get_key("py-ring").id == made[2].id, "the latest"
    assert client.get_key("py-ring", made[0].properties.version).key.x == made[0].key.x

    for index in range(28):
        client.create_ec_key("py-pages", curve="P-256", tags={"index": str(index)})
    for most in (None, 3, 25):
        listed = list(client.list_properties_of_key_versions("py-pages", **({"max_page_size": most} if most else {})))
        assert len({version.version for version in listed}) == 28
        assert {version.tags["index"] for version in listed} == {str(index) for index in range(28)}
    assert list(client.list_properties_of_key_versions("py-nothing")) == []
    assert {"py-ring", "py-pages"} <= {key.name for key in client.list_properties_of_keys()}


def step_update():
    """Attributes that are named change. Tags are replaced as a whole, and only if they are given."""
    client = keys()
    key = client.create_ec_key("py-update", curve="P-256", tags={"a": "1", "b": "2"})
    version = key.properties.version
    changed = client.update_key_properties("py-update", version, enabled=False)
    assert not changed.properties.enabled and changed.properties.tags == {"a": "1", "b": "2"}
    changed = client.update_key_properties("py-update", version, tags={"c": "3"})
    assert not changed.properties.enabled and changed.properties.tags == {"c": "3"}
    refused(lambda: client.get_key("py-update", version), status=403, inner="KeyDisabled")
    assert changed.key.x == key.key.x, "a change is answered with the public key, in every state"
    changed = client.update_key_properties("py-update", version, not_before=key.properties.created_on.replace(year=3000, day=1))
    assert changed.properties.not_before.year == 3000 and changed.properties.tags == {"c": "3"}
    refused(lambda: client.create_ec_key("py-update", tags={str(n): "" for n in range(16)}), status=400)
    refused(lambda: client.create_ec_key("py-update", tags={"long": "x" * 257}), status=400)
    refused(lambda: client.create_ec_key("no_such_name"), status=400)
    refused(lambda: client.create_rsa_key("py-update", size=1024), status=400)


def step_sign():
    """Every algorithm: the SDK's own local verification, and independently the cryptography package."""
    client = keys()
    digests = {"256": (hashlib.sha256, hashes.SHA256()), "384": (hashlib.sha384, hashes.SHA384()), "512": (hashlib.sha512, hashes.SHA512())}
    shapes = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
    for name in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"):
        key = client.create_ec_key("py-sign", curve=shapes[name]) if name in shapes else client.create_rsa_key("py-sign")
        algorithm = SignatureAlgorithm(name)
        make, sha = digests[name[2:]]
        digest = make(b"message").digest()
        signed = crypto(key.id).sign(algorithm, digest)
        assert signed.key_id == key.id, "the version that was asked for"
        assert crypto(key.id).verify(algorithm, digest, signed.signature).is_valid
        jwk = key.key
        number = lambda octets: int.from_bytes(octets, "big")
        if name in shapes:
            half = len(signed.signature) // 2
            assert half == {"P-256": 32, "P-384": 48, "P-521": 66}[shapes[name]], "R || S of the field's length"
            curve = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-521": ec.SECP521R1}[shapes[name]]()
            public = ec.EllipticCurvePublicNumbers(number(jwk.x), number(jwk.y), curve).public_key()
            der = utils.encode_dss_signature(number(signed.signature[:half]), number(signed.signature[half:]))
            public.verify(der, digest, ec.ECDSA(utils.Prehashed(sha)))
        else:
            public = rsa.RSAPublicNumbers(number(jwk.e), number(jwk.n)).public_key()
            salted = padding.PSS(padding.MGF1(sha), sha.digest_size)
            public.verify(signed.signature, digest, salted if name[0] == "P" else padding.PKCS1v15(), utils.Prehashed(sha))
    elliptic = client.create_ec_key("py-sign", curve="P-256")
    # The SDK refuses to request this if it knows the key, so it is asked without that knowledge.
    no_get = elliptic.id
    raw = client._client.sign  # noqa: SLF001 the generated client below the checks
    body = {"alg": "RS256", "value": unpadded(hashlib.sha256(b"").digest())}
    refused(lambda: raw("py-sign", no_get.rsplit("/", 1)[1], parameters=body), status=400)
    body = {"alg": "ES256", "value": unpadded(b"short")}
    refused(lambda: raw("py-sign", no_get.rsplit("/", 1)[1], parameters=body), status=400)
    body = {"alg": "ES256", "value": unpadded(hashlib.sha256(b"").digest())}
    refused(lambda: raw("py-sign", "0" * 32, parameters=body), status=404, kind=ResourceNotFoundError)


def step_wrap():
    """RSA-OAEP-256 in both directions: the SDK's local half with the server's."""
    client = keys()
    key = client.create_rsa_key("py-wrap", size=2048)
    secret_key = os.urandom(32)
    for algorithm in (KeyWrapAlgorithm.rsa_oaep_256, KeyWrapAlgorithm.rsa_oaep):
        wrapped = crypto(key.id).wrap_key(algorithm, secret_key)
        assert crypto(key.id).unwrap_key(algorithm, wrapped.encrypted_key).key == secret_key
    newer = client.create_rsa_key("py-wrap", size=3072)
    assert crypto(key.id).unwrap_key(KeyWrapAlgorithm.rsa_oaep, wrapped.encrypted_key).key == secret_key, "older versions unwrap"
    refused(lambda: crypto(newer.id).unwrap_key(KeyWrapAlgorithm.rsa_oaep, wrapped.encrypted_key), status=400)


def step_without_reading():
    """The caller may not read keys, so the SDK cannot compute anything itself and asks the server."""
    refused(lambda: keys().get_key("py-wrap"), status=403, inner="ForbiddenByRbac")
    key = f"{URL}/keys/py-wrap/{os.environ['SIGNET_FAKE_VERSION']}"
    client = crypto(key)
    digest = hashlib.sha256(b"message").digest()
    signed = client.sign(SignatureAlgorithm.ps256, digest)
    assert client.verify(SignatureAlgorithm.ps256, digest, signed.signature).is_valid
    assert not client.verify(SignatureAlgorithm.ps256, digest, bytes(256)).is_valid
    wrapped = client.wrap_key(KeyWrapAlgorithm.rsa_oaep_256, b"x" * 32)
    assert client.unwrap_key(KeyWrapAlgorithm.rsa_oaep_256, wrapped.encrypted_key).key == b"x" * 32
    sent = client.encrypt(EncryptionAlgorithm.rsa_oaep_256, b"text")
    assert client.decrypt(EncryptionAlgorithm.rsa_oaep_256, sent.ciphertext).plaintext == b"text"


def step_states():
    """Each call in each state of a version, as docs/providers/azure-key-vault.md says."""
    client = keys()
    digest = hashlib.sha256(b"message").digest()
    body = {"alg": "RS256", "value": unpadded(digest)}
    later = datetime.datetime(3000, 1, 1, tzinfo=datetime.timezone.utc)
    for index, (call, state, codes) in enumerate(states_table("azure-key-vault")):
        name = f"py-states-{index}"
        key = client.create_rsa_key(name, size=2048)
        version = key.properties.version
        wrapped = crypto(key.id).wrap_key(KeyWrapAlgorithm.rsa_oaep_256, b"x" * 32).encrypted_key
        change = {"disabled": {"enabled": False}, "invalid": {"not_before": later}, "enabled": {"enabled": True}}
        if state == "deleted":
            client.begin_delete_key(name).result()
        else:
            client.update_key_properties(name, version, **change[state])
        # The client below the SDK's checks, which would refuse some of these requests.
        below = client._client  # noqa: SLF001
        unwrap = {"alg": "RSA-OAEP-256", "value": unpadded(wrapped)}
        calls = {
            "GetKeyVersions": lambda: [found.version for found in client.list_properties_of_key_versions(name)],
            "GetKey": lambda: client.get_key(name, version),
            "UpdateKey": lambda: client.update_key_properties(name, version),
            "CreateKey": lambda: client.create_rsa_key(name, size=2048),
            "Sign": lambda: below.sign(name, version, parameters=body),
            "UnwrapKey": lambda: below.unwrap_key(name, version, parameters=unwrap),
        }
        if not codes:
            answer = calls[call]()
            assert call != "GetKeyVersions" or (version in answer) == (state != "deleted"), state
            continue
        try:
            calls[call]()
        except HttpResponseError as error:
            inner = (error.error.innererror or {}).get("code")
            assert codes & {inner, error.error.code}, (call, state, codes, inner, error.error.code)
        else:
            raise AssertionError(f"{call} answered for a key that is {state}")


def step_deletion():
    """After a soft deletion, the name is reserved until the key is purged."""
    client = keys()
    client.create_ec_key("py-delete", curve="P-256")
    deleted = client.begin_delete_key("py-delete").result()
    assert deleted.recovery_id and deleted.scheduled_purge_date
    refused(lambda: client.create_ec_key("py-delete"), status=409, inner="ObjectIsDeletedButRecoverable")
    refused(lambda: client.get_key("py-delete"), status=404, kind=ResourceNotFoundError)
    assert client.begin_recover_deleted_key("py-delete").result().name == "py-delete"
    client.begin_delete_key("py-delete").result()
    client.purge_deleted_key("py-delete")
    client.create_ec_key("py-delete", curve="P-256")


def step_identities():
    """A federated assertion, a wrong secret, an invalid token, and a token for somebody else."""
    federated = ClientAssertionCredential(TENANT, CLIENT, lambda: ASSERTION, **IDENTITY)
    KeyClient(URL, federated, **VAULT).create_ec_key("py-identity", curve="P-256")
    wrong = ClientSecretCredential(TENANT, CLIENT, "wrong", **IDENTITY)
    try:
        KeyClient(URL, wrong, **VAULT).get_key("py-identity")
        raise AssertionError("a wrong secret was taken")
    except ClientAuthenticationError as error:
        assert "AADSTS7000215" in str(error), error

    class Fixed:
        def __init__(self, token):
            self.token = token

        def get_token(self, *_, **__):
            from azure.core.credentials import AccessToken

            return AccessToken(self.token, 4_000_000_000)

    for token in ("nonsense", secret().get_token("https://storage.azure.com/.default").token):
        refused(lambda: KeyClient(URL, Fixed(token), **VAULT).get_key("py-identity"), status=401, kind=ClientAuthenticationError)


def step_throttled():
    """The next two signing calls are throttled. The SDK waits as told, and succeeds."""
    key = keys().create_ec_key("py-throttled", curve="P-256")
    crypto(key.id).sign(SignatureAlgorithm.es256, hashlib.sha256(b"").digest())


for argument in sys.argv[1:]:
    globals()[f"step_{argument}"]()
    print(f"{argument}: passed")
