//! Signs members of an answer. The sidecar has the key and computes the signatures (`POST /v1/sign`).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use signet_base::{Clock as _, SystemClock};
use signet_core::Timestamp;
use tokio::time::{Instant, timeout_at};

use crate::plan::signer::Signer;
use crate::room::Room;
use crate::sidecar::connect::{self, AskError};
use crate::sidecar_settings::SidecarSettings;
use crate::tree::{self, Members, Tree};

/// The path of the sidecar's socket that signs.
const PATH: &str = "/v1/sign";

/// Why a member was not signed. The answer is then not sent, because a client must not mistake claims for a token.
#[derive(Debug, thiserror::Error)]
pub enum NotSigned {
    /// There is no sidecar.
    #[error("there is no sidecar (SIGNET_SOCKET is off), and only a sidecar can sign")]
    NoSidecar,
    /// The sidecar does not answer.
    #[error("the sidecar did not sign")]
    Unreachable(#[from] AskError),
    /// No answer came before the timeout of the endpoint.
    #[error("the sidecar did not sign before the timeout of the endpoint")]
    Late,
    /// The sidecar refused.
    #[error("the sidecar did not sign: {status}: {detail}")]
    Refused {
        /// The status of its answer.
        status: StatusCode,
        /// Its reason.
        detail: String,
    },
    /// The claims cannot be signed.
    #[error("{member} of the backend's answer {why}")]
    Claims {
        /// The name of the member.
        member: String,
        /// The problem, worded to follow the name.
        why: &'static str,
    },
    /// The sidecar signed with another key or issuer than the file requires.
    #[error(
        "the sidecar signs with {found}, and {key} of auth/signer says {wanted}; make both the same, or remove {key}"
    )]
    Different {
        /// The key of the file.
        key: &'static str,
        /// What the file says.
        wanted: String,
        /// What the sidecar does.
        found: String,
    },
    /// The answer of the sidecar has no token.
    #[error("the answer of the sidecar has no token")]
    NoToken,
}

impl NotSigned {
    /// Whether another try may succeed soon.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Late => true,
            Self::Refused { status, .. } => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
            Self::NoSidecar | Self::Claims { .. } | Self::Different { .. } | Self::NoToken => false,
        }
    }
}

/// What the sidecar answers.
#[derive(Deserialize)]
struct Signed {
    token: String,
}

/// A problem document of the sidecar.
#[derive(Deserialize)]
struct Problem {
    detail: String,
}

/// The request that signs these claims. `None` if the member is not an object: it is then left unchanged.
///
/// The sidecar sets `iss`, `iat`, `exp` and `jti` itself. `exp` becomes the requested lifetime, and `iat` is left out.
/// The sidecar refuses any other contradiction.
///
/// # Errors
/// [`NotSigned::Claims`], if `exp` is not a date in the future.
fn request(signer: &Signer, member: &str, claims: Tree, now: Timestamp) -> Result<Option<Bytes>, NotSigned> {
    let refused = |why| NotSigned::Claims {
        member: member.to_owned(),
        why,
    };
    let opened = claims.into_object(&mut Room::default());
    let Some(mut claims) = opened.map_err(|_| refused("has more members than there is memory for"))? else {
        return Ok(None);
    };
    let ttl = match claims.remove("exp") {
        None => None,
        Some(Tree::Raw(text)) => {
            let at: f64 = serde_json::from_slice(&text).map_err(|_| refused("has an exp that is not a number"))?;
            let left = Duration::try_from_secs_f64(at)
                .ok()
                .and_then(|at| at.checked_sub(Duration::from_millis(u64::try_from(now.as_millis()).ok()?)))
                .map(|left| left.as_secs())
                .filter(|left| *left > 0);
            Some(left.ok_or_else(|| refused("has an exp that is not in the future"))?)
        }
        Some(Tree::Object(_)) => return Err(refused("has an exp that is not a number")),
    };
    claims.remove("iat");
    let claims = serde_json::from_slice::<Box<RawValue>>(&tree::write(&claims))
        .map_err(|_| refused("cannot be written as JSON"))?;
    let mut body = json!({ "typ": signer.typ });
    if let Some(ttl) = ttl {
        body["ttl"] = ttl.into();
    }
    // The numbers in the claims keep their digits, because the claims are passed on as they arrived.
    let rest = body.to_string();
    let rest = rest.trim_start_matches('{');
    Ok(Some(Bytes::from(format!(r#"{{"claims":{},{rest}"#, claims.get()))))
}

/// The token in the sidecar's answer, as a member of the answer to the client.
///
/// # Errors
/// [`NotSigned`], if there is none, or it is not what the file requires.
fn token(signer: &Signer, status: StatusCode, body: &[u8]) -> Result<Tree, NotSigned> {
    if status != StatusCode::OK {
        let detail = serde_json::from_slice(body).map_or_else(|_| String::new(), |problem: Problem| problem.detail);
        return Err(NotSigned::Refused { status, detail });
    }
    let signed: Signed = serde_json::from_slice(body).map_err(|_| NotSigned::NoToken)?;
    let mut parts = signed.token.split('.');
    let (Some(protected), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(NotSigned::NoToken);
    };
    let text_in = |part: &str, name: &str| -> Option<String> {
        let json: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()?;
        Some(json.get(name)?.as_str()?.to_owned())
    };
    if let Some(wanted) = signer.algorithm {
        let found = text_in(protected, "alg").ok_or(NotSigned::NoToken)?;
        if found != wanted.as_str() {
            return Err(NotSigned::Different {
                key: "alg",
                wanted: wanted.as_str().to_owned(),
                found,
            });
        }
    }
    if let Some(wanted) = &signer.jwks_url {
        let issuer = text_in(payload, "iss").ok_or(NotSigned::NoToken)?;
        let found = format!("{}/.well-known/jwks.json", issuer.trim_end_matches('/'));
        if found != *wanted {
            return Err(NotSigned::Different {
                key: "jwk_url",
                wanted: wanted.clone(),
                found: format!("the keys of {found}"),
            });
        }
    }
    Ok(match signer.is_json {
        false => tree::quoted(&signed.token),
        true => {
            let whole = json!({ "payload": payload, "protected": protected, "signature": signature });
            tree::quoted(&whole.to_string())
        }
    })
}

/// Signs the members that the file names, before the deadline.
///
/// # Errors
/// [`NotSigned`], for the first member that is not signed.
pub async fn sign(
    signer: &Signer,
    members: &mut Members,
    sidecar: &SidecarSettings,
    deadline: Instant,
) -> Result<(), NotSigned> {
    for name in &signer.members {
        let Some(claims) = members.get(name) else {
            continue;
        };
        if let Some(request) = request(signer, name, claims.clone(), SystemClock.now())? {
            let asked = timeout_at(deadline, connect::post(sidecar, PATH, request)).await;
            let (status, body) = asked.map_err(|_| NotSigned::Late)??;
            members.insert(name.clone(), token(signer, status, &body)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use signet_core::Algorithm;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn signer() -> Signer {
        Signer {
            members: vec!["t".to_owned()],
            algorithm: None,
            jwks_url: None,
            typ: "JWT".to_owned(),
            is_json: false,
        }
    }

    fn asked(claims: &str) -> Result<Option<String>, NotSigned> {
        let claims = Tree::Raw(Bytes::copy_from_slice(claims.as_bytes()));
        let asked = request(&signer(), "t", claims, NOW)?;
        Ok(asked.map(|body| String::from_utf8(body.to_vec()).expect("text")))
    }

    #[test]
    fn claims_are_asked_for_as_they_came_with_exp_as_lifetime() {
        for (claims, body) in [
            (r#"{"sub":"a"}"#, r#"{"claims":{"sub":"a"},"typ":"JWT"}"#),
            (
                r#"{"n":1.50,"iat":1,"sub":"a","exp":1800000060}"#,
                r#"{"claims":{"n":1.50,"sub":"a"},"ttl":60,"typ":"JWT"}"#,
            ),
            (r#"{"exp":1800000060.9}"#, r#"{"claims":{},"ttl":60,"typ":"JWT"}"#),
        ] {
            assert_eq!(asked(claims).expect("claims").as_deref(), Some(body));
        }
        for nothing in ["1", "[]", "null", "\"a\""] {
            assert_eq!(asked(nothing).expect("no claims"), None, "{nothing}");
        }
        for bad in [
            r#"{"exp":"soon"}"#,
            r#"{"exp":1800000000}"#,
            r#"{"exp":-1}"#,
            r#"{"exp":1e400}"#,
            r#"{"exp":{}}"#,
            r#"{"exp":null}"#,
        ] {
            assert!(matches!(asked(bad), Err(NotSigned::Claims { .. })), "{bad}");
        }
    }

    #[test]
    fn a_token_is_handed_on_only_if_it_is_what_the_file_says() {
        let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
        let token_text = format!(
            "{}.{}.c2ln",
            part(r#"{"alg":"ES256"}"#),
            part(r#"{"iss":"https://a.test/"}"#)
        );
        let answer = json!({ "token": token_text }).to_string();
        let given = |signer: &Signer| token(signer, StatusCode::OK, answer.as_bytes());
        assert_eq!(given(&signer()).expect("a token"), tree::quoted(&token_text));
        let fits = Signer {
            algorithm: Some(Algorithm::ES256),
            jwks_url: Some("https://a.test/.well-known/jwks.json".to_owned()),
            ..signer()
        };
        assert!(given(&fits).is_ok());
        for differs in [
            Signer {
                algorithm: Some(Algorithm::RS256),
                ..fits.clone()
            },
            Signer {
                jwks_url: Some("https://b.test/.well-known/jwks.json".to_owned()),
                ..fits
            },
        ] {
            assert!(matches!(given(&differs), Err(NotSigned::Different { .. })));
        }
        let json_form = Signer {
            is_json: true,
            ..signer()
        };
        let Ok(Tree::Raw(text)) = given(&json_form) else {
            panic!("a token");
        };
        let whole: serde_json::Value = serde_json::from_str(&tree::unquoted(&text).expect("text")).expect("JSON");
        assert_eq!(whole["signature"], "c2ln");
        for (status, body) in [
            (200, "{}"),
            (200, r#"{"token":"a.b"}"#),
            (503, r#"{"detail":"d"}"#),
            (400, ""),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            assert!(token(&signer(), status, body.as_bytes()).is_err(), "{status} {body}");
        }
    }
}
