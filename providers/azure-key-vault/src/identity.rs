//! The SDK's credentials for the [`CredentialSource`] that the variables name, with a deadline and a memory of
//! failures.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::{AccessToken, Secret, TokenCredential, TokenRequestOptions};
use azure_core::http::{ClientOptions, Url};
use azure_identity::{
    ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions, ManagedIdentityCredential,
    ManagedIdentityCredentialOptions, UserAssignedId, WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use parking_lot::{Mutex, MutexGuard};
use signet_api::{ErrorKind, Operation, ProviderError};

use crate::NAME;
use crate::config::is_loopback;
use crate::credential_source::CredentialSource;
use crate::error::{credential_error, no_token, token_timed_out};
use crate::http::{Trust, client_options};

/// The deadline for one request of a token.
const REQUEST: Duration = Duration::from_secs(5);
/// The deadline for a token. It includes the retries that the machine's metadata service needs while a pod starts.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes the SDK's credential. It makes no call yet, but reads the file of the federated token.
fn open(source: &CredentialSource, trust: &Trust) -> Result<Arc<dyn TokenCredential>, ProviderError> {
    let options = |authority: &Option<String>| -> Result<ClientOptions, ProviderError> {
        let host = authority.as_deref().and_then(|host| Url::parse(host).ok());
        let direct = host.is_some_and(|host| is_loopback(&host));
        let mut options = client_options(trust, REQUEST, direct)?;
        // Without this, the SDK would read the environment itself.
        let mut cloud = CustomConfiguration::default();
        cloud.authority_host = match authority {
            Some(host) => host.clone(),
            None => "https://login.microsoftonline.com".to_owned(),
        };
        options.cloud = Some(Arc::new(CloudConfiguration::Custom(cloud)));
        Ok(options)
    };
    let failed = |error: azure_core::Error| {
        let text = format!("the credentials of {} cannot be used: {error}", source.describe());
        ProviderError::new(NAME, Operation::Open, ErrorKind::InvalidConfig, text)
    };
    Ok(match source {
        CredentialSource::Workload {
            tenant,
            client,
            file,
            authority,
        } => WorkloadIdentityCredential::new(Some(WorkloadIdentityCredentialOptions {
            credential_options: ClientAssertionCredentialOptions {
                client_options: options(authority)?,
            },
            tenant_id: Some(tenant.clone()),
            client_id: Some(client.clone()),
            token_file_path: Some(file.clone()),
        }))
        .map_err(failed)?,
        CredentialSource::Managed { client } => {
            ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
                user_assigned_id: client.clone().map(UserAssignedId::ClientId),
                // The metadata service is on this machine or its link, never behind a proxy.
                client_options: client_options(trust, REQUEST, true)?,
            }))
            .map_err(failed)?
        }
        CredentialSource::Secret {
            tenant,
            client,
            secret,
            authority,
        } => ClientSecretCredential::new(
            tenant,
            client.clone(),
            Secret::new(secret.to_string()),
            Some(ClientSecretCredentialOptions {
                client_options: options(authority)?,
            }),
        )
        .map_err(failed)?,
    })
}

/// A credential of the SDK with a deadline and errors for operators. Several clients may share it.
pub(crate) struct Identity {
    source: CredentialSource,
    trust: Trust,
    credential: Mutex<Arc<dyn TokenCredential>>,
    /// Whether a call has succeeded since the credential was last replaced.
    has_worked: AtomicBool,
}

impl Identity {
    pub(crate) fn open(source: CredentialSource, trust: Trust) -> Result<Arc<Self>, ProviderError> {
        let credential = open(&source, &trust)?;
        Ok(Arc::new(Self {
            source,
            trust,
            credential: Mutex::new(credential),
            has_worked: AtomicBool::new(false),
        }))
    }

    /// Records that a call succeeded, so the token is good.
    pub(crate) fn on_success(&self) {
        self.has_worked.store(true, Ordering::Relaxed);
    }

    /// Replaces the credential to get new tokens. The SDK's credential would return the same token until it
    /// expires, up to an hour later.
    ///
    /// Does nothing if no call has succeeded since the last replacement, because the next token would be refused, too.
    fn renew(&self) -> bool {
        if !self.has_worked.swap(false, Ordering::Relaxed) {
            return false;
        }
        let Ok(credential) = open(&self.source, &self.trust) else {
            return false;
        };
        *self.credential() = credential;
        true
    }

    fn credential(&self) -> MutexGuard<'_, Arc<dyn TokenCredential>> {
        self.credential.lock()
    }
}

#[async_trait]
impl TokenCredential for Identity {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let credential = Arc::clone(&self.credential());
        match tokio::time::timeout(PATIENCE, credential.get_token(scopes, options)).await {
            Ok(Ok(token)) => Ok(token),
            Ok(Err(error)) => Err(credential_error(no_token(&self.source, &error))),
            Err(_) => Err(credential_error(token_timed_out(&self.source, PATIENCE))),
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({:?})", self.source)
    }
}

/// The identity as one client of the SDK uses it.
///
/// Such a client keeps its token. It requests one when it has none, when its token is about to expire, or when the
/// vault has refused it. If it would get the same token again, the vault has refused that token.
pub(crate) struct Caller {
    identity: Arc<Identity>,
    last: Mutex<Option<AccessToken>>,
}

impl Caller {
    pub(crate) fn new(identity: &Arc<Identity>) -> Arc<Self> {
        Arc::new(Self {
            identity: Arc::clone(identity),
            last: Mutex::default(),
        })
    }

    /// Records the token. Returns whether it is the same as the last one.
    fn is_again(&self, token: &AccessToken) -> bool {
        let mut last = self.last.lock();
        let before = last.replace(token.clone());
        before.is_some_and(|before| before.token.secret() == token.token.secret())
    }
}

#[async_trait]
impl TokenCredential for Caller {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let token = self.identity.get_token(scopes, options.clone()).await?;
        if !self.is_again(&token) || !self.identity.renew() {
            return Ok(token);
        }
        let token = self.identity.get_token(scopes, options).await?;
        self.is_again(&token);
        Ok(token)
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.identity.fmt(f)
    }
}
