//! Makes the parts that answer requests: the signer, the verifier, and the trusted issuers.

use std::sync::Arc;
use std::time::Duration;

use signet_base::Jitter;
use signet_clock_watch::ClockWatch;
use signet_core::mint::Template;
use signet_issuers::{IssuerKeys, Issuers};
use signet_verify::{Terms, Verifier};
use tokio_util::sync::CancellationToken;

use super::error::{StartError, refused};
use super::shared::Shared;
use crate::accepted_keys::AcceptedKeys;
use crate::answers::Answers;
use crate::keeper::Keeper;
use crate::own_keys::OwnKeys;
use crate::routes::Service;
use crate::signing::{Remote, Signing, SlowSigner};

/// The maximum random delay before the keys of trusted issuers are fetched, after the machine was
/// suspended or its clock was set.
const AFTER_JUMPS: Duration = Duration::from_secs(1);

/// Follows the trusted issuers.
pub(super) async fn follow_issuers(shared: &Shared) -> Result<Arc<Issuers>, StartError> {
    let settings = &shared.settings;
    let options = signet_issuers::FollowOptions {
        clock: &shared.clock_watch.steady(),
        record: &(Arc::clone(&shared.metrics) as _),
        data_dir: &settings.data_dir,
        ahead: settings.policy.durations().clock_skew * 2,
    };
    let issuers = Issuers::follow(&settings.trusted_issuers, options, &shared.tasks, &shared.shutdown).await?;
    let issuers = Arc::new(issuers);
    shared.tasks.spawn(fetch_after_jumps(
        Arc::clone(&shared.clock_watch),
        Arc::clone(&issuers),
        shared.shutdown.clone(),
    ));
    Ok(issuers)
}

/// Fetches keys after the machine was suspended or its clock was set, which the followers' timers do not notice. The
/// replicas of a suspended host do not all fetch at the same moment.
async fn fetch_after_jumps(clock_watch: Arc<ClockWatch>, issuers: Arc<Issuers>, shutdown: CancellationToken) {
    let (mut jumps, jitter) = (clock_watch.follow(), Jitter::default());
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = jumps.changed() => if changed.is_err() { return },
        }
        tokio::time::sleep(jitter.up_to(AFTER_JUMPS)).await;
        issuers.fetch_now();
    }
}

/// Makes what the routes of the local socket share.
pub(super) fn service(
    shared: &Shared,
    keeper: &Keeper,
    remote: Arc<Remote>,
    issuers: &Arc<Issuers>,
) -> Result<Service, StartError> {
    let settings = &shared.settings;
    let durations = settings.policy.durations();
    let accepted_keys = Arc::new(AcceptedKeys::new(
        (settings.issuer.clone(), settings.audience.clone()),
        keeper.published(),
        Arc::clone(issuers),
        Arc::clone(&shared.clock),
        Arc::clone(&shared.clock_watch),
    ));
    shared
        .tasks
        .spawn(Arc::clone(&accepted_keys).run(shared.shutdown.clone()));
    let slow_signer = SlowSigner::start().map_err(refused("threads"))?;
    Ok(Service {
        published: keeper.published(),
        accepted_keys,
        nudge: keeper.nudge(),
        template: Template::new(
            &settings.issuer,
            &settings.sign_audience,
            settings.sign_subject.as_deref(),
            durations.token_ttl,
            durations.token_max_ttl,
        ),
        issuer: settings.issuer.clone(),
        verifier: verifier(shared, keeper, issuers),
        identity: settings.identity.clone(),
        kubernetes: settings.kubernetes,
        signing: Signing::new(slow_signer, remote, keeper.nudge()),
        clock: Arc::clone(&shared.clock),
        clock_watch: Arc::clone(&shared.clock_watch),
        metrics: Arc::clone(&shared.metrics),
    })
}

/// Makes the verifier for tokens of our own ring and of the trusted issuers.
fn verifier(shared: &Shared, keeper: &Keeper, issuers: &Issuers) -> Verifier<Answers> {
    let settings = &shared.settings;
    let own = OwnKeys {
        published: keeper.published(),
        nudge: keeper.nudge(),
        clock: Arc::clone(&shared.clock),
    };
    let mut verifier = Verifier::new(
        Terms::new(settings.issuer.clone(), settings.audience.clone()),
        Arc::new(own),
        settings.policy.durations().clock_skew,
        settings.limits.verify_cache_entries.map_or(0, Into::into),
        settings.identity.bound(),
    );
    for trusted in issuers.iter() {
        let source = IssuerKeys {
            trusted: Arc::clone(trusted),
            clock_watch: Arc::clone(&shared.clock_watch),
        };
        verifier.trust(trusted.terms().into(), Arc::new(source));
    }
    verifier
}
