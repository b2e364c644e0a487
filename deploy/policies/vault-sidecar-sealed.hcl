# Vault or OpenBao: exactly what a Signet sidecar needs with SIGNET_CUSTODY=sealed.
#
# Written for SIGNET_KEY=signet, VAULT_TRANSIT_MOUNT=transit and SIGNET_STORE=vault:secret/signet-sealed/signet. If the
# ring is stored elsewhere (file:, s3://, ...), leave out the stanza of the ring.
#
# `create` on encrypt/ would let the sidecar create the wrapping key by encrypting. It is not granted, because an
# operator must notice a missing wrapping key: the ring that it sealed cannot be opened any more.

path "transit/encrypt/signet" {
  capabilities = ["update"]
}

path "transit/decrypt/signet" {
  capabilities = ["update"]
}

# The ring: public keys, and private keys as ciphertext.
path "secret/data/signet-sealed/signet" {
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
