//! Assembles the settings, and checks those that depend on each other.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::Path;
use std::time::Duration;

use signet_api::{Custody, ExpiredKeys, Variables};
use signet_base::Nearness;
use signet_config::{Reader, SettingsError, Source, choice};
use signet_core::{Algorithm, Durations, Issuer, Policy};

use super::claims;
use super::issuers;
use super::kubernetes::kubernetes;
use super::names::{self, LogFormat, ProviderName};
use super::origin::{self, Defaults, NO_STORE, Origin, UNUSED_STORE, custody_of};
use super::table::TABLE;
use super::unlisted::Unlisted;
use super::{Limits, Machine, SOCKET, SYSTEM_DIRECTORY, Settings, Socket, TlsFiles, parse, places};

pub(super) fn assemble(mut reader: Reader, unlisted: Unlisted, machine: &Machine) -> Result<Settings, SettingsError> {
    let r = &mut reader;

    let log = r.required("log", parse::log);
    let log_format = log_format(r, machine);
    r.derive("data_dir", &machine.data_dir());
    let data_dir = r.required("data_dir", parse::lasting_path);
    let in_data_dir = |file: &str| {
        let dir = data_dir.as_deref().unwrap_or(Path::new("/"));
        dir.join(file).display().to_string()
    };

    let defaults = Defaults {
        ring_file: in_data_dir("ring.json"),
        key_file: in_data_dir("local.key"),
    };
    let origin = origin(r, &defaults);
    let variables = unlisted.variables.into_iter().collect();
    let also = origin::also(r, unlisted.also, &defaults, origin.as_ref());
    let replicas = r.required("replicas", |text| parse::number(text, 1..=1_000_000));
    let choices = [
        ("keep", None),
        ("disable", Some(ExpiredKeys::Disable)),
        ("destroy", Some(ExpiredKeys::Destroy)),
    ];
    let expired_keys = r.required("expired_keys", |text| choice(text, &choices));

    let issuer = r.required("issuer", parse::issuer);
    let audience = r.optional("audience", parse::audiences).unwrap_or_default();
    let trusted_issuers = issuers::trusted(r, unlisted.trusted_issuers, issuer.as_ref(), &audience);
    let identity = claims::identity(r);
    let sign_audience = r.optional("sign_audience", parse::audiences).unwrap_or_default();
    let sign_subject = r.optional("sign_subject", parse::text);
    let policy = policy(r);
    let kubernetes = kubernetes(r, policy.as_ref());
    let rsa_bits = r.required("rsa_bits", parse::rsa_bits);
    if let Some(algorithm) = policy.as_ref().map(Policy::algorithm)
        && r.source("rsa_bits") != Source::Default
        && algorithm.key_type() != signet_core::algorithm::KeyType::Rsa
        && r.knows(&["algorithm", "rsa_bits"])
    {
        let text = format!(
            "is not used: keys for {algorithm} are not RSA keys. Remove it, or set SIGNET_ALGORITHM to an RS or \
                 PS algorithm"
        );
        r.refuse("rsa_bits", text);
    }
    warn_of_unused_limits(r, origin.as_ref());

    let listen = r.required("listen", parse::address);
    let admin_listen = r.required("admin_listen", parse::address);
    let tls = tls(r);
    let socket = socket(r, machine);
    let limits = limits(r, machine);

    if let (Some(issuer), Some(listen), Some(admin_listen)) = (&issuer, listen, admin_listen)
        && r.knows(&["issuer", "listen", "admin_listen"])
    {
        judge(r, issuer, listen, admin_listen);
    }
    let settings = (|| {
        Some(Settings {
            origin: origin?,
            also,
            variables,
            replicas: u32::try_from(replicas?).ok()?,
            data_dir: data_dir?,
            expired_keys: expired_keys?,
            issuer: issuer?,
            audience,
            trusted_issuers,
            identity: identity?,
            sign_audience,
            sign_subject,
            policy: policy?,
            rsa_bits: rsa_bits?,
            listen: listen?,
            tls,
            admin_listen: admin_listen?,
            socket: socket?,
            kubernetes,
            limits: limits?,
            log: log?,
            log_format: log_format?,
            log_colors: machine.stderr_is_terminal && machine.likes_colors,
            warnings: Vec::new(),
            effective: Vec::new(),
        })
    })();
    if let Some(settings) = &settings {
        places::judge(r, settings);
    }
    let loaded = reader.finish(settings)?;
    Ok(Settings {
        effective: loaded.effective,
        warnings: loaded.warnings,
        ..loaded.settings
    })
}

fn log_format(r: &mut Reader, machine: &Machine) -> Option<LogFormat> {
    let formats = [
        ("auto", None),
        ("text", Some(LogFormat::Text)),
        ("json", Some(LogFormat::Json)),
    ];
    let asked = r.required("log_format", |text| choice(text, &formats))?;
    let format = asked.unwrap_or(match machine.stderr_is_terminal {
        true => LogFormat::Text,
        false => LogFormat::Json,
    });
    r.resolve("log_format", format.as_str());
    Some(format)
}

/// The origin of the signing ring.
fn origin(r: &mut Reader, defaults: &Defaults) -> Option<Origin> {
    let provider = r.required("provider", names::provider);
    let custody = custody(r, provider);
    let key = r.required("key", parse::text);
    let natural = provider
        .zip(key.as_deref())
        .and_then(|(provider, key)| defaults.store(provider, key));
    let store = match custody {
        Some(Custody::Remote) => {
            if r.is_given("store") && r.knows(&["provider", "custody", "store"]) {
                r.refuse("store", UNUSED_STORE.to_owned());
            }
            None
        }
        _ => {
            if let Some(natural) = &natural {
                r.derive("store", natural);
            } else if custody.is_some() && !r.is_given("store") {
                r.refuse("store", NO_STORE.to_owned());
            }
            let store = r.optional("store", names::store);
            if let (Some(provider), Some(store)) = (provider, &store)
                && r.knows(&["provider", "store"])
                && let Err(text) = origin::goes_with(provider, store)
            {
                r.refuse("store", text);
            }
            store
        }
    };
    if let Some(provider) = provider
        && provider != ProviderName::Local
        && r.is_given("local_key_file")
        && r.knows(&["provider"])
    {
        r.refuse("local_key_file", origin::unused_key_file(provider));
    }
    r.derive("local_key_file", &defaults.key_file);
    let local_key_file = r.required("local_key_file", parse::lasting_path);
    Some(Origin {
        provider: provider?,
        custody: custody?,
        key: key?,
        store,
        local_key_file: local_key_file?,
        overrides: Variables::default(),
    })
}

/// Warns of limits for signatures by the provider if Signet itself signs. It is only a warning, because they do no
/// harm, and a fleet with both custodies may set them everywhere.
fn warn_of_unused_limits(r: &mut Reader, origin: Option<&Origin>) {
    if origin.is_none_or(|origin| origin.custody == Custody::Remote) {
        return;
    }
    for name in ["sign_timeout", "sign_concurrency", "sign_rate"] {
        if r.source(name) != Source::Default {
            r.warn(
                name,
                "is not used: in sealed custody Signet computes the signatures itself",
            );
        }
    }
}

fn custody(r: &mut Reader, provider: Option<ProviderName>) -> Option<Custody> {
    r.derive("custody", provider.map_or("remote", ProviderName::default_custody));
    let judged = provider
        .filter(|_| r.knows(&["provider"]))
        .unwrap_or(ProviderName::Vault);
    r.required("custody", |text| custody_of(judged, text))
}

fn policy(r: &mut Reader) -> Option<Policy> {
    let algorithm = r.required("algorithm", parse::algorithm);
    let names = Durations::default().named().map(|(name, _)| name);
    let spans: BTreeMap<_, _> = names.map(|name| (name, r.required(name, parse::duration))).into();
    let span = |name| spans.get(name).copied().flatten();
    let durations = Durations {
        rotation_period: span("rotation_period")?,
        publish_lead: span("publish_lead")?,
        token_ttl: span("token_ttl")?,
        token_max_ttl: span("token_max_ttl")?,
        refresh_interval: span("refresh_interval")?,
        jwks_max_age: span("jwks_max_age")?,
        verifier_cache: span("verifier_cache")?,
        clock_skew: span("clock_skew")?,
    };
    // Check the durations even if the algorithm is wrong: that error must not hide that a lead is too short.
    match Policy::new(durations, algorithm.unwrap_or(Algorithm::ES256)) {
        Ok(policy) => algorithm.map(|_| policy),
        Err(problems) => {
            if r.knows(&names) {
                for problem in problems {
                    r.refuse(problem.setting, with_variables(&problem.text));
                }
            }
            None
        }
    }
}

/// Replaces the names of the policy, such as `verifier_cache`, by variables, such as `SIGNET_VERIFIER_CACHE`.
fn with_variables(text: &str) -> String {
    let names = Durations::default().named().map(|(name, _)| name);
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split_inclusive(|c| !is_part(c))
        .map(|piece| {
            let word = piece.trim_end_matches(|c| !is_part(c));
            match TABLE.named(word).filter(|_| names.contains(&word)) {
                Some(setting) => piece.replacen(word, &TABLE.variable(setting), 1),
                None => piece.to_owned(),
            }
        })
        .collect()
}

fn tls(r: &mut Reader) -> Option<TlsFiles> {
    let certificate = r.optional("tls_cert_file", parse::path);
    let key = r.optional("tls_key_file", parse::path);
    for (given, missing) in [("tls_cert_file", "tls_key_file"), ("tls_key_file", "tls_cert_file")] {
        if r.is_given(given) && !r.is_given(missing) && r.knows(&[given, missing]) {
            let text = format!(
                "is missing, and TLS needs it together with {}; set both or neither",
                r.place(given)
            );
            r.refuse(missing, text);
        }
    }
    Some(TlsFiles {
        certificate: certificate?,
        key: key?,
    })
}

fn socket(r: &mut Reader, machine: &Machine) -> Option<Socket> {
    r.derive("socket", &machine.socket());
    let path = r.required("socket", parse::socket_path);
    let mode = r.required("socket_mode", parse::socket_mode);
    let group = r.optional("socket_group", |text| parse::group(text, &machine.groups));
    if let (Some(group), Some(mode)) = (&group, mode)
        && mode & 0o060 != 0o060
        && r.knows(&["socket_mode", "socket_group"])
    {
        let text = format!(
            "{mode:04o} does not let a group connect, but SIGNET_SOCKET_GROUP gives the socket to group {group}; \
             write 0660, or remove SIGNET_SOCKET_GROUP"
        );
        r.refuse("socket_mode", text);
    }
    r.derive("socket_allow_uids", &machine.allowed_uids());
    let allow_uids = r.required("socket_allow_uids", parse::ids);
    let mut allow_gids = r.optional("socket_allow_gids", parse::ids).unwrap_or_default();
    // An operator who gives the socket to a group means to let that group in.
    allow_gids.extend(group.as_ref().map(|group| group.gid));
    Some(Socket {
        path: path?,
        mode: mode?,
        group,
        allow_uids: allow_uids?,
        allow_gids,
    })
}

fn limits(r: &mut Reader, machine: &Machine) -> Option<Limits> {
    const HOUR: Duration = Duration::from_secs(3600);
    let max_connections = r.required("max_connections", |text| parse::number(text, 1..=1_000_000));
    let header_timeout = r.required("header_timeout", |text| {
        parse::duration_in(text, Duration::from_millis(1)..=HOUR)
    });
    let drain_timeout = r.required("drain_timeout", |text| parse::duration_in(text, Duration::ZERO..=HOUR));
    let verify_cache_entries = r.required("verify_cache_entries", |text| parse::number(text, 0..=10_000_000));
    let require_locked_memory = r.required("require_locked_memory", parse::switch);
    let sign_timeout = r.required("sign_timeout", |text| {
        parse::duration_in(text, Duration::from_millis(1)..=HOUR)
    });
    let sign_concurrency = r.required("sign_concurrency", |text| parse::number(text, 1..=100_000));
    let sign_rate = r.required("sign_rate", |text| parse::number(text, 1..=1_000_000));
    let threads = r.required("threads", |text| parse::number(text, 0..=1024))?;
    let threads = NonZeroUsize::new(threads).unwrap_or_else(|| machine.default_threads());
    r.resolve("threads", &threads.to_string());
    Some(Limits {
        max_connections: NonZeroUsize::new(max_connections?)?,
        header_timeout: header_timeout?,
        drain_timeout: drain_timeout?,
        verify_cache_entries: NonZeroUsize::new(verify_cache_entries?),
        sign_timeout: sign_timeout?,
        sign_concurrency: sign_concurrency?,
        sign_rate: NonZeroU32::new(u32::try_from(sign_rate?).ok()?)?,
        require_locked_memory: require_locked_memory?,
        threads,
    })
}

fn judge(r: &mut Reader, issuer: &Issuer, listen: SocketAddr, admin: SocketAddr) {
    if collide(listen, admin) {
        let place = r.place("listen");
        let text = format!(
            "the public listener already uses {listen} (from {place}), so {admin} is not free; choose another port"
        );
        r.refuse("admin_listen", text);
    }
    if !Nearness::of_address(admin.ip().to_canonical()).is_here() {
        let text =
            "is not a loopback address: everyone who can reach it sees health, metrics and the state of the ring";
        r.warn("admin_listen", text);
    }
    if issuer.as_str().starts_with("http:") && !parse::is_loopback(issuer) {
        let text = "is not https: an attacker on the network between a verifier and this URL can give the verifier other \
             keys";
        r.warn("issuer", text);
    }
    if r.source("issuer") == Source::Default && !Nearness::of_address(listen.ip().to_canonical()).is_here() {
        let text = "is a URL of this machine only, but other machines can reach the public listener: they cannot fetch keys \
             from this URL. Write the URL under which they reach it";
        r.warn("issuer", text);
    }
}

/// Whether the second of these listeners could not be opened because of the first.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() != 0
        && one.port() == other.port()
        && (one.ip() == other.ip()
            || one.is_ipv4() == other.is_ipv4() && (one.ip().is_unspecified() || other.ip().is_unspecified()))
}

impl Machine {
    fn data_dir(&self) -> String {
        let dir = match (&self.xdg_state_home, self.home()) {
            (Some(state), _) => state.join("signet"),
            (None, Some(home)) if self.uid != 0 => home.join(".local/state/signet"),
            _ => "/var/lib/signet".into(),
        };
        dir.display().to_string()
    }

    fn socket(&self) -> String {
        let own = self
            .xdg_state_home
            .clone()
            .or_else(|| Some(self.home()?.join(".local/state")));
        let dir = match (&self.xdg_runtime_dir, own) {
            (Some(dir), _) => dir.clone(),
            (None, Some(own)) if self.uid != 0 && !self.run_signet_is_ours => own.join("signet"),
            _ => SYSTEM_DIRECTORY.into(),
        };
        dir.join(SOCKET).display().to_string()
    }

    /// The home directory. `/` counts as no home: it is the home of users without one, as in most containers,
    /// and cannot be written to.
    fn home(&self) -> Option<&Path> {
        self.home.as_deref().filter(|home| *home != Path::new("/"))
    }

    fn allowed_uids(&self) -> String {
        match self.uid {
            0 => "0".to_owned(),
            uid => format!("{uid},0"),
        }
    }

    fn default_threads(&self) -> NonZeroUsize {
        const MOST: NonZeroUsize = NonZeroUsize::new(4).expect("4 is not 0");
        // The other half is for the gateway. Also, with fewer threads, each handles more requests when it wakes.
        let half = NonZeroUsize::new(self.cores.get().div_ceil(2)).unwrap_or(NonZeroUsize::MIN);
        half.min(MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_durations_become_those_of_variables_and_other_words_stay() {
        assert_eq!(
            with_variables("10m: refresh_interval 1m + (jwks_max_age), key log 2 × clock_skew"),
            "10m: SIGNET_REFRESH_INTERVAL 1m + (SIGNET_JWKS_MAX_AGE), key log 2 × SIGNET_CLOCK_SKEW"
        );
    }

    #[test]
    fn listeners_collide_on_the_same_port_of_the_same_or_of_any_address() {
        let collide = |one: &str, other: &str| collide(one.parse().expect("one"), other.parse().expect("other"));
        assert!(collide("127.0.0.1:80", "127.0.0.1:80"));
        assert!(collide("0.0.0.0:80", "127.0.0.1:80"));
        assert!(!collide("127.0.0.1:80", "127.0.0.1:81"));
        assert!(!collide("127.0.0.1:80", "127.0.0.2:80"));
        assert!(!collide("127.0.0.1:0", "127.0.0.1:0"));
        assert!(!collide("0.0.0.0:80", "[::1]:80"));
    }
}
