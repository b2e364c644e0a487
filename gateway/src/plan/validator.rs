//! The tokens that an endpoint accepts: the namespace `auth/validator`.

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use http::header::AUTHORIZATION;
use signet_core::Algorithm;
use signet_issuers::{KeysAt, Location};

use super::lookup::Lookup;
use crate::file::Section;
use crate::file::json::Value;

/// The requirements for tokens, compiled. Endpoints with equal requirements share one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validator {
    /// The source of the keys. No other key verifies a token.
    pub keys: Keys,
    /// The required algorithm of the signature.
    pub algorithm: Algorithm,
    /// The required `iss`.
    pub issuer: Option<String>,
    /// The values that `aud` must contain, all of them.
    pub audience: Vec<String>,
    /// The claim with roles, and the roles of which one is required.
    pub roles: Option<(Lookup, Vec<String>)>,
    /// The required scopes.
    pub scopes: Option<Scopes>,
    /// The claims that are passed on as headers.
    pub claims: Vec<(Lookup, HeaderName)>,
    /// The header with the token.
    pub header: HeaderName,
    /// The cookie with the token, if the header is missing.
    pub cookie: Option<String>,
    /// How far clocks may differ.
    pub leeway: Duration,
}

/// The source of keys that verify tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Where the keys are found.
    pub at: KeysAt,
    /// The issuer that a discovery document must name.
    pub issuer: Option<String>,
    /// The certificate authorities for the server of the keys, instead of the machine's.
    pub ca_file: Option<PathBuf>,
    /// The maximum time before keys are fetched again.
    pub refresh: Duration,
}

/// The scopes that a token must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scopes {
    /// The claim with the scopes.
    pub at: Lookup,
    /// The required scopes.
    pub wanted: Vec<String>,
    /// Whether all scopes are required, or only one of them.
    pub all: bool,
}

impl Validator {
    /// Reads the namespace. Reports every problem, and returns `None` if the rest is unusable.
    pub fn read(validator: &Section<'_>) -> Option<Self> {
        let algorithm = algorithm(validator);
        let keys = keys(validator);
        if validator
            .node("require_exp")
            .is_some_and(|node| node.value != Value::Bool(true))
        {
            validator.refuse(
                "require_exp",
                "tokens without exp are not supported by this version of signet-gateway; remove the key",
            );
        }
        let strategy = validator.text("key_identify_strategy");
        if strategy.is_some_and(|strategy| strategy != "kid") {
            validator.refuse(
                "key_identify_strategy",
                "keys are found by kid in this version of signet-gateway; remove the key",
            );
        }
        let issuer = validator.text("issuer").map(str::to_owned);
        let audience: Vec<String> = validator
            .texts("audience")
            .iter()
            .map(|text| text.value.to_owned())
            .collect();
        if issuer.is_none() {
            validator.warn(
                "alg",
                "issuer is missing: a token of any issuer is accepted if a key of jwk_url signed it",
            );
        }
        if audience.is_empty() {
            validator.warn(
                "alg",
                "audience is missing: tokens for other services are accepted too (RFC 8725 §3.9)",
            );
        }
        Some(Self {
            algorithm: algorithm?,
            keys: keys?,
            issuer,
            audience,
            roles: roles(validator),
            scopes: scopes(validator),
            claims: claims(validator),
            header: header(validator),
            cookie: validator
                .text("cookie_key")
                .filter(|name| !name.is_empty())
                .map(str::to_owned),
            leeway: validator
                .duration("leeway")
                .unwrap_or_default()
                .max(Duration::from_secs(1)),
        })
    }
}

fn algorithm(validator: &Section<'_>) -> Option<Algorithm> {
    let Some(text) = validator.text("alg") else {
        if !validator.has("alg") {
            validator.refuse(
                "alg",
                "alg is missing; write the algorithm that signs the tokens, such as RS256",
            );
        }
        return None;
    };
    if text.starts_with("HS") {
        validator.refuse(
            "alg",
            format!(
                "{text} is not supported: everybody who can verify such a token can also make one. Have tokens signed with RS256, \
                 ES256 or EdDSA"
            ),
        );
        return None;
    }
    let known = Algorithm::ALL.map(Algorithm::as_str).join(", ");
    text.parse()
        .map_err(|_| validator.refuse("alg", format!("{text:?} is not one of {known}")))
        .ok()
}

fn keys(validator: &Section<'_>) -> Option<Keys> {
    let issuer = validator.text("issuer");
    let (key, text, discovers) = match (validator.text("jwk_url"), issuer) {
        (Some(url), _) => ("jwk_url", url.to_owned(), false),
        (None, Some(issuer)) => {
            let base = issuer.trim_end_matches('/');
            ("issuer", format!("{base}/.well-known/openid-configuration"), true)
        }
        (None, None) => {
            if !validator.has("jwk_url") {
                validator.refuse(
                    "jwk_url",
                    "jwk_url is missing; write the URL of the issuer's keys, or write issuer, to find them by \
                     discovery",
                );
            }
            return None;
        }
    };
    let location = match validator.flag("disable_jwk_security") {
        true => {
            validator.warn(
                "disable_jwk_security",
                "keys may come over http, where an attacker on the network can replace them. Certificates of https are still verified",
            );
            Location::parse_over_http(&text)
        }
        false => Location::parse(&text),
    };
    let location = location
        .map_err(|why| validator.refuse(key, format!("{text} {why}")))
        .ok()?;
    let refresh = validator.number("cache_duration", 1..=604_800).unwrap_or(900);
    Some(Keys {
        at: match discovers {
            true => KeysAt::Discovery(location),
            false => KeysAt::Jwks(location),
        },
        issuer: issuer.filter(|_| discovers).map(str::to_owned),
        ca_file: validator
            .text("jwk_local_ca")
            .filter(|path| !path.is_empty())
            .map(PathBuf::from),
        refresh: Duration::from_secs(refresh),
    })
}

fn roles(validator: &Section<'_>) -> Option<(Lookup, Vec<String>)> {
    let roles: Vec<String> = validator
        .texts("roles")
        .iter()
        .map(|text| text.value.to_owned())
        .collect();
    let key = validator.text("roles_key").unwrap_or("roles");
    let at = match validator.flag("roles_key_is_nested") {
        true => Lookup::path(key),
        false => Lookup::name(key),
    };
    (!roles.is_empty()).then_some((at, roles))
}

fn scopes(validator: &Section<'_>) -> Option<Scopes> {
    let wanted: Vec<String> = validator
        .texts("scopes")
        .iter()
        .map(|text| text.value.to_owned())
        .collect();
    let all = validator.word("scopes_matcher", &[("any", false), ("all", true)])?;
    let key = validator.text("scopes_key").unwrap_or_default();
    if wanted.is_empty() {
        return None;
    }
    if key.is_empty() {
        validator.refuse(
            "scopes",
            "scopes_key is missing; write the claim that holds the scopes, such as scope",
        );
    }
    Some(Scopes {
        at: Lookup::path(key),
        wanted,
        all,
    })
}

fn claims(validator: &Section<'_>) -> Vec<(Lookup, HeaderName)> {
    let mut claims = Vec::new();
    let Some(node) = validator.node("propagate_claims") else {
        return claims;
    };
    let refuse = |text: String| validator.refuse("propagate_claims", text);
    let Value::Array(pairs) = &node.value else {
        refuse("this must be a list of pairs: [[\"sub\", \"x-user\"]]".to_owned());
        return claims;
    };
    for pair in pairs {
        let texts: Option<Vec<&str>> = match &pair.value {
            Value::Array(texts) => texts
                .iter()
                .map(|text| match &text.value {
                    Value::Text(text) => Some(text.as_str()),
                    _ => None,
                })
                .collect(),
            _ => None,
        };
        match texts.as_deref() {
            Some([claim, header]) if !claim.is_empty() => match HeaderName::from_bytes(header.as_bytes()) {
                Ok(name) if super::filters::never_passes(&name) => refuse(format!(
                    "{header:?} cannot be set from a claim: it is a hop-by-hop header or one that only \
                                    the gateway sets"
                )),
                Ok(name) => claims.push((Lookup::path(claim), name)),
                Err(_) => refuse(format!("{header:?} is not a header name")),
            },
            _ => refuse(format!(
                "{pair} is not a pair of a claim and a header; write for example [\"sub\", \"x-user\"]"
            )),
        }
    }
    claims
}

fn header(validator: &Section<'_>) -> HeaderName {
    let Some(text) = validator.text("auth_header_name").filter(|name| !name.is_empty()) else {
        return AUTHORIZATION;
    };
    HeaderName::from_bytes(text.as_bytes()).unwrap_or_else(|_| {
        validator.refuse("auth_header_name", format!("{text:?} is not a header name"));
        AUTHORIZATION
    })
}
