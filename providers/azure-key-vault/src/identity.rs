//! Who we are to Azure: workload identity, managed identity, or an application with a secret, in this order.
//!
//! The SDK has no default chain. Which one is taken follows from the variables alone, without asking the network:
//! 1. `AZURE_FEDERATED_TOKEN_FILE`: workload identity;
//! 2. `IDENTITY_ENDPOINT`: the managed identity of App Service or Container Apps;
//! 3. `AZURE_CLIENT_SECRET`: the application with this secret;
//! 4. none of them: the managed identity of the machine, which has no variables (`AZURE_CLIENT_ID` for a user-assigned one).
//!
//! `AZURE_TOKEN_CREDENTIALS` names one of them, as in the other SDKs of Azure.

use std::fmt;
use std::path::PathBuf;
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
use signet_api::{ErrorKind, Operation, ProviderError, Variables};
use zeroize::Zeroizing;

use crate::NAME;
use crate::config::is_loopback;
use crate::error::IdentityFailure;
use crate::http::{Trust, client_options};

/// For one request of a token.
const REQUEST: Duration = Duration::from_secs(5);
/// For a token, with the retries that the machine's metadata service needs while a pod starts.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where tokens come from.
#[derive(Clone)]
pub(crate) enum Source {
    Workload {
        tenant: String,
        client: String,
        file: PathBuf,
        authority: Option<String>,
    },
    Managed {
        client: Option<String>,
    },
    Secret {
        tenant: String,
        client: String,
        secret: Zeroizing<String>,
        authority: Option<String>,
    },
}

enum Choice {
    Workload,
    Managed,
    Secret,
}

impl Source {
    pub(crate) fn choose(variables: &Variables) -> Result<Self, String> {
        let choice = match variables
            .get("AZURE_TOKEN_CREDENTIALS")
            .map(str::to_ascii_lowercase)
            .as_deref()
        {
            Some("workloadidentitycredential") => Choice::Workload,
            Some("managedidentitycredential") => Choice::Managed,
            Some("environmentcredential") => Choice::Secret,
            None | Some("prod") => first_of(variables)?,
            Some(_) => {
                return Err(
                    "AZURE_TOKEN_CREDENTIALS names a credential that Signet does not have: write \
                     WorkloadIdentityCredential, ManagedIdentityCredential or EnvironmentCredential"
                        .to_owned(),
                );
            }
        };
        let need = |name: &str, of: &str| {
            let value = variables.get(name).map(str::to_owned);
            value.ok_or_else(|| format!("{name} is missing, which {of} needs: set it"))
        };
        let authority = variables.get("AZURE_AUTHORITY_HOST").map(authority).transpose()?;
        match choice {
            Choice::Workload => {
                let of = "workload identity (AZURE_FEDERATED_TOKEN_FILE)";
                Ok(Self::Workload {
                    file: need("AZURE_FEDERATED_TOKEN_FILE", of)?.into(),
                    tenant: need("AZURE_TENANT_ID", of)?,
                    client: need("AZURE_CLIENT_ID", of)?,
                    authority,
                })
            }
            Choice::Managed => Ok(Self::Managed {
                client: variables.get("AZURE_CLIENT_ID").map(str::to_owned),
            }),
            Choice::Secret => {
                let of = "the application with a secret (AZURE_CLIENT_SECRET)";
                Ok(Self::Secret {
                    secret: Zeroizing::new(need("AZURE_CLIENT_SECRET", of)?),
                    tenant: need("AZURE_TENANT_ID", of)?,
                    client: need("AZURE_CLIENT_ID", of)?,
                    authority,
                })
            }
        }
    }

    /// In the operator's words, with the variables that led here.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self::Workload { .. } => "workload identity (AZURE_FEDERATED_TOKEN_FILE is set)",
            Self::Managed { .. } => {
                "managed identity (neither AZURE_FEDERATED_TOKEN_FILE nor AZURE_CLIENT_SECRET is used)"
            }
            Self::Secret { .. } => "the application's secret (AZURE_CLIENT_SECRET is set)",
        }
    }

    /// The SDK's credential. It makes no call yet, but reads the federated token's file.
    fn open(&self, trust: &Trust) -> Result<Arc<dyn TokenCredential>, ProviderError> {
        let options = |authority: &Option<String>| -> Result<ClientOptions, ProviderError> {
            let host = authority.as_deref().and_then(|host| Url::parse(host).ok());
            let direct = host.is_some_and(|host| is_loopback(&host));
            let mut options = client_options(trust, REQUEST, direct)?;
            // Without it the SDK would look into the environment by itself.
            let mut cloud = CustomConfiguration::default();
            cloud.authority_host = match authority {
                Some(host) => host.clone(),
                None => "https://login.microsoftonline.com".to_owned(),
            };
            options.cloud = Some(Arc::new(CloudConfiguration::Custom(cloud)));
            Ok(options)
        };
        let failed = |error: azure_core::Error| {
            let text = format!("the credentials by {} cannot be used: {error}", self.describe());
            ProviderError::new(NAME, Operation::Open, ErrorKind::InvalidConfig, text)
        };
        Ok(match self {
            Self::Workload {
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
            Self::Managed { client } => ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
                user_assigned_id: client.clone().map(UserAssignedId::ClientId),
                // The metadata service is on this machine or its link, never behind a proxy.
                client_options: client_options(trust, REQUEST, true)?,
            }))
            .map_err(failed)?,
            Self::Secret {
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
}

fn first_of(variables: &Variables) -> Result<Choice, String> {
    let is_set = |name: &str| variables.get(name).is_some();
    if is_set("AZURE_FEDERATED_TOKEN_FILE") {
        Ok(Choice::Workload)
    } else if is_set("IDENTITY_ENDPOINT") {
        Ok(Choice::Managed)
    } else if is_set("AZURE_CLIENT_SECRET") {
        Ok(Choice::Secret)
    } else if is_set("AZURE_CLIENT_CERTIFICATE_PATH") {
        Err(
            "AZURE_CLIENT_CERTIFICATE_PATH is set, but the certificate credential of Azure's SDK needs OpenSSL, which \
             Signet does not link: use workload identity, managed identity or AZURE_CLIENT_SECRET"
                .to_owned(),
        )
    } else {
        Ok(Choice::Managed)
    }
}

fn authority(host: &str) -> Result<String, String> {
    match Url::parse(host) {
        Ok(url) if url.scheme() == "https" && url.host_str().is_some() => Ok(host.to_owned()),
        _ => Err("AZURE_AUTHORITY_HOST is no https URL: write one such as https://login.microsoftonline.us".to_owned()),
    }
}

/// Shows no secret.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.describe())
    }
}

/// A credential of the SDK with a deadline and an operator's errors. Several clients may share it.
pub(crate) struct Identity {
    source: Source,
    trust: Trust,
    credential: Mutex<Arc<dyn TokenCredential>>,
    /// Whether a call succeeded since the credential was made anew.
    has_worked: AtomicBool,
}

impl Identity {
    pub(crate) fn open(source: Source, trust: Trust) -> Result<Arc<Self>, ProviderError> {
        let credential = source.open(&trust)?;
        Ok(Arc::new(Self {
            source,
            trust,
            credential: Mutex::new(credential),
            has_worked: AtomicBool::new(false),
        }))
    }

    /// A call was answered, so the token is good.
    pub(crate) fn worked(&self) {
        self.has_worked.store(true, Ordering::Relaxed);
    }

    /// From now on tokens are new ones: the SDK's credential would hand out the same one until its end, an hour away.
    /// If none has worked since the last time, the next one would be refused, too.
    fn renew(&self) -> bool {
        if !self.has_worked.swap(false, Ordering::Relaxed) {
            return false;
        }
        let Ok(credential) = self.source.open(&self.trust) else {
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
            Ok(Err(error)) => Err(IdentityFailure::new(&self.source, &error).into()),
            Err(_) => Err(IdentityFailure::too_slow(&self.source, PATIENCE).into()),
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({:?})", self.source)
    }
}

/// The identity as one client of the SDK uses it. Such a client keeps its token, and asks for one when it has none, when
/// its end is near, or when the vault has refused it: if it is the same one then, it is the refused one.
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

    /// Remembers the token; whether it is the one that was handed out before.
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
