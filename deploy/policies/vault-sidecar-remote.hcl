# Vault or OpenBao: what a Signet sidecar with SIGNET_CUSTODY=remote needs, and no more.
#
# Written for SIGNET_KEY=signet, VAULT_TRANSIT_MOUNT=transit and VAULT_KV_MOUNT=secret. For another ring or other mounts
# change the paths; the glob ends at the dot, so that it covers no ring but this one.
#
# This policy cannot destroy a key version. With SIGNET_EXPIRED_KEYS=destroy add to the allowed_parameters below:
#   "min_decryption_version" = []
#   "min_available_version"  = []

path "transit/sign/signet.*" {
  capabilities = ["update"]
}

# Reading, creating and rotating the ring's keys, and forbidding to sign with retired ones. The parameters leave no way to
# make a key exportable, to allow its backup, or to allow its deletion.
path "transit/keys/signet.*" {
  capabilities = ["create", "read", "update"]
  allowed_parameters = {
    "type"                   = []
    "exportable"             = [false]
    "allow_plaintext_backup" = [false]
    "min_encryption_version" = []
  }
}

# The record: which versions are in the ring, their terms, and which of them were revoked.
path "secret/data/signet/signet" {
  capabilities = ["create", "read", "update"]
}

# These three are in Vault's own policy `default`; they are here for tokens without it.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}

path "auth/token/renew-self" {
  capabilities = ["update"]
}

path "sys/capabilities-self" {
  capabilities = ["update"]
}
