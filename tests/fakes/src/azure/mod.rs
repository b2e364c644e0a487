//! Azure Key Vault's keys, the Entra token endpoint and a managed identity, as one server.
//!
//! It follows the REST reference (<https://learn.microsoft.com/rest/api/keyvault/keys>, api-version 2025-07-01): the
//! challenge before the first token, audiences, `api-version`, limits, pages, whole seconds, the error bodies with their
//! inner codes, and what a disabled key still does (be listed, be changed) and no longer does (everything else).
//! Keys, signatures and RSA-OAEP are real. Permissions are the data actions of Azure's roles, for each caller.
//!
//! The server does not have what no call of ours needs: import, backup, release, rotation policies, certificates,
//! secrets.

#![allow(
    clippy::result_large_err,
    reason = "a refusal is an answer, and a test server may copy it"
)]

mod answers;
mod identity;
mod keys;
mod vault;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use http::Method;
use parking_lot::{Mutex, MutexGuard};
use serde_json::json;

use crate::authority::Authority;
use crate::server::{Request, Response, Server, Service};
use crate::started::Started;

pub use answers::{forbidden, throttled};

/// The tenant of the server.
pub const TENANT: &str = "11111111-2222-3333-4444-555555555555";
/// An application with a secret and a federated identity. It has all permissions until they are limited.
pub const CLIENT: &str = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee";
/// The secret of the application.
pub const SECRET: &str = "s3cret~of-the.application";
/// The content of the application's federated token file.
pub const ASSERTION: &str = "header.federated-assertion.signature";
/// The secret that callers of the managed identity must send (`IDENTITY_HEADER`).
pub const IDENTITY_HEADER: &str = "a1b2c3-identity-header";

/// How the server differs from an ideal vault.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The lifetime of tokens in seconds. Azure's is about an hour; SDKs renew tokens five minutes before the end.
    pub token_life: i64,
    /// The maximum number of results on a page. The vendor's is 25.
    pub page: usize,
    /// How many readings do not show a new version.
    pub hidden_for: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            token_life: 3600,
            page: 25,
            hidden_for: 0,
        }
    }
}

/// The service. Several servers may share one.
pub struct Azure {
    settings: Settings,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    keys: BTreeMap<String, Vec<keys::Version>>,
    deleted: BTreeMap<String, Vec<keys::Version>>,
    tokens: BTreeMap<String, identity::Token>,
    /// The actions of each caller. A caller that is not listed has all permissions.
    allowed: BTreeMap<String, BTreeSet<String>>,
    shift: i64,
    issued: u64,
}

/// A service with the default settings.
#[must_use]
pub fn service() -> Arc<Azure> {
    Azure::new(Settings::default())
}

impl Azure {
    /// A service without keys.
    #[must_use]
    pub fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            settings,
            state: Mutex::default(),
        })
    }

    /// From now on, the caller may perform only these data actions (`Microsoft.KeyVault/vaults/keys/sign/action`).
    pub fn allow_only<'a>(&self, caller: &str, actions: impl IntoIterator<Item = &'a str>) {
        let actions = actions.into_iter().map(str::to_owned).collect();
        self.state().allowed.insert(caller.to_owned(), actions);
    }

    /// Refuses all tokens that were issued so far, whatever their expiry.
    pub fn forget_tokens(&self) {
        self.state().tokens.clear();
    }

    /// Moves the server's clock, in seconds.
    pub fn shift_clock(&self, seconds: i64) {
        self.state().shift += seconds;
    }

    /// Creates a key as others do: in the portal, or through Azure's own rotation policy.
    pub fn create_elsewhere(&self, name: &str, kty: &str, crv_or_bits: &str) {
        let now = self.now();
        let version = keys::Version::generate(kty, crv_or_bits, now).expect("a key");
        self.state().keys.entry(name.to_owned()).or_default().push(version);
    }

    /// Enables or disables all versions of a key, as somebody does in the portal.
    pub fn set_enabled(&self, name: &str, enabled: bool) {
        for version in self.state().keys.get_mut(name).into_iter().flatten() {
            version.enabled = enabled;
        }
    }

    /// Replaces the tags of all versions of a key, as somebody does in the portal.
    pub fn set_tags(&self, name: &str, tags: &[(&str, &str)]) {
        for version in self.state().keys.get_mut(name).into_iter().flatten() {
            version.tags = tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        }
    }

    /// Replaces the tags of a key's oldest version.
    pub fn set_first_tags(&self, name: &str, tags: &[(&str, &str)]) {
        let mut state = self.state();
        if let Some(version) = state.keys.get_mut(name).and_then(|versions| versions.first_mut()) {
            version.tags = tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        }
    }

    /// The tags of a key's latest version.
    #[must_use]
    pub fn tags(&self, name: &str) -> BTreeMap<String, String> {
        let state = self.state();
        let latest = state.keys.get(name).and_then(|versions| versions.last());
        latest.map(|version| version.tags.clone()).unwrap_or_default()
    }

    /// The name of a key's oldest version.
    #[must_use]
    pub fn first_version(&self, name: &str) -> Option<String> {
        let state = self.state();
        Some(state.keys.get(name)?.first()?.id.clone())
    }

    /// The number of versions of a key, including destroyed and hidden ones.
    #[must_use]
    pub fn versions(&self, name: &str) -> usize {
        self.state().keys.get(name).map_or(0, Vec::len)
    }

    /// The variables for a process that uses a server of this service, with the secret's identity.
    #[must_use]
    pub fn variables(base: &str, ca_file: &str) -> Vec<(String, String)> {
        [
            ("AZURE_TENANT_ID", TENANT),
            ("AZURE_CLIENT_ID", CLIENT),
            ("AZURE_CLIENT_SECRET", SECRET),
            ("AZURE_AUTHORITY_HOST", base),
            ("SSL_CERT_FILE", ca_file),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    fn now(&self) -> i64 {
        #[expect(clippy::disallowed_methods, reason = "a server has a clock of its own")]
        let now = std::time::SystemTime::now();
        let seconds = now.duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        i64::try_from(seconds).expect("a time") + self.state().shift
    }
}

/// A vault for clients in other processes, over https, with an RSA key for sealing.
#[must_use]
pub fn start(authority: &Authority) -> Started {
    let azure = service();
    azure.create_elsewhere("sealing", "RSA", "2048");
    let server = Server::start(azure, Some(authority)).unwrap();
    let told = json!({
        "vault": server.url(),
        "authority_host": server.url(),
        "key": format!("{}/keys/ring", server.url()),
        "sealing_key": format!("{}/keys/sealing", server.url()),
        "tenant": TENANT,
        "client_id": CLIENT,
        "client_secret": SECRET,
        "assertion": ASSERTION,
    });
    let servers = vec![server];
    Started { servers, told }
}

/// The call that a request makes.
enum Route<'a> {
    Token,
    OpenId,
    ManagedIdentity,
    Vault(vault::Call<'a>),
    Nothing,
}

fn route(request: &Request) -> Route<'_> {
    let parts: Vec<&str> = request.path.trim_start_matches('/').split('/').collect();
    let call = match (&request.method, parts.as_slice()) {
        (&Method::POST, [_, "oauth2", "v2.0", "token"]) => return Route::Token,
        (&Method::GET, [_, "v2.0", ".well-known", "openid-configuration"]) => return Route::OpenId,
        (&Method::GET, ["msi", "token"]) => return Route::ManagedIdentity,
        (&Method::GET, ["keys"]) => vault::Call::new("GetKeys", "read", "", ""),
        (&Method::POST, ["keys", name, "create"]) => vault::Call::new("CreateKey", "create/action", name, ""),
        (&Method::GET, ["keys", name, "versions"]) => vault::Call::new("GetKeyVersions", "read", name, ""),
        (&Method::GET, ["keys", name]) => vault::Call::new("GetKey", "read", name, ""),
        (&Method::GET, ["keys", name, version]) => vault::Call::new("GetKey", "read", name, version),
        (&Method::PATCH, ["keys", name]) => vault::Call::new("UpdateKey", "update/action", name, ""),
        (&Method::PATCH, ["keys", name, version]) => vault::Call::new("UpdateKey", "update/action", name, version),
        (&Method::DELETE, ["keys", name]) => vault::Call::new("DeleteKey", "delete", name, ""),
        (&Method::GET, ["deletedkeys", name]) => vault::Call::new("GetDeletedKey", "read", name, ""),
        (&Method::DELETE, ["deletedkeys", name]) => vault::Call::new("PurgeDeletedKey", "purge/action", name, ""),
        (&Method::POST, ["deletedkeys", name, "recover"]) => {
            vault::Call::new("RecoverDeletedKey", "recover/action", name, "")
        }
        (&Method::POST, ["keys", name, version, operation]) => match *operation {
            "sign" => vault::Call::new("Sign", "sign/action", name, version),
            "verify" => vault::Call::new("Verify", "verify/action", name, version),
            "wrapkey" => vault::Call::new("WrapKey", "wrap/action", name, version),
            "unwrapkey" => vault::Call::new("UnwrapKey", "unwrap/action", name, version),
            "encrypt" => vault::Call::new("Encrypt", "encrypt/action", name, version),
            "decrypt" => vault::Call::new("Decrypt", "decrypt/action", name, version),
            _ => return Route::Nothing,
        },
        _ => return Route::Nothing,
    };
    Route::Vault(call)
}

impl Service for Azure {
    /// The vendor's name of the operation; `Challenge` for a call of the vault without a token.
    fn operation(&self, request: &Request) -> String {
        match route(request) {
            Route::Token => "Token",
            Route::OpenId => "OpenIdConfiguration",
            Route::ManagedIdentity => "ManagedIdentity",
            Route::Vault(_) if request.header("authorization").is_none() => "Challenge",
            Route::Vault(call) => call.operation,
            Route::Nothing => "Nothing",
        }
        .to_owned()
    }

    fn answer(&self, request: &Request) -> Response {
        match route(request) {
            Route::Token => self.token(request),
            Route::OpenId => identity::openid(request),
            Route::ManagedIdentity => self.managed_identity(request),
            Route::Vault(call) => self.vault(request, &call),
            Route::Nothing => answers::not_found("Resource not found"),
        }
    }
}

/// The base URL of the server, as its client addressed it.
fn base(request: &Request) -> String {
    format!("https://{}", request.header("host").unwrap_or("localhost"))
}
