//! The debug line of a token that is refused: what it says of itself, and what was required of it.
//!
//! It has the words that an operator compares with the settings: key id, issuer and audience. It never has the token, nor
//! any other claim. Nothing of it is proven, so each text is cut to [`LONGEST`] characters.

use serde_json::Value;
use signet_core::token::Compact;
use signet_core::verify::Refusal;
use signet_verify::Expectations;
use tracing::Level;

/// The most characters of one field. A kid of ours has 43, an issuer is a URL.
const LONGEST: usize = 256;

/// Logs the refusal, if debug lines of this module are wanted.
pub(super) fn log(token: &str, refusal: Refusal, required: &Expectations<'_>) {
    // Taking the token apart once more costs as much as a request.
    if !tracing::enabled!(Level::DEBUG) {
        return;
    }
    let said = Said::of(token);
    let required_audience = required.audience.join(" ");
    tracing::debug!(
        code = refusal.code(),
        kid = said.kid,
        issuer = said.issuer,
        audience = said.audience,
        required_audience = (!required_audience.is_empty()).then_some(required_audience),
        "a token was refused: {refusal}"
    );
}

/// What a token says of itself. A member that it lacks is `None`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    kid: Option<String>,
    issuer: Option<String>,
    audience: Option<String>,
}

impl Said {
    fn of(token: &str) -> Self {
        let Ok(parts) = Compact::parse(token) else {
            return Self::default();
        };
        let claims: Value = serde_json::from_str(&parts.payload).unwrap_or_default();
        Self {
            kid: Some(cut(&parts.kid)),
            issuer: claims["iss"].as_str().map(cut),
            audience: match &claims["aud"] {
                Value::String(one) => Some(cut(one)),
                Value::Array(many) => {
                    let texts: Vec<&str> = many.iter().filter_map(Value::as_str).collect();
                    Some(cut(&texts.join(" ")))
                }
                _ => None,
            },
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn token(header: &str, claims: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", part(header), part(claims), part("signature"))
    }

    #[test]
    fn a_refused_token_is_described_by_key_issuer_and_audience() {
        let header = r#"{"alg":"ES256","kid":"k"}"#;
        let long = "a".repeat(LONGEST + 1);
        for (claims, issuer, audience) in [
            (
                r#"{"iss":"i","aud":"a","sub":"private"}"#.to_owned(),
                Some("i"),
                Some("a"),
            ),
            (r#"{"aud":["a","b"]}"#.to_owned(), None, Some("a b")),
            (r#"{"iss":1,"aud":{}}"#.to_owned(), None, None),
            (format!(r#"{{"iss":"{long}"}}"#), Some(&long[1..]), None),
        ] {
            let said = Said::of(&token(header, &claims));
            assert_eq!(said.kid.as_deref(), Some("k"));
            assert_eq!((said.issuer.as_deref(), said.audience.as_deref()), (issuer, audience));
        }
        assert_eq!(Said::of("nonsense"), Said::default());
    }
}
