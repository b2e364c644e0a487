//! A template, a key and a time for the tests, and the result of a request with them.

use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use signet_core::algorithm::RsaBits;
use signet_core::mint::{Headers, MintRefusal, SignRequest, Template};
use signet_core::{Algorithm, Audience, Issuer, SigningKey, Timestamp};

pub(crate) const NOW: i64 = 1_750_000_000;
pub(crate) const ISSUER: &str = "https://issuer.example";
/// A `jti` of sixteen zero bytes.
pub(crate) const JTI: &str = "AAAAAAAAAAAAAAAAAAAAAA";
/// The default and maximum lifetimes in the configuration, and the key's own maximum, in seconds.
pub(crate) const TTL: u64 = 300;
pub(crate) const MAX_TTL: u64 = 3600;
pub(crate) const KEY_TTL: u64 = 1800;

pub(crate) static KEY: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey::generate(Algorithm::EdDSA, RsaBits::B2048).expect("a key"));
static HEADERS: LazyLock<Headers> = LazyLock::new(|| Headers::new(KEY.verifying_key()));

/// A template with these defaults.
pub(crate) fn template(audience: &[&str], subject: Option<&str>) -> Template {
    let audience: Vec<Audience> = audience.iter().map(Audience::new).collect();
    let seconds = Duration::from_secs;
    Template::new(&Issuer::new(ISSUER), &audience, subject, seconds(TTL), seconds(MAX_TTL))
}

/// The result of minting: header and payload as text, and the finished token.
#[derive(Debug)]
pub(crate) struct Minted {
    pub(crate) header: String,
    pub(crate) payload: String,
    pub(crate) token: String,
    pub(crate) expires_at: i64,
}

#[derive(Debug)]
pub(crate) enum Outcome {
    /// The request is not valid JSON of the expected form.
    Unreadable,
    Refused(MintRefusal),
    Minted(Box<Minted>),
}

impl Outcome {
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Refused(refusal) => refusal.code(),
            Self::Minted(_) => "minted",
        }
    }
}

/// Mints with a key that allows [`KEY_TTL`].
pub(crate) fn mint(template: &Template, request: &str) -> Outcome {
    mint_for(template, &KEY, &HEADERS, request)
}

pub(crate) fn mint_for(template: &Template, key: &SigningKey, headers: &Headers, request: &str) -> Outcome {
    let Ok(request) = serde_json::from_str::<SignRequest<'_>>(request) else {
        return Outcome::Unreadable;
    };
    let now = Timestamp::from_millis(NOW * 1000 + 999);
    match template.mint(&request, headers, Duration::from_secs(KEY_TTL), now, [0; 16]) {
        Err(refusal) => Outcome::Refused(refusal),
        Ok(unsigned) => {
            let expires_at = unsigned.expires_at();
            let signature = key.sign(unsigned.signing_input()).expect("a signature");
            let token = unsigned.finish(signature.as_ref());
            let text = |index| {
                let part = token.split('.').nth(index).expect("three parts");
                let octets = URL_SAFE_NO_PAD.decode(part).expect("canonical base64url");
                String::from_utf8(octets).expect("UTF-8")
            };
            Outcome::Minted(Box::new(Minted {
                header: text(0),
                payload: text(1),
                token,
                expires_at,
            }))
        }
    }
}
