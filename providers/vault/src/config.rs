//! The configuration. Variables have the names of Vault's own tools where these exist.

mod refused;
mod tls;

use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Certificate, Identity, Url};
use signet_api::{ErrorKind, Failure, Operation, ProviderError, Variable, Variables};
use signet_base::Nearness;
use zeroize::Zeroizing;

use self::refused::REFUSED;
use crate::NAME;
use crate::names::{key_problem, path_problem};

/// All variables that this provider reads.
pub const VARIABLES: &[Variable] = &[
    variable(
        "VAULT_ADDR",
        "address of Vault or OpenBao, such as https://vault.example:8200",
    ),
    variable("VAULT_NAMESPACE", "namespace that mounts and logins are in"),
    variable(
        "VAULT_CACERT",
        "PEM file of the authority that signed the server's certificate; it replaces the system's",
    ),
    variable(
        "VAULT_CACERT_BYTES",
        "the certificate itself as PEM text, instead of VAULT_CACERT",
    ),
    variable(
        "VAULT_CLIENT_CERT",
        "PEM file of the client certificate, for a server that requires one; with VAULT_CLIENT_KEY",
    ),
    variable("VAULT_CLIENT_KEY", "PEM file of the private key of that certificate"),
    variable(
        "VAULT_TLS_SERVER_NAME",
        "name that the server's certificate must have, if it is not the one in VAULT_ADDR",
    ),
    variable(
        "VAULT_CLIENT_TIMEOUT",
        "longest time for one request, such as 5s (the default)",
    ),
    variable("VAULT_TOKEN", "token to use; Signet renews it as long as Vault allows"),
    variable(
        "VAULT_TOKEN_FILE",
        "file with a token, such as Vault Agent's sink; it is read again when it changes",
    ),
    variable("VAULT_ROLE_ID", "role id of an AppRole login"),
    variable("VAULT_SECRET_ID", "secret id of an AppRole login"),
    variable(
        "VAULT_SECRET_ID_FILE",
        "file with the secret id; it is read at each login",
    ),
    variable("VAULT_K8S_ROLE", "role of a Kubernetes login"),
    variable(
        "VAULT_K8S_TOKEN_FILE",
        "service account token of a Kubernetes login; default is the one that every pod has",
    ),
    variable(
        "VAULT_AUTH_MOUNT",
        "where the login method is mounted; default approle or kubernetes",
    ),
    variable("VAULT_TRANSIT_MOUNT", "where transit is mounted; default transit"),
    variable(
        "VAULT_KV_MOUNT",
        "where KV version 2 is mounted, for the record of remote custody; default secret",
    ),
    REFUSED[0].0,
    REFUSED[1].0,
    REFUSED[2].0,
    REFUSED[3].0,
    REFUSED[4].0,
    REFUSED[5].0,
    REFUSED[6].0,
    REFUSED[7].0,
    REFUSED[8].0,
];

/// The time limit for a request if `VAULT_CLIENT_TIMEOUT` is not set.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
const K8S_TOKEN_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

const fn variable(name: &'static str, help: &'static str) -> Variable {
    Variable { name, help }
}

/// How to reach Vault, and what to use there.
#[derive(Debug)]
pub struct VaultConfig {
    pub(crate) connection: Connection,
    pub(crate) transit_mount: String,
    pub(crate) kv_mount: String,
    /// The value of `SIGNET_KEY`: the ring of remote custody, or the transit key of sealed custody.
    pub(crate) key: String,
}

/// How to reach Vault, and with which identity.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The URL of the server, without path, query or credentials.
    pub(crate) address: Url,
    pub(crate) namespace: Option<String>,
    /// The only authorities to trust. Those of the system if empty.
    pub(crate) authorities: Vec<Certificate>,
    /// The client certificate, for a server that requires one.
    pub(crate) identity: Option<Identity>,
    pub(crate) server_name: Option<String>,
    pub(crate) timeout: Duration,
    pub(crate) login: Login,
}

/// Where the token comes from.
pub(crate) enum Login {
    Token(Zeroizing<String>),
    TokenFile(PathBuf),
    AppRole {
        mount: String,
        role_id: String,
        secret_id: SecretId,
    },
    Kubernetes {
        mount: String,
        role: String,
        token_file: PathBuf,
    },
}

pub(crate) enum SecretId {
    /// The role has `bind_secret_id=false`.
    None,
    Value(Zeroizing<String>),
    File(PathBuf),
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Token(_) => f.write_str("Token"),
            Self::TokenFile(path) => write!(f, "TokenFile({})", path.display()),
            Self::AppRole { mount, .. } => write!(f, "AppRole(auth/{mount})"),
            Self::Kubernetes { mount, role, .. } => write!(f, "Kubernetes(auth/{mount}, {role})"),
        }
    }
}

impl VaultConfig {
    /// Reads the variables. `key` is `SIGNET_KEY`.
    ///
    /// # Errors
    /// `InvalidConfig` with all problems: the variable, what is wrong, and what to write.
    pub fn new(variables: &Variables, key: &str) -> Result<Self, ProviderError> {
        let mut reader = Reader::new(variables);
        if let Some(problem) = key_problem(key) {
            reader.problem(format!("SIGNET_KEY is {key:?}, but {problem}"));
        }
        let transit_mount = reader.mount("VAULT_TRANSIT_MOUNT", "transit");
        let kv_mount = reader.mount("VAULT_KV_MOUNT", "secret");
        let connection = reader.connection();
        match connection {
            Some(connection) if reader.problems.is_empty() => Ok(Self {
                connection,
                transit_mount,
                kv_mount,
                key: key.to_owned(),
            }),
            _ => Err(reader.into_error()),
        }
    }
}

/// Reads the variables and collects the problems.
pub(crate) struct Reader<'a> {
    variables: &'a Variables,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(variables: &'a Variables) -> Self {
        Self {
            variables,
            problems: Vec::new(),
        }
    }

    pub(crate) fn problem(&mut self, text: impl Into<String>) {
        self.problems.push(text.into());
    }

    pub(crate) fn has_problems(&self) -> bool {
        !self.problems.is_empty()
    }

    pub(crate) fn into_error(self) -> ProviderError {
        Failure::new(ErrorKind::InvalidConfig, self.problems.join("; ")).at(NAME, Operation::Open)
    }

    fn mount(&mut self, name: &str, default: &str) -> String {
        let mount = self.variables.get(name).unwrap_or(default).to_owned();
        if let Some(problem) = path_problem(&mount) {
            self.problem(format!("{name} is {mount:?}, but a mount {problem}"));
        }
        mount
    }

    /// How to reach Vault. `None` only if a problem was recorded.
    pub(crate) fn connection(&mut self) -> Option<Connection> {
        self.refuse();
        let address = self.address();
        let login = self.login();
        let authorities = self.authorities();
        let identity = self.identity();
        let timeout = self.timeout();
        let namespace = self
            .variables
            .get("VAULT_NAMESPACE")
            .map(|name| name.trim_matches('/').to_owned());
        if let Some(problem) = namespace.as_deref().and_then(path_problem) {
            self.problem(format!("VAULT_NAMESPACE {problem}"));
        }
        Some(Connection {
            address: address?,
            namespace,
            authorities,
            identity,
            server_name: self.variables.get("VAULT_TLS_SERVER_NAME").map(str::to_owned),
            timeout,
            login: login?,
        })
    }

    fn address(&mut self) -> Option<Url> {
        let Some(text) = self.variables.get("VAULT_ADDR") else {
            self.problem("VAULT_ADDR is not set; write the address of the server, such as https://vault.example:8200");
            return None;
        };
        let Ok(url) = Url::parse(text) else {
            self.problem("VAULT_ADDR is not a URL; write for example https://vault.example:8200");
            return None;
        };
        let is_bare = url.has_host()
            && matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if !is_bare {
            // The value is not quoted, because it may contain a password.
            self.problem("VAULT_ADDR must have only a scheme, a host and a port, such as https://vault.example:8200");
            return None;
        }
        match url.scheme() {
            "https" => Some(url),
            "http" if is_loopback(&url) => Some(url),
            "http" => {
                self.problem(
                    "VAULT_ADDR begins with http://, which would send the token in clear text; write https://. Only a \
                     server or agent on this machine (127.0.0.1, ::1, localhost) may be reached by http",
                );
                None
            }
            other => {
                self.problem(format!("VAULT_ADDR begins with {other}://; write https://"));
                None
            }
        }
    }

    fn login(&mut self) -> Option<Login> {
        let get = |name| self.variables.get(name).map(str::trim);
        let (token, token_file) = (get("VAULT_TOKEN"), get("VAULT_TOKEN_FILE"));
        let (role_id, k8s_role) = (get("VAULT_ROLE_ID"), get("VAULT_K8S_ROLE"));
        let (secret_id, secret_id_file) = (get("VAULT_SECRET_ID"), get("VAULT_SECRET_ID_FILE"));
        let (auth_mount, k8s_token_file) = (get("VAULT_AUTH_MOUNT"), get("VAULT_K8S_TOKEN_FILE"));
        let methods: Vec<&str> = [
            ("VAULT_TOKEN", token),
            ("VAULT_TOKEN_FILE", token_file),
            ("VAULT_ROLE_ID", role_id),
            ("VAULT_K8S_ROLE", k8s_role),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.map(|_| name))
        .collect();
        if methods.len() != 1 {
            let found = match methods.as_slice() {
                [] => "none of them is set".to_owned(),
                several => format!("set are {}", several.join(" and ")),
            };
            self.problem(format!(
                "exactly one login must be configured, and {found}: VAULT_TOKEN, VAULT_TOKEN_FILE, VAULT_ROLE_ID (AppRole) or \
                 VAULT_K8S_ROLE (Kubernetes)"
            ));
            return None;
        }
        for (name, value, needs) in [
            ("VAULT_SECRET_ID", secret_id, role_id),
            ("VAULT_SECRET_ID_FILE", secret_id_file, role_id),
            ("VAULT_K8S_TOKEN_FILE", k8s_token_file, k8s_role),
            ("VAULT_AUTH_MOUNT", auth_mount, role_id.or(k8s_role)),
        ] {
            if value.is_some() && needs.is_none() {
                self.problem(format!(
                    "{name} is set, but {} does not use it; remove one of them",
                    methods[0]
                ));
            }
        }
        if secret_id.is_some() && secret_id_file.is_some() {
            self.problem("VAULT_SECRET_ID and VAULT_SECRET_ID_FILE are both set: remove one of them");
        }
        if let Some(token) = token {
            if !is_header(token) {
                self.problem(
                    "VAULT_TOKEN has characters that are not valid in a token; write the whole token and nothing else",
                );
            }
            return Some(Login::Token(Zeroizing::new(token.to_owned())));
        }
        if let Some(file) = token_file {
            return Some(Login::TokenFile(file.into()));
        }
        let mount = self.mount(
            "VAULT_AUTH_MOUNT",
            if role_id.is_some() { "approle" } else { "kubernetes" },
        );
        Some(match (role_id, k8s_role) {
            (Some(role_id), _) => Login::AppRole {
                mount,
                role_id: role_id.to_owned(),
                secret_id: match (secret_id, secret_id_file) {
                    (Some(value), _) => SecretId::Value(Zeroizing::new(value.to_owned())),
                    (None, Some(file)) => SecretId::File(file.into()),
                    (None, None) => SecretId::None,
                },
            },
            (None, role) => Login::Kubernetes {
                mount,
                role: role?.to_owned(),
                token_file: k8s_token_file.unwrap_or(K8S_TOKEN_FILE).into(),
            },
        })
    }

    fn timeout(&mut self) -> Duration {
        let Some(text) = self.variables.get("VAULT_CLIENT_TIMEOUT") else {
            return DEFAULT_TIMEOUT;
        };
        // Vault's own tools take a plain number as seconds.
        let parsed = match text.parse::<u64>() {
            Ok(seconds) => Some(Duration::from_secs(seconds)),
            Err(_) => humantime::parse_duration(text).ok(),
        };
        match parsed {
            Some(timeout) if (Duration::from_millis(100)..=Duration::from_secs(60)).contains(&timeout) => timeout,
            _ => {
                self.problem(format!(
                    "VAULT_CLIENT_TIMEOUT is {text:?}; write 100ms to 60s, such as 5s"
                ));
                DEFAULT_TIMEOUT
            }
        }
    }
}

pub(crate) fn is_loopback(url: &Url) -> bool {
    url.host().is_some_and(|host| Nearness::of(&host).is_here())
}

/// Reads a boolean like Vault's own tools: everything is true except these words.
fn is_true(text: &str) -> bool {
    !matches!(text.to_ascii_lowercase().as_str(), "0" | "f" | "false")
}

pub(crate) fn is_header(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_graphic())
}

#[cfg(test)]
mod tests;
