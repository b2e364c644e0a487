//! Trusted issuers: `SIGNET_TRUSTED_ISSUERS` names them, and each may have a table
//! `[trusted_issuers."https://login.example.com/"]` in the settings file with values that differ from the defaults.

use std::time::Duration;

use signet_config::{EMPTY, Kind, Reader, text_of};
use signet_core::verify::Dialect;
use signet_core::{Algorithm, Audience, ClaimPath, Issuer};
use signet_issuers::{KeysAt, Location, TrustedIssuer};
use toml::Table;

use super::parse;
use super::unlisted::Tables;

const KEYS: [(&str, Kind); 11] = [
    ("audiences", Kind::List),
    ("audience_claim", Kind::Text),
    ("algorithms", Kind::List),
    ("scope_claims", Kind::List),
    ("jwks_url", Kind::Url),
    ("discovery_url", Kind::Url),
    ("ca_file", Kind::Path),
    ("min_refresh", Kind::Duration),
    ("max_refresh", Kind::Duration),
    ("max_stale", Kind::Duration),
    ("unknown_kid_cooldown", Kind::Duration),
];

/// The default algorithms: one for each type of key.
const ALGORITHMS: [Algorithm; 5] = [
    Algorithm::RS256,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::ES512,
    Algorithm::EdDSA,
];

const SECOND: Duration = Duration::from_secs(1);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

pub(super) fn trusted(
    r: &mut Reader,
    mut tables: Tables,
    own: Option<&Issuer>,
    audience: &[Audience],
) -> Vec<TrustedIssuer> {
    let names = r.optional("trusted_issuers", parse::names).unwrap_or_default();
    let mut trusted: Vec<TrustedIssuer> = Vec::new();
    for name in names {
        // If the URL of its keys is configured, an issuer's name need not be a URL: `iss` is any text (RFC 7519
        // §4.1.1), and Google's is `accounts.google.com` in some tokens.
        let has_keys = tables.get(&name).is_some_and(|table| table.contains_key("jwks_url"));
        let issuer = match parse::issuer(&name) {
            Ok(issuer) => issuer,
            Err(_) if has_keys && is_name(&name) => Issuer::new(&name),
            Err(text) => {
                tables.remove(&name);
                r.refuse(
                    "trusted_issuers",
                    format!("{text}. If the issuer's name is not a URL, set jwks_url in its table"),
                );
                continue;
            }
        };
        if own == Some(&issuer) {
            let text = format!("names {issuer}, which is SIGNET_ISSUER; its tokens are always accepted, so remove it");
            r.refuse("trusted_issuers", text);
        } else if trusted.iter().any(|known| known.issuer == issuer) {
            r.refuse("trusted_issuers", format!("names {issuer} twice; write it once"));
        } else {
            let table = tables.remove(&name).unwrap_or_default();
            let mut terms = Terms { r, name: &name, table };
            trusted.extend(terms.read(issuer, audience));
        }
    }
    for name in tables.into_keys() {
        let place = place(r, &name, None);
        let text = "is set, but SIGNET_TRUSTED_ISSUERS does not name this issuer; add it there, or remove this setting";
        r.refuse_at(place, text.to_owned());
    }
    trusted
}

/// The name of a trusted issuer's table, or of a key in it, for a message.
pub(super) fn place(r: &Reader, issuer: &str, key: Option<&str>) -> String {
    let key = key.map_or_else(String::new, |key| format!(".{key}"));
    r.place_in_file(&format!("trusted_issuers.{issuer:?}{key}"))
}

/// Whether this can be the `iss` of an issuer that is not a URL: visible ASCII characters only.
fn is_name(name: &str) -> bool {
    (1..=256).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The table of one issuer. Values are removed from it as they are read.
struct Terms<'a> {
    r: &'a mut Reader,
    name: &'a str,
    table: Table,
}

impl Terms<'_> {
    fn read(&mut self, issuer: Issuer, audience: &[Audience]) -> Option<TrustedIssuer> {
        let location = |text: &str| Location::parse(text).map_err(|why| format!("{text:?} {why}"));
        let path = |text: &str| ClaimPath::parse(text).map_err(|error| error.to_string());
        let paths = |text: &str| {
            parse::names(text)?
                .iter()
                .map(|name| path(name))
                .collect::<Result<Vec<_>, _>>()
        };
        let algorithms = |text: &str| {
            let names = parse::names(text)?;
            names
                .iter()
                .map(|name| parse::algorithm(name))
                .collect::<Result<Vec<_>, _>>()
        };
        let span = |bounds| move |text: &str| parse::duration_in(text, bounds);

        let has_own = self.table.contains_key("audiences");
        let audiences = self.take("audiences", parse::audiences);
        let audiences = audiences.unwrap_or_else(|| audience.to_vec());
        if audiences.is_empty() && !has_own && self.r.knows(&["audience"]) {
            let text = "is missing, and so is SIGNET_AUDIENCE: Signet must know which audience a token of this issuer \
                 needs; write for example audiences = [\"https://orders.example.com\"] (RFC 8725 \
                 §3.9)";
            self.refuse("audiences", text.to_owned());
        }
        let dialect = Dialect {
            audience: self.take("audience_claim", path),
            scope: self.take("scope_claims", paths).unwrap_or_default(),
        };
        let algorithms = self.take("algorithms", algorithms);
        let jwks = self.take("jwks_url", location);
        let discovery = self.take("discovery_url", location);
        let keys_at = match (jwks, discovery) {
            (Some(_), Some(_)) => {
                self.refuse(
                    "jwks_url",
                    "is set together with discovery_url; keep one of them".to_owned(),
                );
                None
            }
            (Some(url), None) => Some(KeysAt::Jwks(url)),
            (None, Some(url)) => Some(KeysAt::Discovery(url)),
            (None, None) => {
                let url = format!(
                    "{}/.well-known/openid-configuration",
                    issuer.as_str().trim_end_matches('/')
                );
                let found = Location::parse(&url);
                if let Err(why) = found {
                    let text = format!("names {issuer}, which {why}; write https, or set jwks_url in its table");
                    self.r.refuse("trusted_issuers", text);
                }
                found.ok().map(KeysAt::Discovery)
            }
        };
        let ca_file = self.take("ca_file", parse::path);
        let minutes = |minutes| SECOND * 60 * minutes;
        let min_refresh = self.take("min_refresh", span(SECOND..=WEEK));
        let max_refresh = self.take("max_refresh", span(SECOND..=WEEK));
        let max_stale = self
            .take("max_stale", span(Duration::ZERO..=WEEK * 5))
            .unwrap_or(minutes(240));
        let cool_down = self
            .take("unknown_kid_cooldown", span(SECOND..=WEEK))
            .unwrap_or(SECOND * 10);
        // If only one of the two is given and the default of the other contradicts it, the other gets the same value.
        let max_refresh = max_refresh.unwrap_or_else(|| minutes(60).max(min_refresh.unwrap_or_default()));
        let min_refresh = min_refresh.unwrap_or_else(|| minutes(1).min(max_refresh));
        if min_refresh > max_refresh {
            self.refuse("min_refresh", "is longer than max_refresh; swap them".to_owned());
        }
        self.refuse_the_rest();
        Some(TrustedIssuer {
            issuer,
            audiences,
            algorithms: algorithms.unwrap_or_else(|| ALGORITHMS.to_vec()),
            dialect,
            keys_at: keys_at?,
            ca_file,
            min_refresh,
            max_refresh,
            max_stale,
            cool_down,
        })
    }

    fn take<T>(&mut self, key: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let value = self.table.remove(key)?;
        let (_, kind) = KEYS.iter().find(|(name, _)| *name == key)?;
        let said = |text: String| match text.trim() {
            // An empty list would be taken for the default.
            "" => Err(EMPTY.to_owned()),
            _ => Ok(text),
        };
        match text_of(*kind, value).and_then(said).and_then(|text| parse(&text)) {
            Ok(value) => Some(value),
            Err(text) => {
                self.refuse(key, text);
                None
            }
        }
    }

    fn refuse(&mut self, key: &str, text: String) {
        let place = place(self.r, self.name, Some(key));
        self.r.refuse_at(place, text);
    }

    fn refuse_the_rest(&mut self) {
        let rest: Vec<String> = std::mem::take(&mut self.table)
            .into_iter()
            .map(|(key, _)| key)
            .collect();
        for key in rest {
            let names = KEYS.map(|(name, _)| name);
            let meant = names
                .iter()
                .map(|name| (strsim::osa_distance(&key, name), *name))
                .filter(|(distance, name)| *distance <= name.len() / 3)
                .min();
            let text = match meant {
                Some((_, name)) => format!("is not a setting of a trusted issuer; did you mean {name}?"),
                None => format!(
                    "is not a setting of a trusted issuer; the settings are {}",
                    names.join(", ")
                ),
            };
            self.refuse(&key, text);
        }
    }
}
