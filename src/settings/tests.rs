//! The settings as a whole: order, defaults and refusals. Nothing makes them panic.

#[cfg(all(feature = "vault", feature = "aws-kms"))]
mod also;
mod file;
mod issuers;
mod kubernetes;
mod places;
mod properties;
mod refused;

use std::collections::BTreeMap;

use clap::Command;
use signet_api::Custody;

use super::*;

/// The environment and the arguments of a start.
#[derive(Debug, Default)]
struct Start {
    env: BTreeMap<String, String>,
    flags: Vec<String>,
    file: Option<String>,
    machine: Option<Machine>,
}

impl Start {
    fn env(mut self, variable: &str, value: &str) -> Self {
        self.env.insert(variable.to_owned(), value.to_owned());
        self
    }

    fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    fn file(mut self, text: &str) -> Self {
        self.file = Some(text.to_owned());
        self.env("SIGNET_CONFIG", "/etc/signet.toml")
    }

    fn machine(mut self, change: impl Fn(&mut Machine)) -> Self {
        let mut machine = machine();
        change(&mut machine);
        self.machine = Some(machine);
        self
    }

    fn load(self) -> Result<Settings, SettingsError> {
        let command = Command::new("signet").no_binary_name(true).args(flags());
        let matches = command.try_get_matches_from(&self.flags).expect("flags that exist");
        let env = self.env.into_iter().map(|(name, value)| (name.into(), value.into()));
        let read_file = |_: &Path| self.file.ok_or(io::ErrorKind::NotFound.into());
        Settings::load(env, &matches, read_file, &self.machine.unwrap_or_else(machine))
    }

    fn loaded(self) -> Settings {
        self.load().unwrap_or_else(|error| panic!("{error}"))
    }

    fn refused(self) -> SettingsError {
        self.load().expect_err("settings to refuse")
    }
}

fn machine() -> Machine {
    Machine {
        uid: 1000,
        stderr_is_terminal: false,
        cores: NonZeroUsize::new(16).expect("not 0"),
        groups: [("www-data".to_owned(), 33)].into(),
        run_signet_is_ours: true,
        likes_colors: true,
        home: Some("/home/ann".into()),
        xdg_state_home: None,
        xdg_runtime_dir: None,
    }
}

fn problems(error: &SettingsError) -> Vec<String> {
    error.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn names_follow_from_the_table_and_are_unique() {
    let names: BTreeSet<_> = SETTINGS.iter().map(|setting| setting.name).collect();
    assert_eq!(names.len(), SETTINGS.len());
    let lead = TABLE.named("publish_lead").expect("a setting");
    assert_eq!(
        (TABLE.variable(lead).as_str(), lead.flag().as_str()),
        ("SIGNET_PUBLISH_LEAD", "--publish-lead")
    );
    Command::new("signet").args(flags()).debug_assert();
}

#[test]
fn the_documentation_has_every_setting_with_its_default() {
    let documentation = include_str!("../../docs/configuration.md");
    for setting in SETTINGS {
        let default = match setting.fallback {
            Fallback::Literal(text) => format!("`{text}`"),
            other => other.as_str().to_owned(),
        };
        let row = format!(
            "| `{}` | `{}` | {default} | {} |",
            TABLE.variable(setting),
            setting.flag(),
            setting.help
        );
        assert!(
            documentation.contains(&row),
            "docs/configuration.md lacks this row under {:?}:\n{row}",
            setting.group
        );
    }
    // The gateway has a table of its own.
    let is_row = |line: &&str| line.starts_with("| `SIGNET_") && !line.starts_with("| `SIGNET_GATEWAY_");
    let rows = documentation.lines().filter(is_row);
    assert_eq!(rows.count(), SETTINGS.len(), "docs/configuration.md has a row too many");
}

#[test]
fn the_settings_file_of_the_documentation_loads() {
    let documentation = include_str!("../../docs/configuration.md");
    let example = documentation
        .split_once("```toml\n")
        .and_then(|(_, rest)| rest.split_once("```"))
        .map(|(example, _)| example)
        .expect("an example");
    let settings = Start::default().file(example).loaded();
    assert_eq!(settings.warnings, Vec::<String>::new());
}

#[test]
fn without_any_setting_the_defaults_hold() {
    let settings = Start::default().loaded();
    assert_eq!(settings.origin.provider, ProviderName::Local);
    assert_eq!(settings.origin.custody, Custody::Sealed);
    assert_eq!(settings.data_dir, Path::new("/home/ann/.local/state/signet"));
    assert_eq!(
        settings.origin.store,
        Some(Store::File("/home/ann/.local/state/signet/ring.json".into()))
    );
    assert_eq!(
        settings.origin.local_key_file,
        Path::new("/home/ann/.local/state/signet/local.key")
    );
    assert_eq!(settings.expired_keys, Some(ExpiredKeys::Disable));
    assert_eq!(*settings.policy.durations(), signet_core::Durations::default());
    assert_eq!(settings.policy.algorithm(), signet_core::Algorithm::ES256);
    assert_eq!(settings.socket.path, Path::new("/run/signet/signet.sock"));
    assert_eq!(settings.socket.mode, 0o660);
    assert_eq!(settings.socket.allow_uids, BTreeSet::from([0, 1000]));
    assert_eq!(settings.socket.allow_gids, BTreeSet::new());
    assert_eq!(settings.limits.threads.get(), 4);
    assert_eq!(settings.log_format, LogFormat::Json);
    assert!(settings.tls.is_none() && settings.audience.is_empty() && settings.warnings.is_empty());
}

#[test]
fn directories_follow_the_user_and_xdg() {
    let data_dir = |change: fn(&mut Machine)| Start::default().machine(change).loaded().data_dir;
    let system = Path::new("/var/lib/signet");
    assert_eq!(
        data_dir(|m| m.xdg_state_home = Some("/state".into())),
        Path::new("/state/signet")
    );
    assert_eq!(data_dir(|m| m.uid = 0), system);
    assert_eq!(data_dir(|m| m.home = None), system);
    assert_eq!(data_dir(|m| m.home = Some("/".into())), system);
    let settings = Start::default()
        .machine(|m| m.xdg_runtime_dir = Some("/run/user/1000".into()))
        .env("SIGNET_DATA_DIR", "/data/")
        .loaded();
    assert_eq!(settings.socket.path, Path::new("/run/user/1000/signet.sock"));
    assert_eq!(settings.origin.store, Some(Store::File("/data/ring.json".into())));
    let socket = |change: fn(&mut Machine)| Start::default().machine(change).loaded().socket.path;
    assert_eq!(socket(|_| ()), Path::new("/run/signet/signet.sock"));
    assert_eq!(
        socket(|m| m.run_signet_is_ours = false),
        Path::new("/home/ann/.local/state/signet/signet.sock")
    );
    assert_eq!(
        socket(|m| (m.run_signet_is_ours, m.xdg_state_home) = (false, Some("/state".into()))),
        Path::new("/state/signet/signet.sock")
    );
    let system = Path::new("/run/signet/signet.sock");
    assert_eq!(socket(|m| (m.run_signet_is_ours, m.uid) = (false, 0)), system);
    assert_eq!(
        socket(|m| (m.run_signet_is_ours, m.home) = (false, Some("/".into()))),
        system
    );
    let root = Start::default().machine(|m| m.uid = 0).loaded();
    assert_eq!(root.socket.allow_uids, BTreeSet::from([0]));
}

#[test]
fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
    let key = |start: Start| {
        let settings = start.loaded();
        let row = settings.effective().iter().find(|row| row.setting.name == "key");
        (settings.origin.key.clone(), row.expect("a row").source)
    };
    let file = || Start::default().file("key = 'file'");
    let env = || file().env("SIGNET_KEY", "env");
    assert_eq!(key(Start::default()), ("signet".to_owned(), Source::Default));
    assert_eq!(key(file()), ("file".to_owned(), Source::File));
    assert_eq!(key(env()), ("env".to_owned(), Source::Environment));
    assert_eq!(key(env().flag("--key=flag")), ("flag".to_owned(), Source::Flag));
}

#[test]
fn an_empty_variable_counts_as_unset_and_an_empty_flag_is_refused() {
    let start = Start::default().file("issuer = 'https://a.example'");
    let settings = start.env("SIGNET_ISSUER", " ").env("SIGNET_NONSENSE", "").loaded();
    assert_eq!(settings.issuer, Issuer::new("https://a.example"));
    let error = Start::default().flag("--issuer=").refused();
    assert_eq!(
        problems(&error),
        ["--issuer (flag): is empty; write a value, or leave it out"]
    );
}

#[cfg(feature = "vault")]
#[test]
fn every_setting_is_taken_from_flag_environment_and_file() {
    let values = [
        ("config", "/etc/signet.toml"),
        ("log", "warn"),
        ("log_format", "text"),
        ("data_dir", "/data"),
        ("provider", "local"),
        ("custody", "sealed"),
        ("key", "other"),
        ("store", "file:/r"),
        ("also_publish", "vault"),
        ("replicas", "3"),
        ("local_key_file", "/k"),
        ("expired_keys", "keep"),
        ("sign_timeout", "1s"),
        ("sign_concurrency", "5"),
        ("sign_rate", "7"),
        ("issuer", "https://a.example"),
        ("audience", "a,b"),
        ("trusted_issuers", "https://b.example"),
        ("claim_headers", "email:x-auth-email"),
        ("claim_headers_join", ";"),
        ("claim_headers_max", "4096"),
        ("sign_audience", "c"),
        ("sign_subject", "s"),
        ("algorithm", "RS256"),
        ("rsa_bits", "4096"),
        ("rotation_period", "48h"),
        ("publish_lead", "2h"),
        ("token_ttl", "6m"),
        ("token_max_ttl", "2h"),
        ("refresh_interval", "2m"),
        ("jwks_max_age", "6m"),
        ("verifier_cache", "10m"),
        ("clock_skew", "2m"),
        ("listen", "127.0.0.1:1"),
        ("tls_cert_file", "/c"),
        ("tls_key_file", "/t"),
        ("admin_listen", "127.0.0.1:2"),
        ("socket", "/s"),
        ("socket_mode", "0670"),
        ("socket_group", "9"),
        ("socket_allow_uids", "7"),
        ("socket_allow_gids", "8"),
        ("kubernetes", "true"),
        ("max_connections", "9"),
        ("header_timeout", "11s"),
        ("drain_timeout", "12s"),
        ("verify_cache_entries", "13"),
        ("require_locked_memory", "true"),
        ("threads", "2"),
    ];
    assert_eq!(
        values.map(|(name, _)| name),
        SETTINGS.iter().map(|s| s.name).collect::<Vec<_>>()[..]
    );
    let setting = |name| TABLE.named(name).expect("a setting");
    let by_flag = values.iter().fold(Start::default(), |start, (name, value)| {
        start.flag(&format!("{}={value}", setting(name).flag()))
    });
    let by_env = values.iter().fold(Start::default(), |start, (name, value)| {
        start.env(&TABLE.variable(setting(name)), value)
    });
    let lines = values
        .iter()
        .skip(1)
        .map(|(name, value)| format!("{name} = '{value}'\n"));
    let by_file = Start::default().file(&lines.collect::<String>());
    let mut shown = Vec::new();
    for mut start in [by_flag, by_env, by_file] {
        start.file.get_or_insert_default();
        let settings = start.loaded();
        for (row, (name, value)) in settings.effective().iter().zip(values) {
            assert_eq!((row.setting.name, row.value.as_deref()), (name, Some(value)));
            assert!(row.source != Source::Default, "{name}");
        }
        // Apart from the sources, the typed values are the same, and they differ from the defaults.
        let mut settings = settings;
        settings.effective.clear();
        // Each warning names the place of a setting.
        settings.warnings.clear();
        shown.push(format!("{settings:?}"));
    }
    assert!(shown.iter().all(|settings| *settings == shown[0]));
}

#[test]
fn all_problems_are_reported_at_once() {
    let error = Start::default()
        .file("custody = 'remote'\nlogformat = 'text'")
        .env("SIGNET_PUBLISH_LEAD", "5 minuts")
        .env("SIGNET_ISSUR", "https://a.example")
        .env("SIGNET_TLS_CERT_FILE", "/cert.pem")
        .flag("--socket-mode=0666")
        .flag("--provider=local")
        .refused();
    let mut problems = problems(&error);
    problems.sort();
    assert_eq!(
        problems,
        [
            "\"logformat\" (file /etc/signet.toml): is not a setting; did you mean log_format?",
            "--socket-mode (flag): \"0666\" would let every user of this machine use the socket; the last digit \
             must be 0: write for example 0660 or 0600",
            "SIGNET_ISSUR (environment): is not a setting; did you mean SIGNET_ISSUER?",
            "SIGNET_PUBLISH_LEAD (environment): \"5 minuts\" is not a duration; write numbers with the units ms, s, m, h, d or w, such as 90s, 5m, 1h30m",
            "SIGNET_TLS_KEY_FILE or --tls-key-file (default): is missing, and TLS needs it together with SIGNET_TLS_CERT_FILE \
             (environment); set both or neither",
            "custody (file /etc/signet.toml): \"remote\" is not possible with the provider local, because it cannot compute \
             signatures; write sealed",
        ]
    );
    let documentation = include_str!("../../docs/configuration.md");
    for problem in [&problems[1], &problems[3].replace("PUBLISH_LEAD", "TOKEN_TTL")] {
        assert!(
            documentation.contains(problem),
            "docs/configuration.md lacks:\n{problem}"
        );
    }
    assert!(error.to_string().starts_with("6 problems with the settings\n  "));
    assert_eq!(error.exit_code(), 64);
}

#[test]
fn an_unsafe_policy_is_refused_with_the_numbers_and_the_variables() {
    let error = Start::default().env("SIGNET_PUBLISH_LEAD", "10m").refused();
    let [problem] = error.problems.as_slice() else {
        panic!("{error}");
    };
    assert_eq!(problem.setting, Some("publish_lead"));
    let text = problem.to_string();
    for part in [
        "SIGNET_PUBLISH_LEAD (environment): 10m is too short",
        "At least 23m",
        "SIGNET_VERIFIER_CACHE 20m",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let documentation = include_str!("../../docs/configuration.md");
    assert!(documentation.contains(&text), "docs/configuration.md lacks:\n{text}");
    // The wrong value may be a default, which nobody wrote under a name. Both the variable and the flag are then named.
    let text = Start::default().flag("--verifier-cache=2h").refused().to_string();
    assert!(
        text.starts_with("SIGNET_PUBLISH_LEAD or --publish-lead (default): 1h is too short"),
        "{text}"
    );
    assert!(Start::default().env("SIGNET_PUBLISH_LEAD", "23m").load().is_ok());
    assert!(documentation.contains("1m + 20m + 2 × 1m = 23m"));
}

#[test]
fn a_policy_is_not_judged_by_the_default_of_a_span_whose_text_is_lost() {
    // With the lead in the file, or with the misspelled one, four hours of cache would be allowed.
    let long = || Start::default().env("SIGNET_VERIFIER_CACHE", "4h");
    assert!(long().refused().to_string().contains("too short"));
    for start in [
        long().env("SIGNET_CONFIG", "/missing.toml"),
        long().env("SIGNET_PUBLISH_LEED", "5h"),
        long().flag("--publish-lead="),
    ] {
        assert_eq!(start.refused().problems.len(), 1);
    }
}

#[test]
fn exit_code_78_is_for_the_environment_alone() {
    let start = || Start::default().env("SIGNET_CONFIG", "/missing.toml");
    let error = start().refused();
    assert_eq!(
        problems(&error),
        ["SIGNET_CONFIG (environment): /missing.toml cannot be read: entity not found"]
    );
    assert_eq!(error.exit_code(), 78);
    assert_eq!(start().env("SIGNET_THREADS", "many").refused().exit_code(), 64);
    let long = format!("/{}", "x".repeat(100));
    let error = Start::default()
        .machine(|machine| machine.xdg_runtime_dir = Some((&long).into()))
        .refused();
    assert_eq!((error.exit_code(), error.problems[0].setting), (78, Some("socket")));
}

#[test]
fn what_will_do_but_is_likely_not_meant_is_warned_of() {
    let warnings = |start: Start| start.loaded().warnings;
    for (variable, value, warning) in [
        (
            "SIGNET_ISSUER",
            "http://tokens.example.com",
            "SIGNET_ISSUER (environment): is not https",
        ),
        (
            "SIGNET_ADMIN_LISTEN",
            "0.0.0.0:9464",
            "SIGNET_ADMIN_LISTEN (environment): is not a loopback",
        ),
        (
            "SIGNET_LISTEN",
            "0.0.0.0:8080",
            "SIGNET_ISSUER or --issuer (default): is a URL of this machine only",
        ),
    ] {
        let warnings = warnings(Start::default().env(variable, value));
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].starts_with(warning), "{warnings:?}");
    }
    for issuer in ["https://tokens.example.com", "http://127.0.0.1:8080"] {
        assert!(warnings(Start::default().env("SIGNET_ISSUER", issuer)).is_empty());
    }
}

#[test]
fn two_listeners_on_one_port_are_refused() {
    let error = Start::default().flag("--admin-listen=127.0.0.1:8080").refused();
    assert!(error.to_string().contains("public listener already uses"), "{error}");
}

#[test]
fn variables_of_kubernetes_and_of_others_are_left_alone() {
    let start = Start::default()
        .env("SIGNET_PORT", "tcp://10.0.0.1:8080")
        .env("SIGNET_JWKS_SERVICE_HOST", "10.0.0.1")
        .env("signet_issuer", "x")
        .env("MY_SIGNET_ISSUER", "x");
    assert_eq!(start.loaded().issuer, Issuer::new("http://localhost:8080"));
    let error = Start::default().env("SIGNET_PORT", "8080").refused();
    assert_eq!(problems(&error).len(), 1);
}

#[test]
fn a_value_that_is_not_utf8_is_refused() {
    use std::os::unix::ffi::OsStringExt;
    let env = [("SIGNET_KEY".into(), OsString::from_vec(vec![b'a', 0xff]))];
    let matches = Command::new("signet").args(flags()).get_matches_from(["signet"]);
    let error = Settings::load(env, &matches, |_| Ok(String::new()), &machine()).expect_err("not text");
    assert_eq!(problems(&error), ["SIGNET_KEY (environment): is not UTF-8 text"]);
}

#[test]
fn a_switch_needs_no_value() {
    assert!(
        Start::default()
            .flag("--require-locked-memory")
            .loaded()
            .limits
            .require_locked_memory
    );
    let settings = Start::default().flag("--require-locked-memory=false").loaded();
    assert!(!settings.limits.require_locked_memory);
}

#[test]
fn a_verb_without_these_flags_loads_from_the_environment() {
    let matches = Command::new("signet").get_matches_from(["signet"]);
    let env = [("SIGNET_KEY".into(), "other".into())];
    let settings = Settings::load(env, &matches, |_| Ok(String::new()), &machine()).expect("settings");
    assert_eq!(settings.origin.key, "other");
}

#[test]
fn the_effective_settings_show_value_and_source() {
    let settings = Start::default().env("SIGNET_KEY", "other").loaded();
    let table = settings.effective_table();
    let line = table.lines().find(|line| line.starts_with("SIGNET_KEY "));
    let words: Vec<_> = line.expect("a line").split_whitespace().collect();
    assert_eq!(words, ["SIGNET_KEY", "other", "environment"]);
    assert_eq!(table.lines().count(), SETTINGS.len());
    let json = settings.effective_json();
    assert_eq!(json["key"]["source"], "environment");
    assert_eq!(json["threads"]["value"], "4");
    assert_eq!(json["log_format"]["value"], "json");
    assert_eq!(json["audience"]["value"], serde_json::Value::Null);
}
