//! The members of an answer that are signed: the namespace `auth/signer`.
//!
//! The sidecar signs, so the gateway has no key. So the settings of keys in the file must match the sidecar, or be
//! missing.

use signet_core::Algorithm;

use crate::file::Section;

/// How the members of an answer are signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The members that are replaced by tokens with their claims.
    pub members: Vec<String>,
    /// The required algorithm of the signatures. `None` means the sidecar's algorithm.
    pub algorithm: Option<Algorithm>,
    /// The required URL of the signing issuer's keys.
    pub jwks_url: Option<String>,
    /// The `typ` of the tokens.
    pub typ: String,
    /// Whether a token is written as a JSON object (RFC 7515 §7.2.2), and not in its compact form.
    pub is_json: bool,
}

impl Signer {
    /// Reads the namespace of an endpoint, whose answer is a JSON object or not. Reports every problem, and returns `None`
    /// if the rest is unusable.
    pub fn read(signer: &Section<'_>, writes_object: bool) -> Option<Self> {
        let members: Vec<String> = signer
            .texts("keys_to_sign")
            .iter()
            .map(|text| text.value.to_owned())
            .collect();
        if members.is_empty() {
            signer.refuse(
                "keys_to_sign",
                "keys_to_sign is missing; list the members of the answer to sign, such as [\"access_token\"]",
            );
        }
        if !writes_object {
            signer.refuse(
                "keys_to_sign",
                "only members of a JSON object can be signed; write json as output_encoding of the endpoint",
            );
        }
        Some(Self {
            members,
            algorithm: algorithm(signer)?,
            jwks_url: signer.text("jwk_url").map(str::to_owned),
            typ: signer.text("typ").unwrap_or("JWT").to_owned(),
            is_json: signer.flag("full"),
        })
    }
}

/// The required algorithm, if there is one. `None` if the text names none.
fn algorithm(signer: &Section<'_>) -> Option<Option<Algorithm>> {
    let Some(text) = signer.text("alg") else {
        return (!signer.has("alg")).then_some(None);
    };
    let known = Algorithm::ALL.map(Algorithm::as_str).join(", ");
    let parsed = text.parse();
    if parsed.is_err() {
        signer.refuse(
            "alg",
            format!("{text:?} is not one of {known}; write the SIGNET_ALGORITHM of the sidecar, or remove the key"),
        );
    }
    parsed.ok().map(Some)
}
