//! The configuration, and the problems with it.

use std::path::{Path, PathBuf};

use http::Uri;
use serde_json::Value;
use signet_api::{ErrorKind, Operation, ProviderError, Variable, Variables};
use signet_base::Nearness;
use signet_files::Rule;

use crate::NAME;
use crate::name::KeyName;

/// All variables that the provider and its store read.
///
/// `google-cloud-auth` reads a few more itself if a credentials file requires it: AWS's variables for a source in AWS,
/// and `GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES` for an executable. `SSL_CERT_FILE` applies to the whole process.
pub const VARIABLES: &[Variable] = &[
    Variable {
        name: CREDENTIALS,
        help: "credentials file: service account, external account (workload identity federation), user, impersonation",
    },
    Variable {
        name: QUOTA_PROJECT,
        help: "project whose quota is used, if it is not the project of the credentials",
    },
    Variable {
        name: ENDPOINT,
        help: "another address of Cloud KMS, such as a private endpoint; http:// only on the loopback interface",
    },
    Variable {
        name: STORAGE,
        help: "another address of Cloud Storage; the same rules apply",
    },
    Variable {
        name: EMULATOR,
        help: "an emulator of Cloud Storage on the loopback interface, for tests; it gets no credentials",
    },
    Variable {
        name: METADATA,
        help: "host and port of the metadata server, if it is not the usual one",
    },
    Variable {
        name: UNIVERSE,
        help: "domain of the cloud, for sovereign clouds; else googleapis.com",
    },
    Variable {
        name: GCLOUD,
        help: "directory of gcloud's configuration, where `gcloud auth application-default login` leaves credentials",
    },
    Variable {
        name: HOME,
        help: "home directory; gcloud's configuration is in .config/gcloud below it",
    },
];

const CREDENTIALS: &str = "GOOGLE_APPLICATION_CREDENTIALS";
const QUOTA_PROJECT: &str = "GOOGLE_CLOUD_QUOTA_PROJECT";
const ENDPOINT: &str = "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS";
const STORAGE: &str = "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE";
const EMULATOR: &str = "STORAGE_EMULATOR_HOST";
const METADATA: &str = "GCE_METADATA_HOST";
const UNIVERSE: &str = "GOOGLE_CLOUD_UNIVERSE_DOMAIN";
const GCLOUD: &str = "CLOUDSDK_CONFIG";
const HOME: &str = "HOME";

/// The domain of Google's public cloud.
pub(crate) const GOOGLE: &str = "googleapis.com";

/// The configuration of this provider. It contains no secret: credentials are read from their file when they are used.
#[derive(Debug)]
pub struct GcpConfig {
    pub(crate) key: KeyName,
    /// The endpoint of Cloud KMS, if it is not the usual one.
    pub(crate) endpoint: Option<String>,
    pub(crate) login: Login,
}

/// How to obtain credentials.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) source: CredentialSource,
    pub(crate) quota_project: Option<String>,
    pub(crate) universe: String,
}

#[derive(Clone, Debug)]
pub(crate) enum CredentialSource {
    File(PathBuf),
    Metadata { host: Option<String> },
}

impl GcpConfig {
    /// Reads the variables and `SIGNET_KEY`, the resource name of the crypto key.
    ///
    /// # Errors
    /// One `InvalidConfig` with all problems.
    pub fn new(variables: &Variables, key: &str) -> Result<Self, ProviderError> {
        let mut problems = Vec::new();
        let key = note(
            &mut problems,
            KeyName::parse(key).map_err(|text| format!("SIGNET_KEY: {text}")),
        );
        let endpoint = note(&mut problems, endpoint(variables, ENDPOINT));
        let login = note(&mut problems, Login::new(variables));
        match (key, endpoint, login) {
            (Some(key), Some(endpoint), Some(login)) => Ok(Self { key, endpoint, login }),
            _ => Err(invalid(&problems)),
        }
    }
}

fn note<T>(problems: &mut Vec<String>, result: Result<T, String>) -> Option<T> {
    result.map_err(|problem| problems.push(problem)).ok()
}

pub(crate) fn invalid(problems: &[String]) -> ProviderError {
    ProviderError::new(NAME, Operation::Open, ErrorKind::InvalidConfig, problems.join("; "))
}

fn endpoint(variables: &Variables, name: &str) -> Result<Option<String>, String> {
    let Some(url) = variables.get(name) else {
        return Ok(None);
    };
    // The error does not repeat the value, because somebody may have written a password there.
    let wrong = |what: &str| Err(format!("{name} {what}. Write https://HOST/ and nothing after it"));
    let Ok(uri) = url.parse::<Uri>() else {
        return wrong("is not a URL");
    };
    let Some(authority) = uri.authority().filter(|authority| !authority.as_str().contains('@')) else {
        return wrong("must have a host and no user");
    };
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return wrong("has a path or a query");
    }
    match uri.scheme_str() {
        Some("https") => Ok(Some(url.to_owned())),
        Some("http") if Nearness::of_text(authority.host()).is_here() => Ok(Some(url.to_owned())),
        Some("http") => wrong("would send credentials over plain http to another machine"),
        _ => wrong("is neither https nor, for the loopback interface, http"),
    }
}

/// The endpoint of Cloud Storage without a final slash, if it is not the usual one.
pub(crate) fn storage(variables: &Variables) -> Result<Option<String>, String> {
    Ok(endpoint(variables, STORAGE)?.map(|url| url.trim_end_matches('/').to_owned()))
}

/// The base URL of an emulator of Cloud Storage, if one is configured.
pub(crate) fn emulator(variables: &Variables) -> Result<Option<String>, String> {
    let Some(text) = variables.get(EMULATOR) else {
        return Ok(None);
    };
    let with_scheme = match text.contains("://") {
        true => text.to_owned(),
        false => format!("http://{text}"),
    };
    let host = with_scheme
        .parse::<Uri>()
        .ok()
        .and_then(|uri| uri.host().map(str::to_owned));
    match host {
        Some(host) if Nearness::of_text(&host).is_here() => Ok(Some(with_scheme.trim_end_matches('/').to_owned())),
        _ => Err(format!(
            "{EMULATOR} is not on the loopback interface, and only an emulator there may be called without \
             credentials. Unset it, or write http://127.0.0.1:PORT"
        )),
    }
}

impl Login {
    pub(crate) fn new(variables: &Variables) -> Result<Self, String> {
        let universe = variables.get(UNIVERSE);
        let source = match file(variables) {
            Some((path, _)) => CredentialSource::File(path),
            None => CredentialSource::Metadata {
                host: metadata_host(variables)?,
            },
        };
        let mut of_file = None;
        if let Some((path, variable)) = file(variables) {
            let json = read(&path).map_err(|what| format!("{variable}: {what}"))?;
            kind(&json).map_err(|what| format!("{variable}: {} {what}", path.display()))?;
            of_file = json.get("universe_domain").and_then(Value::as_str).map(str::to_owned);
        }
        if let (Some(set), Some(found)) = (universe, &of_file)
            && set != found
        {
            return Err(format!(
                "{UNIVERSE} is {set:?}, but the credentials are for {found:?}; both must be the same"
            ));
        }
        let universe = universe
            .map(str::to_owned)
            .or(of_file)
            .unwrap_or_else(|| GOOGLE.to_owned());
        let is_domain = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
        if !universe.chars().all(is_domain) {
            return Err(format!("{UNIVERSE} is not a domain such as {GOOGLE}"));
        }
        Ok(Self {
            source,
            quota_project: variables.get(QUOTA_PROJECT).map(str::to_owned),
            universe,
        })
    }
}

fn metadata_host(variables: &Variables) -> Result<Option<String>, String> {
    let Some(host) = variables.get(METADATA) else {
        return Ok(None);
    };
    match host.parse::<http::uri::Authority>() {
        Ok(authority) if !host.contains('@') => Ok(Some(authority.to_string())),
        _ => Err(format!(
            "{METADATA} is not a host, with a port or without. Write HOST or HOST:PORT, or unset it"
        )),
    }
}

/// The credentials file and where it comes from: the variable, or gcloud's default place if the file exists there.
fn file(variables: &Variables) -> Option<(PathBuf, &'static str)> {
    if let Some(path) = variables.get(CREDENTIALS) {
        return Some((PathBuf::from(path), CREDENTIALS));
    }
    let directory = match (variables.get(GCLOUD), variables.get(HOME)) {
        (Some(directory), _) => PathBuf::from(directory),
        (None, Some(home)) => PathBuf::from(home).join(".config/gcloud"),
        (None, None) => return None,
    };
    let path = directory.join("application_default_credentials.json");
    path.exists().then_some((path, "the default credentials"))
}

/// Reads a credentials file as JSON. An error does not repeat its content.
pub(crate) fn read(path: &Path) -> Result<Value, String> {
    let text = Rule::Secret
        .read(path)
        .map_err(|error| format!("the credentials file cannot be used: {error}"))?;
    let json: Value = serde_json::from_slice(&text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        format!(
            "the credentials file {} is not JSON (line {line}, column {column})",
            path.display()
        )
    })?;
    // Google's library reads these itself, and would wait for ever if one were a pipe.
    for named in ["/credential_source/file", "/credential_source/executable/output_file"] {
        if let Some(path) = json.pointer(named).and_then(Value::as_str) {
            Rule::Secret
                .look(Path::new(path))
                .map_err(|error| format!("credential_source of the credentials file is refused: {error}"))?;
        }
    }
    Ok(json)
}

/// The type of the credentials.
pub(crate) fn kind(json: &Value) -> Result<Kind, String> {
    match json.get("type").and_then(Value::as_str) {
        Some("service_account") => Ok(Kind::ServiceAccount),
        Some("external_account") => Ok(Kind::ExternalAccount),
        Some("authorized_user") => Ok(Kind::User),
        Some("impersonated_service_account") => Ok(Kind::Impersonation),
        Some(other) => Err(format!(
            "has credentials of type {other:?}, but only service_account, external_account, authorized_user and \
             impersonated_service_account are supported"
        )),
        None => Err("has no \"type\"; use the file that `gcloud iam` or the console wrote".to_owned()),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    ServiceAccount,
    ExternalAccount,
    User,
    Impersonation,
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "projects/p/locations/global/keyRings/r/cryptoKeys/k";

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn nothing_but_the_key_is_needed_on_a_machine_of_google() {
        let config = GcpConfig::new(&variables(&[]), KEY).expect("valid");
        assert!(matches!(config.login.source, CredentialSource::Metadata { host: None }));
        assert_eq!((config.endpoint, config.login.universe.as_str()), (None, GOOGLE));
    }

    #[test]
    fn all_problems_are_said_at_once_each_with_its_setting_and_no_secret() {
        let error = GcpConfig::new(
            &variables(&[
                (ENDPOINT, "http://user:hush@kms.example.com/"),
                (CREDENTIALS, "/nowhere/key.json"),
            ]),
            "signet",
        )
        .expect_err("refused");
        assert_eq!(error.kind, ErrorKind::InvalidConfig);
        let text = error.source.to_string();
        for part in [
            "SIGNET_KEY",
            ENDPOINT,
            CREDENTIALS,
            "/nowhere/key.json",
            "projects/PROJECT",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("hush"), "{text}");
    }

    #[test]
    fn plain_http_is_for_the_loopback_interface_alone() {
        for (url, good) in [
            ("https://kms.example.com/", true),
            ("http://127.0.0.1:8085", true),
            ("http://[::1]:8085/", true),
            ("http://localhost:1", true),
            ("http://kms.example.com/", false),
            ("http://127.0.0.1.example.com/", false),
            ("https://kms.example.com/v1", false),
            ("kms.example.com", false),
        ] {
            assert_eq!(
                endpoint(&variables(&[(ENDPOINT, url)]), ENDPOINT).is_ok(),
                good,
                "{url}"
            );
        }
        for (host, good) in [
            ("127.0.0.1:4443", true),
            ("http://localhost:1/", true),
            ("storage.example.com", false),
        ] {
            assert_eq!(emulator(&variables(&[(EMULATOR, host)])).is_ok(), good, "{host}");
        }
    }

    #[test]
    fn a_credentials_file_is_looked_at_when_opening_and_never_shown() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("key.json");
        for (content, says) in [
            ("hush", "is not JSON"),
            ("{\"hush\":1}", "no \"type\""),
            (
                "{\"type\":\"gdch_service_account\",\"key\":\"hush\"}",
                "but only service_account",
            ),
        ] {
            std::fs::write(&path, content).expect("written");
            let set = variables(&[(CREDENTIALS, path.to_str().expect("text"))]);
            let error = GcpConfig::new(&set, KEY).expect_err(content);
            let text = format!("{error:?} {}", error.source);
            assert!(text.contains(says) && !text.contains("hush"), "{text}");
        }
    }

    #[test]
    fn gclouds_own_credentials_are_found_and_a_foreign_universe_is_refused() {
        let home = tempfile::tempdir().expect("a directory");
        let directory = home.path().join(".config/gcloud");
        std::fs::create_dir_all(&directory).expect("made");
        let path = directory.join("application_default_credentials.json");
        std::fs::write(&path, r#"{"type":"authorized_user","universe_domain":"s3nsapis.fr"}"#).expect("written");
        let home = home.path().to_str().expect("text");
        let config = GcpConfig::new(&variables(&[(HOME, home)]), KEY).expect("valid");
        assert!(matches!(&config.login.source, CredentialSource::File(found) if *found == path));
        assert_eq!(config.login.universe, "s3nsapis.fr");
        let error = GcpConfig::new(&variables(&[(HOME, home), (UNIVERSE, GOOGLE)]), KEY).expect_err("refused");
        assert!(error.source.to_string().contains("must be the same"));
    }
}
