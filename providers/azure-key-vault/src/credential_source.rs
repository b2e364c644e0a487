//! The source of tokens for Azure: workload identity, managed identity, or an application with a secret.
//!
//! The SDK has no default chain. The variables alone decide which source is used, without any
//! network request, in this order:
//! 1. `AZURE_FEDERATED_TOKEN_FILE`: workload identity;
//! 2. `IDENTITY_ENDPOINT`: the managed identity of App Service or Container Apps;
//! 3. `AZURE_CLIENT_SECRET`: the application with this secret;
//! 4. none of them: the managed identity of the machine, which has no variables (`AZURE_CLIENT_ID` for a user-assigned one).
//!
//! `AZURE_TOKEN_CREDENTIALS` selects one of them, as in Azure's other SDKs.

use std::fmt;
use std::path::PathBuf;

use azure_core::http::Url;
use signet_api::Variables;
use zeroize::Zeroizing;

/// The source of tokens.
#[derive(Clone)]
pub(crate) enum CredentialSource {
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

impl CredentialSource {
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
                    "AZURE_TOKEN_CREDENTIALS is a credential that Signet does not support; write \
                     WorkloadIdentityCredential, ManagedIdentityCredential or \
                     EnvironmentCredential"
                        .to_owned(),
                );
            }
        };
        let need = |name: &str, of: &str| {
            let value = variables.get(name).map(str::to_owned);
            value.ok_or_else(|| format!("{name} is missing, but {of} needs it; set it"))
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

    /// The source in words for the operator, with the variables that selected it.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self::Workload { .. } => "workload identity (AZURE_FEDERATED_TOKEN_FILE is set)",
            Self::Managed { .. } => {
                "managed identity (neither AZURE_FEDERATED_TOKEN_FILE nor AZURE_CLIENT_SECRET is used)"
            }
            Self::Secret { .. } => "the application's secret (AZURE_CLIENT_SECRET is set)",
        }
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
            "AZURE_CLIENT_CERTIFICATE_PATH is set, but the certificate credential of Azure's SDK needs OpenSSL, \
             which Signet does not include; use workload identity, managed identity or \
             AZURE_CLIENT_SECRET"
                .to_owned(),
        )
    } else {
        Ok(Choice::Managed)
    }
}

fn authority(host: &str) -> Result<String, String> {
    match Url::parse(host) {
        Ok(url) if url.scheme() == "https" && url.host_str().is_some() => Ok(host.to_owned()),
        _ => Err(
            "AZURE_AUTHORITY_HOST is not an https URL; write for example https://login.microsoftonline.us".to_owned(),
        ),
    }
}

/// Shows no secret.
impl fmt::Debug for CredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.describe())
    }
}
