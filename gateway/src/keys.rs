//! Fetches the keys that verify tokens. Each source is followed once, however many endpoints use it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use signet_base::{Clock, SystemClock};
use signet_clock_watch::{ClockWatch, Tolerance};
use signet_core::Issuer;
use signet_core::verify::Dialect;
use signet_issuers::{FollowOptions, IssuerKeys, Issuers, KeysAt, NoClient, Record, Trusted, TrustedIssuer};
use signet_verify::KeySource;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::admin::readiness::{FollowedKeys, SourceOfKeys};
use crate::auth::Authenticator;
use crate::plan::Validator;
use crate::plan::validator::Keys;
use crate::sidecar::{KeyPlace, Sidecar};
use crate::sidecar_settings::SidecarSettings;
use crate::telemetry::metrics::Metrics;

/// How far two clocks may differ.
const APART: Duration = Duration::from_secs(120);
/// The minimum time before keys are fetched again, unless `cache_duration` is shorter.
const MIN_REFRESH: Duration = Duration::from_secs(60);
/// How much longer the last keys are used while fetching fails.
const MAX_STALE: Duration = Duration::from_secs(4 * 3600);
/// The minimum time before a token with an unknown key causes another fetch.
const COOL_DOWN: Duration = Duration::from_secs(10);
/// How long the start waits for the first keys.
const PATIENCE: Duration = Duration::from_secs(5);

/// Follows the sources of keys. If the plans before and after a reload both need a source, the gateway keeps following
/// it, with its keys.
#[derive(Debug)]
pub struct Followers {
    data_dir: PathBuf,
    metrics: Arc<Metrics>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
    clock: Arc<dyn Clock>,
    clock_watch: Arc<ClockWatch>,
    /// The sidecar. Keys that it has are not fetched.
    sidecar: Option<Arc<Sidecar>>,
    /// Whether the watch on the clock runs.
    is_watching: bool,
    sources: Vec<Source>,
}

/// A source of keys that is followed.
#[derive(Debug)]
struct Source {
    terms: TrustedIssuer,
    trusted: Arc<Trusted>,
    /// Ends the tasks of this source.
    stop: CancellationToken,
    /// The authenticators with the keys of this source, and the tokens that they know.
    authenticators: Vec<Arc<Authenticator>>,
    /// Whether the newest plan needs the source.
    is_needed: bool,
}

impl Followers {
    /// Follows no source yet.
    #[must_use]
    pub fn new(
        data_dir: &Path,
        metrics: Arc<Metrics>,
        sidecar: Option<SidecarSettings>,
        tasks: TaskTracker,
        shutdown: CancellationToken,
    ) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let tolerance = Tolerance {
            apart: APART,
            forgotten_after: Duration::from_secs(24 * 3600),
        };
        let clock_watch = Arc::new(ClockWatch::new(Arc::clone(&clock), tolerance));
        Self {
            data_dir: data_dir.to_owned(),
            metrics,
            tasks,
            shutdown,
            sidecar: sidecar.map(|settings| Sidecar::new(settings, Arc::clone(&clock_watch))),
            clock_watch,
            clock,
            is_watching: false,
            sources: Vec::new(),
        }
    }

    /// Makes the authenticators of these validators, in the same order. Sources that are not followed yet are followed until
    /// shutdown, or until [`Self::retire`] finds that no validator needs them.
    ///
    /// # Errors
    /// [`NoClient`], if the certificate authorities of a source cannot be read.
    pub async fn follow(&mut self, validators: &[Validator]) -> Result<Vec<Arc<Authenticator>>, NoClient> {
        let places = places(validators);
        for source in &mut self.sources {
            source.is_needed = places.contains(&source.terms);
        }
        for terms in places {
            if !self.sources.iter().any(|source| source.terms == terms) {
                self.start(terms).await?;
            }
        }
        if !self.sources.is_empty() && !self.is_watching {
            self.is_watching = true;
            self.tasks
                .spawn(Arc::clone(&self.clock_watch).run(self.shutdown.clone()));
        }
        // All or none, because endpoints refer to authenticators by number. If one is missing, the gateway answers 503.
        let authenticators: Option<Vec<Arc<Authenticator>>> = validators
            .iter()
            .map(|validator| self.authenticator(validator))
            .collect();
        if let Some(sidecar) = &self.sidecar {
            sidecar.wait().await;
        }
        wait(&self.sources).await;
        Ok(authenticators.unwrap_or_default())
    }

    /// The authenticator of this validator. One that is already in use is kept, with the tokens that it has verified.
    fn authenticator(&mut self, validator: &Validator) -> Option<Arc<Authenticator>> {
        let name = name(&validator.keys);
        let source = self
            .sources
            .iter_mut()
            .find(|source| source.is_needed && source.terms.issuer == name)?;
        let mut known = source.authenticators.iter();
        if let Some(known) = known.find(|authenticator| authenticator.validator() == validator) {
            return Some(Arc::clone(known));
        }
        let keys = IssuerKeys {
            trusted: Arc::clone(&source.trusted),
            clock_watch: Arc::clone(&self.clock_watch),
        };
        let keys: Arc<dyn KeySource> = match (&self.sidecar, key_place(validator)) {
            (Some(sidecar), Some(place)) => sidecar.source(place, keys, &self.tasks, &self.shutdown),
            _ => {
                keys.trusted.hold(false);
                Arc::new(keys)
            }
        };
        let made = Authenticator::new(validator.clone(), keys, Arc::clone(&self.clock));
        let made = Arc::new(made);
        source.authenticators.push(Arc::clone(&made));
        Some(made)
    }

    /// Stops following the sources that the newest plan does not need.
    pub fn retire(&mut self) {
        for source in &mut self.sources {
            match source.is_needed {
                // Nothing else uses the sources of older plans.
                true => source.authenticators.retain(|known| Arc::strong_count(known) > 1),
                false => source.stop.cancel(),
            }
        }
        self.sources.retain(|source| source.is_needed);
        let names: Vec<&Issuer> = self.sources.iter().map(|source| &source.terms.issuer).collect();
        self.metrics.keep_sources(&names);
    }

    /// The sources that the newest plan needs, for `/readyz`.
    #[must_use]
    pub fn sources(&self) -> Vec<Arc<dyn SourceOfKeys>> {
        let needed = self.sources.iter().filter(|source| source.is_needed);
        let followed = needed.map(|source| FollowedKeys {
            trusted: Arc::clone(&source.trusted),
            clock_watch: Arc::clone(&self.clock_watch),
            used: source
                .authenticators
                .iter()
                .map(|authenticator| Arc::clone(authenticator.source()))
                .collect(),
        });
        followed.map(|keys| Arc::new(keys) as Arc<dyn SourceOfKeys>).collect()
    }

    async fn start(&mut self, terms: TrustedIssuer) -> Result<(), NoClient> {
        let record: Arc<dyn Record> = Arc::<Metrics>::clone(&self.metrics);
        let options = FollowOptions {
            clock: &self.clock_watch.steady(),
            record: &record,
            data_dir: &self.data_dir,
            ahead: APART,
        };
        let stop = self.shutdown.child_token();
        let one = std::slice::from_ref(&terms);
        let issuers = match self.sidecar {
            Some(_) => Issuers::follow_held(one, options, &self.tasks, &stop).await?,
            None => Issuers::follow(one, options, &self.tasks, &stop).await?,
        };
        let trusted: Vec<Arc<Trusted>> = issuers.iter().cloned().collect();
        self.sources.extend(trusted.into_iter().map(|trusted| Source {
            terms: terms.clone(),
            trusted,
            stop: stop.clone(),
            authenticators: Vec::new(),
            is_needed: true,
        }));
        Ok(())
    }
}

/// Waits for the first fetch from each source, for a limited time. Tokens of sources that have not answered by
/// then are answered with 503.
async fn wait(sources: &[Source]) {
    let asked = async {
        let is_done = |source: &Source| source.trusted.was_tried() || source.trusted.is_held();
        while !sources.iter().all(is_done) {
            sleep(Duration::from_millis(1)).await;
        }
    };
    if timeout(PATIENCE, asked).await.is_err() {
        warn!("the keys of some validators have not been fetched yet; until then, their tokens get 503");
    }
}

/// The sources to follow, each once.
pub(crate) fn places(validators: &[Validator]) -> Vec<TrustedIssuer> {
    let mut places: Vec<TrustedIssuer> = Vec::new();
    for validator in validators {
        let (keys, issuer) = (&validator.keys, name(&validator.keys));
        match places.iter_mut().find(|place| place.issuer == issuer) {
            Some(place) => {
                if !place.algorithms.contains(&validator.algorithm) {
                    place.algorithms.push(validator.algorithm);
                }
                place.max_refresh = place.max_refresh.min(keys.refresh);
                place.min_refresh = place.min_refresh.min(keys.refresh);
            }
            None => places.push(TrustedIssuer {
                issuer,
                // Each validator checks the audiences itself.
                audiences: Vec::new(),
                algorithms: vec![validator.algorithm],
                dialect: Dialect::standard().clone(),
                keys_at: keys.at.clone(),
                ca_file: keys.ca_file.clone(),
                min_refresh: MIN_REFRESH.min(keys.refresh),
                max_refresh: keys.refresh,
                max_stale: MAX_STALE,
                cool_down: COOL_DOWN,
            }),
        }
    }
    places
}

/// The place of a validator's keys, if a sidecar may have them. `None` if the file says how the server of the keys must
/// prove its identity: the gateway then fetches them itself.
fn key_place(validator: &Validator) -> Option<KeyPlace> {
    let keys = &validator.keys;
    keys.ca_file.is_none().then(|| KeyPlace {
        at: keys.at.clone(),
        discovered: keys.issuer.clone(),
        issuer: validator.issuer.clone(),
    })
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
        assert_eq!(places[1].min_refresh, Duration::from_secs(60));
    }

    #[test]
    fn a_cache_duration_below_the_usual_minimum_is_kept() {
        let places = places(&[
            validator("https://a.test/keys", Algorithm::RS256, 1),
            validator("https://b.test/keys", Algorithm::RS256, 900),
            validator("https://b.test/keys", Algorithm::RS256, 5),
        ]);
        let times: Vec<(u64, u64)> = places
            .iter()
            .map(|place| (place.min_refresh.as_secs(), place.max_refresh.as_secs()))
            .collect();
        assert_eq!(times, [(1, 1), (5, 5)]);
    }
}
