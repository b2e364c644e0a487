//! The messages of `v1.ExternalJWTSigner` and of `v1alpha1.ExternalJWTSigner`, which are the same, by Kubernetes'
//! `staging/src/k8s.io/externaljwt/apis/v1/api.proto`.
//! <https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#external-serviceaccount-token-signing-and-key-management>

use prost::Message;

/// `SignJWTRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct SignJwtRequest {
    /// The payload in base64url, exactly as it will stand in the token.
    #[prost(string, tag = "1")]
    pub claims: String,
}

/// `SignJWTResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct SignJwtResponse {
    /// The header in base64url: `alg`, `kid` and `typ`, nothing else.
    #[prost(string, tag = "1")]
    pub header: String,
    /// The signature in base64url.
    #[prost(string, tag = "2")]
    pub signature: String,
}

/// `FetchKeysRequest`.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct FetchKeysRequest {}

/// `FetchKeysResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct FetchKeysResponse {
    /// Every key that a token may name.
    #[prost(message, repeated, tag = "1")]
    pub keys: Vec<Key>,
    /// When the provider was last read.
    #[prost(message, optional, tag = "2")]
    pub data_timestamp: Option<prost_types::Timestamp>,
    /// After so long the apiserver asks again.
    #[prost(int64, tag = "3")]
    pub refresh_hint_seconds: i64,
}

/// `Key`.
#[derive(Clone, PartialEq, Message)]
pub struct Key {
    /// Its kid.
    #[prost(string, tag = "1")]
    pub key_id: String,
    /// The public key, PKIX DER.
    #[prost(bytes = "vec", tag = "2")]
    pub key: Vec<u8>,
    /// Whether the apiserver's own discovery leaves it out.
    #[prost(bool, tag = "3")]
    pub exclude_from_oidc_discovery: bool,
}

/// `MetadataRequest`.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct MetadataRequest {}

/// `MetadataResponse`.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct MetadataResponse {
    /// The longest life of a token, at least 600.
    #[prost(int64, tag = "1")]
    pub max_token_expiration_seconds: i64,
}

/// The methods of both versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Signs a token's payload.
    Sign,
    /// Lists the public keys.
    FetchKeys,
    /// Tells the bounds of tokens.
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
