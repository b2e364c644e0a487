# Vault or OpenBao: what a Signet sidecar with SIGNET_CUSTODY=sealed needs, and no more.
#
# Written for SIGNET_KEY=signet, VAULT_TRANSIT_MOUNT=transit and SIGNET_STORE=vault:secret/signet-sealed/signet. With a ring
# store elsewhere (file:, s3://, ...) leave out the stanza of the ring.
#
# `create` on encrypt/ would let the sidecar make the wrapping key by wrapping. It is not granted: a wrapping key that is
# missing is an error that an operator must see, as the ring that it sealed cannot be opened any more.

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
