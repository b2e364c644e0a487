//! Minting tokens: Signet's own claims together with the claims of the caller.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::{JsonError, Object};
use crate::names::{Audience, Issuer};
use crate::public_key::VerifyingKey;
use crate::time::{Timestamp, YEAR_10000};
use crate::token;

/// Why a token was not minted. The codes of [`MintRefusal::code`] are part of the interface.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MintRefusal {
    /// The claims are not a strict JSON object.
    #[error("claims: {0}")]
    Claims(#[from] JsonError),
    /// The caller gave a claim that Signet sets itself.
    #[error("claims.{claim}: Signet sets this claim; leave it out{hint}")]
    Contradiction {
        /// The name of the claim.
        claim: &'static str,
        /// What the caller should do instead.
        hint: &'static str,
    },
    /// A required claim is missing, and no default is configured for it.
    #[error("claims.{claim}: missing; write it in the request, or set {setting}")]
    Missing {
        /// The name of the claim.
        claim: &'static str,
        /// The setting that would give its default.
        setting: &'static str,
    },
    /// A registered claim has the wrong form.
    #[error("claims.{claim}: must be {must}")]
    Form {
        /// The name of the claim.
        claim: &'static str,
        /// The form that the claim must have.
        must: &'static str,
    },
    /// The requested lifetime is zero seconds.
    #[error("ttl: must be at least 1 second")]
    Ttl,
    /// The requested `typ` is not a media type of 1 to 64 characters without parameters (RFC 7515 §4.1.9).
    #[error("typ: must be 1 to 64 characters of a media type without parameters, such as at+jwt (RFC 7515 §4.1.9)")]
    Typ,
    /// The token would be longer than any verifier accepts.
    #[error("claims: the token would have {0} bytes, but at most 16384 are allowed; send fewer claims")]
    TooLarge(usize),
}

impl MintRefusal {
    /// The stable code of this refusal in answers, logs and metrics.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Claims(_) => "invalid_claims",
            Self::Contradiction { .. } => "contradicting_claim",
            Self::Missing { .. } => "missing_claim",
            Self::Form { .. } => "invalid_claim",
            Self::Ttl => "invalid_ttl",
            Self::Typ => "invalid_typ",
            Self::TooLarge(_) => "too_large",
        }
    }
}

/// A request to sign a token.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignRequest<'a> {
    /// The claims of the caller, a JSON object.
    #[serde(borrow)]
    pub claims: &'a RawValue,
    /// The lifetime of the token in seconds. `None` means the configured default.
    #[serde(default)]
    pub ttl: Option<u64>,
    /// The `typ` of the header. `None` means `JWT`.
    #[serde(default)]
    pub typ: Option<String>,
}

/// The parts that all tokens of this sidecar share, encoded once.
#[derive(Clone, Debug)]
pub struct Template {
    issuer: Issuer,
    /// The beginning of each payload: `{"iss":"…","iat":`
    opening: String,
    /// The configured audience: `,"aud":…`
    default_audience: Option<String>,
    /// The configured subject: `,"sub":…`
    default_subject: Option<String>,
    token_ttl: Duration,
    token_max_ttl: Duration,
}

impl Template {
    /// Encodes the parts that do not change.
    #[must_use]
    pub fn new(
        issuer: &Issuer,
        default_audience: &[Audience],
        default_subject: Option<&str>,
        token_ttl: Duration,
        token_max_ttl: Duration,
    ) -> Self {
        let json = |text: &str| serde_json::Value::from(text).to_string();
        let audience = match default_audience {
            [] => None,
            [one] => Some(format!(r#","aud":{}"#, json(one.as_str()))),
            many => {
                let many: Vec<String> = many.iter().map(|one| json(one.as_str())).collect();
                Some(format!(r#","aud":[{}]"#, many.join(",")))
            }
        };
        Self {
            opening: format!(r#"{{"iss":{},"iat":"#, json(issuer.as_str())),
            issuer: issuer.clone(),
            default_audience: audience,
            default_subject: default_subject.map(|subject| format!(r#","sub":{}"#, json(subject))),
            token_ttl,
            token_max_ttl,
        }
    }

    /// Mints a token, without its signature. `longest` is the maximum lifetime that the key allows, and `unique` are
    /// the random bytes of the `jti`.
    ///
    /// # Errors
    /// [`MintRefusal`] with the reason.
    pub fn mint(
        &self,
        request: &SignRequest<'_>,
        headers: &Headers,
        longest: Duration,
        now: Timestamp,
        unique: [u8; 16],
    ) -> Result<Unsigned, MintRefusal> {
        let claims = Object::parse(request.claims.get())?;
        let present = self.check(&claims)?;

        let ttl = match request.ttl {
            Some(0) => return Err(MintRefusal::Ttl),
            Some(seconds) => Duration::from_secs(seconds),
            None => self.token_ttl,
        };
        let issued_at = now.as_secs();
        let life = ttl.min(self.token_max_ttl).min(longest).as_secs();
        let expires_at = issued_at.saturating_add(i64::try_from(life).unwrap_or(i64::MAX));

        let mut payload = String::with_capacity(self.opening.len() + request.claims.get().len() + 128);
        payload.push_str(&self.opening);
        // Writing to a `String` cannot fail.
        let _ = write!(payload, r#"{issued_at},"exp":{expires_at},"jti":""#);
        URL_SAFE_NO_PAD.encode_string(unique, &mut payload);
        payload.push('"');
        if !present.audience {
            payload.push_str(self.default_audience.as_deref().unwrap_or_default());
        }
        if !present.subject {
            payload.push_str(self.default_subject.as_deref().unwrap_or_default());
        }
        append_claims(&mut payload, request.claims.get(), &claims, present.issuer);
        payload.push('}');

        let header = headers.encoded(request.typ.as_deref())?;
        let mut token = String::with_capacity(header.len() + 1 + payload.len().div_ceil(3) * 4 + headers.signature);
        token.push_str(&header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(&payload, &mut token);
        let finished = token.len() + headers.signature;
        if finished > token::LONGEST {
            return Err(MintRefusal::TooLarge(finished));
        }
        Ok(Unsigned {
            token,
            expires_at,
            capped_to: request.ttl.is_some_and(|asked| asked > life).then_some(life),
        })
    }

    fn check(&self, claims: &Object<'_>) -> Result<Present, MintRefusal> {
        let mut present = Present::default();
        for (name, value) in claims.members() {
            let contradiction = |claim, hint| Err(MintRefusal::Contradiction { claim, hint });
            match name.as_ref() {
                "iss" => {
                    if serde_json::from_str::<String>(value.get()).ok().as_deref() != Some(self.issuer.as_str()) {
                        return contradiction("iss", ", or write the issuer that is configured");
                    }
                    present.issuer = true;
                }
                "iat" => return contradiction("iat", ""),
                "jti" => return contradiction("jti", "; the token in the answer has it"),
                "exp" => return contradiction("exp", ", and set ttl to the lifetime in seconds"),
                "nbf" if !serde_json::from_str::<u64>(value.get()).is_ok_and(|nbf| nbf < YEAR_10000) => {
                    return Err(MintRefusal::Form {
                        claim: "nbf",
                        must: "a whole number of seconds (RFC 7519 §4.1.5)",
                    });
                }
                // `verify` reads these two claims and refuses a token in which they are not strings.
                "scope" if !is_string(value) => {
                    return Err(MintRefusal::Form {
                        claim: "scope",
                        must: "a string (RFC 8693 §4.2)",
                    });
                }
                "scp" if !is_string(value) && !is_list_of(value, 0, is_string) => {
                    return Err(MintRefusal::Form {
                        claim: "scp",
                        must: "a string, or an array of strings",
                    });
                }
                "sub" => {
                    if !is_filled_string(value) {
                        return Err(MintRefusal::Form {
                            claim: "sub",
                            must: "a non-empty string",
                        });
                    }
                    present.subject = true;
                }
                "aud" => {
                    if !is_filled_string(value) && !is_list_of(value, 1, is_filled_string) {
                        let must = "a non-empty string, or an array of them (RFC 7519 §4.1.3)";
                        return Err(MintRefusal::Form { claim: "aud", must });
                    }
                    present.audience = true;
                }
                _ => {}
            }
        }
        if !present.audience && self.default_audience.is_none() {
            return Err(MintRefusal::Missing {
                claim: "aud",
                setting: "SIGNET_SIGN_AUDIENCE",
            });
        }
        if !present.subject && self.default_subject.is_none() {
            return Err(MintRefusal::Missing {
                claim: "sub",
                setting: "SIGNET_SIGN_SUBJECT",
            });
        }
        Ok(present)
    }
}

#[derive(Default)]
struct Present {
    issuer: bool,
    subject: bool,
    audience: bool,
}

// `Object::parse` has already checked the values, so a value that begins with a quote is a string.

fn is_string(value: &RawValue) -> bool {
    value.get().starts_with('"')
}

fn is_filled_string(value: &RawValue) -> bool {
    is_string(value) && value.get().len() > 2
}

fn is_list_of(value: &RawValue, least: usize, item: fn(&RawValue) -> bool) -> bool {
    serde_json::from_str::<Vec<&RawValue>>(value.get())
        .is_ok_and(|list| list.len() >= least && list.into_iter().all(item))
}

/// Appends the members as they were written. The text is copied as a whole, unless `iss` must be left out.
fn append_claims(payload: &mut String, text: &str, claims: &Object<'_>, without_issuer: bool) {
    if without_issuer {
        for (name, value) in claims.members().iter().filter(|(name, _)| name != "iss") {
            let _ = write!(payload, ",{}:{}", serde_json::Value::from(name.as_ref()), value.get());
        }
    } else if !claims.members().is_empty() {
        let members = text
            .trim_ascii()
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'));
        payload.push(',');
        payload.push_str(members.unwrap_or_default());
    }
}

/// The headers of one key's tokens, encoded once for the usual values of `typ`.
#[derive(Clone, Debug)]
pub struct Headers {
    alg: &'static str,
    kid: String,
    jwt: String,
    at_jwt: String,
    /// The length of the signature in base64url, including the dot before it.
    signature: usize,
}

impl Headers {
    /// Encodes the headers of a key.
    #[must_use]
    pub fn new(key: &VerifyingKey) -> Self {
        let mut headers = Self {
            alg: key.algorithm().as_str(),
            kid: key.kid().as_str().to_owned(),
            jwt: String::new(),
            at_jwt: String::new(),
            signature: 1 + (key.public().signature_len() * 4).div_ceil(3),
        };
        headers.jwt = headers.encode("JWT");
        headers.at_jwt = headers.encode("at+jwt");
        headers
    }

    fn encode(&self, typ: &str) -> String {
        // None of the three values can contain a character that JSON escapes.
        URL_SAFE_NO_PAD.encode(format!(
            r#"{{"alg":"{}","kid":"{}","typ":"{typ}"}}"#,
            self.alg, self.kid
        ))
    }

    fn encoded(&self, typ: Option<&str>) -> Result<Cow<'_, str>, MintRefusal> {
        match typ {
            None | Some("JWT") => Ok(Cow::Borrowed(&self.jwt)),
            Some("at+jwt") => Ok(Cow::Borrowed(&self.at_jwt)),
            Some(typ) if is_media_type(typ) => Ok(Cow::Owned(self.encode(typ))),
            Some(_) => Err(MintRefusal::Typ),
        }
    }
}

fn is_media_type(typ: &str) -> bool {
    (1..=64).contains(&typ.len())
        && typ
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-._/!#$&^".contains(&byte))
        && typ.bytes().filter(|byte| *byte == b'/').count() <= 1
}

/// A token without its signature. Sign [`signing_input`](Self::signing_input) and pass the signature to
/// [`finish`](Self::finish).
#[derive(Debug)]
pub struct Unsigned {
    token: String,
    expires_at: i64,
    capped_to: Option<u64>,
}

impl Unsigned {
    /// The bytes to sign (RFC 7515 §5.1).
    #[must_use]
    pub fn signing_input(&self) -> &[u8] {
        self.token.as_bytes()
    }

    /// The token's `exp`, in seconds since the Unix epoch.
    #[must_use]
    pub fn expires_at(&self) -> i64 {
        self.expires_at
    }

    /// The token's lifetime in seconds, if the request asked for more than the policy or the key allows.
    #[must_use]
    pub fn capped_to(&self) -> Option<u64> {
        self.capped_to
    }

    /// Appends this signature, which must be in JWS form, and returns the finished token.
    #[must_use]
    pub fn finish(mut self, signature: &[u8]) -> String {
        self.token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut self.token);
        self.token
    }
}

/// The bytes to sign.
impl AsRef<[u8]> for Unsigned {
    fn as_ref(&self) -> &[u8] {
        self.signing_input()
    }
}
