//! Google's credentials, with deadlines and recovery.
//!
//! `google-cloud-auth` fetches tokens before they expire, in a task of its own. Two of its properties do not suit a
//! process that must run for months: its requests have no deadline, and after an error that it considers permanent, it
//! never tries again. Such an error can be a token file that was missing for a moment, or a login that was refused
//! while its policy was being corrected. Therefore each use has a deadline here, and failed credentials are created
//! again, at a rate that no server minds.
//!
//! Credentials are made on first use, because opening a provider makes no call.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use google_cloud_auth::credentials::{
    AccessTokenCredentials, CacheableResource, Credentials, CredentialsProvider, external_account, impersonated, mds,
    service_account, user_account,
};
use google_cloud_auth::errors::CredentialsError;
use http::{Extensions, HeaderMap};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::config::{CredentialSource, Kind, Login, kind, read};

/// The scope of the tokens. IAM decides what they allow.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// How long to wait for a token. In most cases there is one already.
const PATIENCE: Duration = Duration::from_secs(4);
/// The minimum time between two refused logins.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_secs(2);
/// The minimum time between two logins that hang. Each such login leaves a connection that only the server closes.
const PAUSE_AFTER_SILENCE: Duration = Duration::from_secs(60);

/// Credentials in the form that the client libraries need.
#[derive(Clone)]
pub(crate) struct Adc(Arc<Inner>);

struct Inner {
    login: Login,
    /// The runtime that fetches tokens before they expire: the one on which the provider was opened. The runtime of the
    /// first use may belong to a connection and end with it.
    runtime: Handle,
    current: Mutex<Option<(AccessTokenCredentials, Instant)>>,
}

type Answer<T> = Result<T, CredentialsError>;

impl Adc {
    /// Makes credentials. Call it on a runtime that lives as long as the process.
    pub(crate) fn new(login: Login) -> Self {
        Self(Arc::new(Inner {
            login,
            runtime: Handle::current(),
            current: Mutex::new(None),
        }))
    }

    pub(crate) fn credentials(&self) -> Credentials {
        Credentials::from(self.clone())
    }

    pub(crate) fn universe(&self) -> &str {
        &self.0.login.universe
    }

    /// A token for clients that are not Google's.
    pub(crate) async fn token(&self) -> Answer<String> {
        let credentials = self.current()?;
        self.within(async { credentials.access_token().await.map(|token| token.token) })
            .await
    }

    /// Records that a service refused a token that should have been good. The next use logs in again.
    pub(crate) fn on_refused(&self) {
        self.forget(PAUSE_AFTER_REFUSAL);
    }

    async fn within<T>(&self, use_of_it: impl Future<Output = Answer<T>>) -> Answer<T> {
        match tokio::time::timeout(PATIENCE, use_of_it).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                self.on_refused();
                Err(error)
            }
            Err(_) => {
                self.forget(PAUSE_AFTER_SILENCE);
                let text = format!("no token within {} s from {}", PATIENCE.as_secs(), self.0.login.source);
                Err(CredentialsError::from_msg(true, text))
            }
        }
    }

    fn current(&self) -> Answer<AccessTokenCredentials> {
        let mut current = self.0.current.lock();
        if let Some((credentials, _)) = &*current {
            return Ok(credentials.clone());
        }
        let guard = self.0.runtime.enter();
        let made = self.0.login.build()?;
        drop(guard);
        *current = Some((made.clone(), Instant::now()));
        Ok(made)
    }

    /// Makes the next use log in again, unless the credentials are new.
    fn forget(&self, pause: Duration) {
        let mut current = self.0.current.lock();
        if current.as_ref().is_some_and(|(_, made)| made.elapsed() >= pause) {
            *current = None;
        }
    }
}

impl CredentialsProvider for Adc {
    async fn headers(&self, extensions: Extensions) -> Answer<CacheableResource<HeaderMap>> {
        let credentials = self.current()?;
        self.within(credentials.headers(extensions)).await
    }

    // Google's own implementation would ask the metadata server when a client is made.
    async fn universe_domain(&self) -> Option<String> {
        Some(self.0.login.universe.clone())
    }
}

impl fmt::Debug for Adc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Adc({})", self.0.login.source)
    }
}

impl fmt::Display for CredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the login as {}", path.display()),
            Self::Metadata { host: Some(host) } => write!(f, "the metadata server {host}"),
            Self::Metadata { host: None } => f.write_str("the metadata server"),
        }
    }
}

impl Login {
    fn build(&self) -> Answer<AccessTokenCredentials> {
        /// The five builders have the same methods and no common trait.
        macro_rules! finish {
            ($builder:expr) => {{
                let builder = $builder.with_universe_domain(self.universe.as_str());
                match &self.quota_project {
                    Some(project) => builder
                        .with_quota_project_id(project)
                        .build_access_token_credentials(),
                    None => builder.build_access_token_credentials(),
                }
            }};
        }
        let path = match &self.source {
            CredentialSource::Metadata { host } => {
                let mut builder = mds::Builder::default().with_scopes([SCOPE]);
                if let Some(host) = host {
                    builder = builder.with_endpoint(format!("http://{host}"));
                }
                return finish!(builder).map_err(|error| CredentialsError::from_source(false, error));
            }
            CredentialSource::File(path) => path,
        };
        // Read the file each time, because a key file may have been replaced.
        let refused = |what: String| CredentialsError::from_msg(false, what);
        let json = read(path).map_err(refused)?;
        let built = match kind(&json).map_err(refused)? {
            Kind::ServiceAccount => finish!(
                service_account::Builder::new(json)
                    .with_access_specifier(service_account::AccessSpecifier::from_scopes([SCOPE]))
            ),
            Kind::ExternalAccount => finish!(external_account::Builder::new(json).with_scopes([SCOPE])),
            Kind::Impersonation => finish!(impersonated::Builder::new(json).with_scopes([SCOPE])),
            Kind::User => {
                let builder = user_account::Builder::new(json);
                match &self.quota_project {
                    Some(project) => builder.with_quota_project_id(project).build_access_token_credentials(),
                    None => builder.build_access_token_credentials(),
                }
            }
        };
        built.map_err(|error| {
            // The error's causes may quote the file.
            let what = if error.is_missing_field() || error.is_parsing() {
                "lacks a field that its type needs, or a field is not valid"
            } else {
                "was refused by Google's library"
            };
            refused(format!("the credentials file {} {what}", path.display()))
        })
    }
}
