//! Parsing of compact JWS tokens (RFC 7515 §7.1). Nothing that is parsed here is trusted yet.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::json::{Fault, Object};
use crate::refusal::Refusal;

/// The maximum length of a token in bytes. Longer tokens exceed the header limits of common gateways as well.
pub const LONGEST: usize = 16 * 1024;

/// The decoded parts of a token, with the header members that Signet uses.
#[derive(Debug)]
pub struct Compact<'a> {
    /// The signed bytes: the first two parts and the dot between them.
    pub signing_input: &'a [u8],
    /// The header's `alg`.
    pub alg: String,
    /// The header's `kid`.
    pub kid: String,
    /// The header's `typ`, if it has one.
    pub typ: Option<String>,
    /// The claims as JSON text.
    pub payload: String,
    /// The signature in JWS form.
    pub signature: Vec<u8>,
}

impl<'a> Compact<'a> {
    /// Splits and decodes a token. The header members `jku`, `jwk`, `x5u` and `x5c` are ignored, because a token must
    /// never choose its own key.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`], [`Refusal::Malformed`], [`Refusal::Critical`], or
    /// [`Refusal::UnknownKey`] for a token without kid.
    pub fn parse(token: &'a str) -> Result<Self, Refusal> {
        if token.len() > LONGEST {
            return Err(Refusal::TooLarge);
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Refusal::Malformed(
                "the token does not have three parts separated by dots (RFC 7515 §7.1)",
            ));
        };
        let signing_input = &token.as_bytes()[..header.len() + 1 + payload.len()];

        let header = text(header, "the header is not canonical base64url of UTF-8 (RFC 7515 §2)")?;
        let header = Object::parse(&header).map_err(|error| Refusal::Malformed(in_header(error.fault())))?;
        if header.member("crit").is_some() {
            return Err(Refusal::Critical(
                "the header has crit, but Signet supports no extension (RFC 7515 §4.1.11)",
            ));
        }
        if header.member("b64").is_some() {
            return Err(Refusal::Critical(
                "the header has b64, but Signet does not support unencoded payloads (RFC 7797)",
            ));
        }
        let alg = string(&header, "alg", "alg in the header is not a string")?
            .ok_or(Refusal::Malformed("the header has no alg (RFC 7515 §4.1.1)"))?;
        let kid = string(&header, "kid", "kid in the header is not a string")?.ok_or(Refusal::UnknownKey)?;
        let typ = match header.member("typ") {
            // `null` counts as absent, because many serializers write it for a missing value.
            Some(value) if value.get() == "null" => None,
            _ => string(&header, "typ", "typ in the header is not a string")?,
        };

        let payload = text(payload, "the payload is not canonical base64url of UTF-8 (RFC 7515 §2)")?;
        let signature = URL_SAFE_NO_PAD
            .decode(signature)
            .map_err(|_| Refusal::Malformed("the signature is not canonical base64url (RFC 7515 §2)"))?;
        Ok(Self {
            signing_input,
            alg,
            kid,
            typ,
            payload,
            signature,
        })
    }
}

const fn in_header(fault: Fault) -> &'static str {
    match fault {
        Fault::NotJson => "the header is not JSON (RFC 8259)",
        Fault::NotAnObject => "the header is not a JSON object (RFC 7515 §4)",
        Fault::Duplicate => "the header has a duplicate member (RFC 7515 §4)",
        Fault::TooDeep => "the header is nested more than 16 levels deep",
        Fault::HugeNumber => "the header has a number that is larger than a 64-bit floating point number can be",
        Fault::BrokenString => "the header has a string with half of a surrogate pair (RFC 8259 §8.2)",
    }
}

fn text(part: &str, why: &'static str) -> Result<String, Refusal> {
    let octets = URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed(why))?;
    String::from_utf8(octets).map_err(|_| Refusal::Malformed(why))
}

fn string(header: &Object<'_>, name: &str, why: &'static str) -> Result<Option<String>, Refusal> {
    header
        .member(name)
        .map(|value| serde_json::from_str(value.get()).map_err(|_| Refusal::Malformed(why)))
        .transpose()
}
