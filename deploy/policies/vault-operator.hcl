# Vault or OpenBao: what an operator needs for `signet keys list|rotate|revoke|prune` on a ring in remote custody, and
# to restore a deleted record. The operator cannot sign.
#
# Written for SIGNET_KEY=signet, VAULT_TRANSIT_MOUNT=transit and VAULT_KV_MOUNT=secret. For a ring in sealed custody, an
# operator needs the policy of the sidecar (vault-sidecar-sealed.hcl) and the last two stanzas of this one.

path "transit/keys/signet.*" {
  capabilities = ["create", "read", "update"]
  allowed_parameters = {
    "type"                   = []
    "exportable"             = [false]
    "allow_plaintext_backup" = [false]
    "min_encryption_version" = []
    "min_decryption_version" = []
    "min_available_version"  = []
  }
}

path "secret/data/signet/signet" {
  capabilities = ["create", "read", "update"]
}

# To list the versions of the record, and for `vault kv undelete`.
path "secret/metadata/signet/signet" {
  capabilities = ["read"]
}

path "secret/undelete/signet/signet" {
  capabilities = ["update"]
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

# Sealed custody: to create the wrapping key, once, with `vault write -f transit/keys/signet`.
path "transit/keys/signet" {
  capabilities = ["create", "read", "update"]
  allowed_parameters = {
    "type"                   = ["aes256-gcm96"]
    "exportable"             = [false]
    "allow_plaintext_backup" = [false]
  }
}

# Sealed custody: to restore a deleted ring.
path "secret/undelete/signet-sealed/signet" {
  capabilities = ["update"]
}
