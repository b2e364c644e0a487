# Vault or OpenBao: what an operator needs for `signet keys list|rotate|revoke|prune` on a ring in remote custody, and to
# bring a deleted record back. It cannot sign.
#
# Written for SIGNET_KEY=signet, VAULT_TRANSIT_MOUNT=transit and VAULT_KV_MOUNT=secret. For a ring in sealed custody an
# operator needs what the sidecar has (vault-sidecar-sealed.hcl), and the last two stanzas here.

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

# Seeing which versions of the record there are, and `vault kv undelete`.
path "secret/metadata/signet/signet" {
  capabilities = ["read"]
}

path "secret/undelete/signet/signet" {
  capabilities = ["update"]
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

# Sealed custody: making the wrapping key, once, with `vault write -f transit/keys/signet`.
path "transit/keys/signet" {
  capabilities = ["create", "read", "update"]
  allowed_parameters = {
    "type"                   = ["aes256-gcm96"]
    "exportable"             = [false]
    "allow_plaintext_backup" = [false]
  }
}

# And bringing a deleted ring back.
path "secret/undelete/signet-sealed/signet" {
  capabilities = ["update"]
}
