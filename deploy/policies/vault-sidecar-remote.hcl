# Vault or OpenBao: exactly what a Signet sidecar needs with SIGNET_CUSTODY=remote.
#
# Written for SIGNET_KEY=signet, VAULT_TRANSIT_MOUNT=transit and VAULT_KV_MOUNT=secret. For another ring or other
# mounts, change the paths. The glob begins after a dot, so it matches only this ring.
#
# This policy cannot destroy a key version. With SIGNET_EXPIRED_KEYS=destroy add to the allowed_parameters below:
#   "min_decryption_version" = []
#   "min_available_version"  = []

path "transit/sign/signet.*" {
  capabilities = ["update"]
}

# To read, create and rotate the ring's keys, and to forbid signing with retired ones. With these parameters, nobody can
# make a key exportable, or allow its backup or deletion.
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

# Vault's own policy `default` has these three. They are here for tokens without it.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}

path "auth/token/renew-self" {
  capabilities = ["update"]
}

path "sys/capabilities-self" {
  capabilities = ["update"]
}
