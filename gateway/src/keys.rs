//! Fetches the keys that verify tokens. Each source is followed once, however many endpoints use it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use signet_base::{Clock, SystemClock};
use signet_clock_watch::{ClockWatch, Tolerance};
use signet_core::verify::Dialect;
use signet_core::{Issuer, Timestamp};
use signet_issuers::{FollowOptions, IssuerKeys, Issuers, KeysAt, NoClient, Record, Trusted, TrustedIssuer};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::auth::Authenticator;
use crate::plan::Validator;
use crate::plan::validator::Keys;

/// How far two clocks may differ.
const APART: Duration = Duration::from_secs(120);
/// The minimum time before keys are fetched again.
const MIN_REFRESH: Duration = Duration::from_secs(60);
/// How much longer the last keys are used while fetching fails.
const MAX_STALE: Duration = Duration::from_secs(4 * 3600);
/// The minimum time before a token with an unknown key causes another fetch.
const COOL_DOWN: Duration = Duration::from_secs(10);
/// How long the start waits for the first keys.
const PATIENCE: Duration = Duration::from_secs(5);

/// Counts nothing.
#[derive(Debug)]
struct Uncounted;

impl Record for Uncounted {
    fn on_followed(&self, _: &Issuer) {}
    fn on_fetched(&self, _: &Issuer, _: bool) {}
    fn on_keys(&self, _: &Issuer, _: usize, _: Timestamp) {}
}

/// Makes the authenticators of these validators, in the same order, and follows their keys until shutdown.
///
/// # Errors
/// [`NoClient`], if the certificate authorities of a source cannot be read.
pub async fn follow(
    validators: &[Validator],
    data_dir: &Path,
    tasks: &TaskTracker,
    shutdown: &CancellationToken,
) -> Result<Arc<[Authenticator]>, NoClient> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let record: Arc<dyn Record> = Arc::new(Uncounted);
    let tolerance = Tolerance {
        apart: APART,
        forgotten_after: Duration::from_secs(24 * 3600),
    };
    let clock_watch = Arc::new(ClockWatch::new(Arc::clone(&clock), tolerance));
    let options = FollowOptions {
        clock: &clock_watch.steady(),
        record: &record,
        data_dir,
        ahead: APART,
    };
    let issuers = Issuers::follow(&places(validators), options, tasks, shutdown).await?;
    if !validators.is_empty() {
        tasks.spawn(Arc::clone(&clock_watch).run(shutdown.clone()));
        wait(&issuers).await;
    }
    let authenticator = |validator: &Validator| {
        let name = name(&validator.keys);
        let trusted: Option<&Arc<Trusted>> = issuers.iter().find(|trusted| trusted.terms().issuer == name);
        trusted.map(|trusted| {
            let source = IssuerKeys {
                trusted: Arc::clone(trusted),
                clock_watch: Arc::clone(&clock_watch),
            };
            Authenticator::new(validator.clone(), Arc::new(source), Arc::clone(&clock))
        })
    };
    // All or none, because endpoints refer to authenticators by number.
    let authenticators: Option<Arc<[Authenticator]>> = validators.iter().map(authenticator).collect();
    Ok(authenticators.unwrap_or_default())
}

/// Waits for the first fetch from each source, for a limited time. Tokens of sources that have not answered by
/// then are answered with 503.
async fn wait(issuers: &Issuers) {
    let asked = async {
        while !issuers.iter().all(|trusted| trusted.was_tried()) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    if timeout(PATIENCE, asked).await.is_err() {
        warn!("the keys of some validators are not there yet; their tokens are answered 503 until they are");
    }
}

/// The sources to follow, each once.
fn places(validators: &[Validator]) -> Vec<TrustedIssuer> {
    let mut places: Vec<TrustedIssuer> = Vec::new();
    for validator in validators {
        let (keys, issuer) = (&validator.keys, name(&validator.keys));
        match places.iter_mut().find(|place| place.issuer == issuer) {
            Some(place) => {
                if !place.algorithms.contains(&validator.algorithm) {
                    place.algorithms.push(validator.algorithm);
                }
                place.max_refresh = place.max_refresh.min(keys.refresh);
            }
            None => places.push(TrustedIssuer {
                issuer,
                // Each validator checks the audiences itself.
                audiences: Vec::new(),
                algorithms: vec![validator.algorithm],
                dialect: Dialect::standard().clone(),
                keys_at: keys.at.clone(),
                ca_file: keys.ca_file.clone(),
                min_refresh: MIN_REFRESH,
                max_refresh: keys.refresh,
                max_stale: MAX_STALE,
                cool_down: COOL_DOWN,
            }),
        }
    }
    places
}

/// The name of a source in the log and in stored files: the issuer that a discovery document must name, or the URL.
fn name(keys: &Keys) -> Issuer {
    let (KeysAt::Jwks(url) | KeysAt::Discovery(url)) = &keys.at;
    let name = match (&keys.issuer, &keys.ca_file) {
        (Some(issuer), _) => issuer.clone(),
        (None, None) => url.to_string(),
        (None, Some(file)) => format!("{url} by {}", file.display()),
    };
    Issuer::new(name)
}

#[cfg(test)]
mod tests {
    use signet_core::Algorithm;
    use signet_issuers::Location;

    use super::*;

    fn validator(url: &str, algorithm: Algorithm, refresh: u64) -> Validator {
        Validator {
            keys: Keys {
                at: KeysAt::Jwks(Location::parse(url).expect("a location")),
                issuer: None,
                ca_file: None,
                refresh: Duration::from_secs(refresh),
            },
            algorithm,
            issuer: None,
            audience: Vec::new(),
            roles: None,
            scopes: None,
            claims: Vec::new(),
            header: http::header::AUTHORIZATION,
            cookie: None,
            leeway: Duration::from_secs(1),
        }
    }

    #[test]
    fn a_place_is_followed_once_for_all_validators_that_name_it() {
        let places = places(&[
            validator("https://a.test/keys", Algorithm::RS256, 900),
            validator("https://b.test/keys", Algorithm::RS256, 900),
            validator("https://a.test/keys", Algorithm::ES256, 300),
        ]);
        let names: Vec<String> = places.iter().map(|place| place.issuer.to_string()).collect();
        assert_eq!(names, ["https://a.test/keys", "https://b.test/keys"]);
        assert_eq!(places[0].algorithms, [Algorithm::RS256, Algorithm::ES256]);
        assert_eq!(places[0].max_refresh, Duration::from_secs(300));
    }
}
