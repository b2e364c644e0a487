//! The messages of `v1.ExternalJWTSigner`, from Kubernetes' `staging/src/k8s.io/externaljwt/apis/v1/api.proto`. Those
//! of `v1alpha1.ExternalJWTSigner` are the same.
//! <https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#external-serviceaccount-token-signing-and-key-management>

use prost::Message;

/// The message `SignJWTRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct SignJwtRequest {
    /// The payload in base64url, exactly as it will be in the token.
    #[prost(string, tag = "1")]
    pub claims: String,
}

/// The message `SignJWTResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct SignJwtResponse {
    /// The header in base64url, with `alg`, `kid` and `typ` only.
    #[prost(string, tag = "1")]
    pub header: String,
    /// The signature in base64url.
    #[prost(string, tag = "2")]
    pub signature: String,
}

/// The message `FetchKeysRequest`.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct FetchKeysRequest {}

/// The message `FetchKeysResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct FetchKeysResponse {
    /// All keys that a token may name.
    #[prost(message, repeated, tag = "1")]
    pub keys: Vec<Key>,
    /// When the provider was last read.
    #[prost(message, optional, tag = "2")]
    pub data_timestamp: Option<prost_types::Timestamp>,
    /// The time in seconds after which the API server asks again.
    #[prost(int64, tag = "3")]
    pub refresh_hint_seconds: i64,
}

/// The message `Key`.
#[derive(Clone, PartialEq, Message)]
pub struct Key {
    /// The kid of the key.
    #[prost(string, tag = "1")]
    pub key_id: String,
    /// The public key as PKIX DER.
    #[prost(bytes = "vec", tag = "2")]
    pub key: Vec<u8>,
    /// Whether the API server's own discovery leaves the key out.
    #[prost(bool, tag = "3")]
    pub exclude_from_oidc_discovery: bool,
}

/// The message `MetadataRequest`.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct MetadataRequest {}

/// The message `MetadataResponse`.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct MetadataResponse {
    /// The maximum lifetime of a token in seconds, at least 600.
    #[prost(int64, tag = "1")]
    pub max_token_expiration_seconds: i64,
}

/// The methods of both versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Signs the payload of a token.
    Sign,
    /// Lists the public keys.
    FetchKeys,
    /// Returns the limits for tokens.
    Metadata,
}

/// The method at this path.
#[must_use]
pub fn method(path: &str) -> Option<Method> {
    let rest = path
        .strip_prefix("/v1.ExternalJWTSigner/")
        .or_else(|| path.strip_prefix("/v1alpha1.ExternalJWTSigner/"))?;
    match rest {
        "Sign" => Some(Method::Sign),
        "FetchKeys" => Some(Method::FetchKeys),
        "Metadata" => Some(Method::Metadata),
        _ => None,
    }
}
