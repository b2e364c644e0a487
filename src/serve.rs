//! Puts the sidecar together from its settings, and takes it down again.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use signet_api::ProviderError;
use signet_base::{Clock, Jitter, SystemClock};
use signet_core::mint::Template;
use signet_verify::{Terms, Verifier};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::app;
use crate::fits::{bears, fits};
use crate::hardening::{NotLocked, lock_memory};
use crate::keeper::{Charge, Keeper, Means, NoRing, Source, watch_clock};
use crate::last_good::LastGood;
use crate::own_keys::OwnKeys;
use crate::readiness::Readiness;
use crate::routes::admin::{About, Admin};
use crate::routes::public::Public;
use crate::routes::{Service, local};
use crate::settings::Settings;
use crate::signing::{Lane, Remote, Signing};
use crate::telemetry::metrics::Metrics;
use signet_clock_watch::ClockWatch;
use signet_edge::AllowList;
use signet_edge::Workers;
use signet_edge::files;
use signet_edge::tls::{self, Tls, TlsError};
use signet_edge::unix::{Access, SocketError, bind};
use signet_edge::{Context, Limits, serve_tcp, serve_unix};
use signet_issuers::{IssuerKeys, Issuers, NoClient};

/// The setting of the most connections, for the log.
const MAX_CONNECTIONS: &str = "SIGNET_MAX_CONNECTIONS";
/// The socket, the public and the admin listener.
const LISTENERS: usize = 3;

/// How long the keys of trusted issuers wait to be fetched after the machine was suspended or its clock was set.
const AFTER_JUMPS: Duration = Duration::from_secs(1);

/// Why the sidecar did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The local socket.
    #[error("the local socket cannot be opened")]
    Socket(#[from] SocketError),
    /// A TCP listener.
    #[error("listening on {address} failed; free the port, or change {setting}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The setting that says so.
        setting: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The certificate.
    #[error("TLS cannot be set up")]
    Tls(#[from] TlsError),
    /// The memory.
    #[error("memory cannot be locked")]
    Memory(#[from] NotLocked),
    /// The keys.
    #[error("the ring cannot be opened")]
    Provider(#[from] ProviderError),
    /// The keys of a ring that is also published.
    #[error(
        "the ring of {provider}, which SIGNET_ALSO_PUBLISH names, cannot be read, and without its keys good tokens would \
         be refused; remove {provider} there if no token of it is alive",
        provider = .0.provider
    )]
    Also(#[source] ProviderError),
    /// The keys of other issuers.
    #[error("SIGNET_TRUSTED_ISSUERS cannot be followed")]
    Issuers(#[from] NoClient),
    /// Threads and signals.
    #[error("the system refused {what}")]
    System {
        /// What.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// Runs the sidecar until SIGTERM or SIGINT.
///
/// # Errors
/// [`StartError`].
pub async fn serve(settings: Settings) -> Result<(), StartError> {
    for warning in &settings.warnings {
        warn!("{warning}");
    }
    lock_memory(settings.limits.require_locked_memory)?;
    let system = |what| move |source| StartError::System { what, source };
    let mut stop = Stop {
        terminate: signal(SignalKind::terminate()).map_err(system("a handler for SIGTERM"))?,
        interrupt: signal(SignalKind::interrupt()).map_err(system("a handler for SIGINT"))?,
    };
    let mut hang_up = signal(SignalKind::hangup()).map_err(system("a handler for SIGHUP"))?;

    files::allow(LISTENERS, settings.limits.max_connections.into(), MAX_CONNECTIONS);

    // The listeners first: a second start on the same socket must not get as far as the ring.
    let tls = match &settings.tls {
        Some(files) => Some(Tls::load(tls::Files {
            certificate: files.certificate.clone(),
            certificate_setting: "SIGNET_TLS_CERT_FILE",
            key: files.key.clone(),
            key_setting: "SIGNET_TLS_KEY_FILE",
        })?),
        None => None,
    };
    let access = Access {
        mode: settings.socket.mode,
        group: settings.socket.group.clone(),
    };
    let (socket, bound) = bind(&settings.socket.path, &access)?;
    let public = listen(settings.listen, "SIGNET_LISTEN").await?;
    let admin = listen(settings.admin_listen, "SIGNET_ADMIN_LISTEN").await?;

    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let clock_watch = watch_clock(Arc::clone(&clock), &settings.policy);
    let metrics = Arc::new(Metrics::default());

    let shutdown = CancellationToken::new();
    let tasks = TaskTracker::new();
    let context = Context {
        limits: Limits {
            connections: settings.limits.max_connections.into(),
            setting: MAX_CONNECTIONS,
            header_timeout: settings.limits.header_timeout,
        },
        workers: Workers::start(settings.limits.threads.into()).map_err(system("threads"))?,
        shutdown: shutdown.clone(),
        tasks: tasks.clone(),
        record: Arc::clone(&metrics) as _,
    };
    // Before the provider is asked: it may be silent, and the process lives all the same. On a thread of its own: whatever
    // the other listeners are busy with, a probe gets its answer.
    let pages = Admin::new(About {
        provider: settings.origin.provider.as_str(),
        issuer: settings.issuer.clone(),
        policy: settings.policy,
        clock: Arc::clone(&clock),
        metrics: Arc::clone(&metrics),
    });
    let admin_context = Context {
        workers: Workers::start(1).map_err(system("threads"))?,
        ..context.clone()
    };
    tasks.spawn(serve_tcp("admin", admin, None, pages.clone(), admin_context));

    let open = |origin| app::open_guarded(&settings, origin, Arc::clone(&clock), Arc::clone(&metrics));
    let Some(provider) = stop.or(Box::pin(open(&settings.origin))).await else {
        return stopped_early();
    };
    let provider = provider?;
    fits(&settings, &provider.capabilities())?;
    let mut also = Vec::new();
    for origin in &settings.also {
        let Some(provider) = stop.or(Box::pin(open(origin))).await else {
            return stopped_early();
        };
        let provider = provider.map_err(StartError::Also)?;
        bears(&settings, &provider.capabilities()).map_err(StartError::Also)?;
        also.push(Source {
            name: origin.name(),
            provider,
        });
    }
    let remote = Arc::new(Remote::new(
        Arc::clone(&provider),
        settings.limits.sign_concurrency,
        settings.limits.sign_timeout,
        Arc::clone(&clock),
    ));
    let charge = Charge {
        issuer: settings.issuer.clone(),
        policy: settings.policy,
        rsa_bits: settings.rsa_bits,
        fate: settings.expired_keys,
    };
    let means = Means {
        ring: Source {
            name: settings.origin.name(),
            provider,
        },
        also,
        clock_watch: Arc::clone(&clock_watch),
        metrics: Arc::clone(&metrics),
        jitter: Jitter::default(),
        memory: Some(Arc::new(LastGood::new(&settings.data_dir, &settings.issuer))),
    };
    let Some(keeper) = stop.or(Keeper::start(means, charge)).await else {
        return stopped_early();
    };
    let keeper = keeper.map_err(|no_ring| match no_ring {
        NoRing::Signing(failure) => StartError::Provider(failure),
        NoRing::Also(failure) => StartError::Also(failure),
    })?;
    let (published, nudge) = (keeper.published(), keeper.nudge());

    let durations = settings.policy.durations();
    let following = signet_issuers::Means {
        clock: &clock_watch.steady(),
        record: &(Arc::clone(&metrics) as _),
        data_dir: &settings.data_dir,
        ahead: durations.clock_skew * 2,
    };
    let following = Issuers::follow(&settings.trusted_issuers, following, &tasks, &shutdown);
    let Some(issuers) = stop.or(following).await else {
        return stopped_early();
    };
    let issuers = Arc::new(issuers?);
    tasks.spawn(fetch_after_jumps(
        Arc::clone(&clock_watch),
        Arc::clone(&issuers),
        shutdown.clone(),
    ));
    tasks.spawn(Arc::clone(&clock_watch).run(shutdown.clone()));
    let mut verifier = Verifier::new(
        Terms::new(settings.issuer.clone(), settings.audience.clone()),
        Arc::new(OwnKeys {
            published: Arc::clone(&published),
            nudge: Arc::clone(&nudge),
            clock: Arc::clone(&clock),
        }),
        durations.clock_skew,
        settings.limits.verify_cache_entries.map_or(0, Into::into),
        settings.identity.bound(),
    );
    for trusted in issuers.iter() {
        let source = IssuerKeys {
            trusted: Arc::clone(trusted),
            clock_watch: Arc::clone(&clock_watch),
        };
        verifier.trust(trusted.terms().into(), Arc::new(source));
    }
    let service = Arc::new(Service {
        published: Arc::clone(&published),
        nudge: Arc::clone(&nudge),
        template: Template::new(
            &settings.issuer,
            &settings.sign_audience,
            settings.sign_subject.as_deref(),
            durations.token_ttl,
            durations.token_max_ttl,
        ),
        issuer: settings.issuer.clone(),
        verifier,
        identity: settings.identity.clone(),
        kubernetes: settings.kubernetes,
        signing: Signing::new(
            Lane::start().map_err(system("threads"))?,
            Arc::clone(&remote),
            Arc::clone(&nudge),
        ),
        clock: Arc::clone(&clock),
        clock_watch: Arc::clone(&clock_watch),
        metrics: Arc::clone(&metrics),
    });

    if let Some(tls) = &tls {
        tasks.spawn(tls.clone().follow_files(shutdown.clone()));
    }
    tasks.spawn(serve_unix(
        "socket",
        socket,
        AllowList {
            uids: settings.socket.allow_uids.clone(),
            gids: settings.socket.allow_gids.clone(),
        },
        local::routes(service, shutdown.clone()),
        context.clone(),
    ));
    let documents = Public::new(
        Arc::clone(&published),
        &settings.issuer,
        &settings.policy,
        Arc::clone(&clock),
    );
    tasks.spawn(serve_tcp("public", public, tls.clone(), documents, context));
    let readiness = Arc::new(Readiness::new(
        Arc::clone(&published),
        remote,
        bound.file().clone(),
        Arc::clone(&issuers),
        &settings.policy,
        clock,
        clock_watch,
    ));
    tasks.spawn(Arc::clone(&readiness).watch(shutdown.clone()));
    pages.open(published, readiness);
    tasks.spawn(keeper.run(shutdown.clone()));
    announce(&settings, tls.is_some());

    loop {
        tokio::select! {
            () = stop.asked() => break,
            _ = hang_up.recv() => {
                info!("SIGHUP: the provider is read now, and the keys of trusted issuers are fetched");
                nudge.now();
                issuers.fetch_now();
            }
        }
    }
    info!(wait = %humantime::format_duration(settings.limits.drain_timeout), "stopping: requests under way may finish");
    shutdown.cancel();
    tasks.close();
    if tokio::time::timeout(settings.limits.drain_timeout, tasks.wait())
        .await
        .is_err()
    {
        warn!("some connections did not finish in SIGNET_DRAIN_TIMEOUT and are cut off");
    }
    info!("stopped");
    Ok(())
}

/// The timers of the followers stand still while the machine is suspended. The replicas of a suspended host do not all ask at the
/// same moment.
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

/// The signals that end the process.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// Returns when one has come. Cancelled, it loses none.
    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Does the work, unless a signal comes before it is done: a provider that is silent does not hold up the end. Whatever
    /// the start was doing leaves a good ring behind when it is cut off (clause 10 of the contract).
    async fn or<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = self.asked() => None,
        }
    }
}

fn stopped_early() -> Result<(), StartError> {
    info!("stopped before the ring was open");
    Ok(())
}

async fn listen(address: SocketAddr, setting: &'static str) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen {
        address,
        setting,
        source,
    })
}

fn announce(settings: &Settings, tls: bool) {
    let scheme = if tls { "https" } else { "http" };
    info!(
        version = env!("CARGO_PKG_VERSION"),
        issuer = %settings.issuer,
        jwks = %format!("{scheme}://{}/.well-known/jwks.json", settings.listen),
        socket = %settings.socket.path.display(),
        admin = %format!("http://{}/", settings.admin_listen),
        "signet is serving"
    );
}
