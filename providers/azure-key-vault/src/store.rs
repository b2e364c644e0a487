//! The ring store in Blob Storage: `az://account/container/path`.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::credentials::TokenCredential as _;
use azure_core::http::Url;
use object_store::azure::{AzureCredential, MicrosoftAzureBuilder};
use object_store::{Certificate, CredentialProvider};
use signet_api::{ErrorKind, Operation, ProviderError, Variables};
use signet_objects::{Dated, Grants, ObjectRing, client_options, no_retries, split_account};
use signet_sealed::RingStore;

use crate::NAME;
use crate::config::{Problems, is_loopback};
use crate::credential_source::CredentialSource;
use crate::error::without_token;
use crate::http::Trust;
use crate::identity::Identity;

/// The scope of a token for all storage accounts.
const SCOPE: &str = "https://storage.azure.com/.default";

const ROLE: &str = include_str!("../../../deploy/policies/azure-blob.json");

/// Opens the store at `location`, the value of `SIGNET_STORE`: `az://<account>/<container>/<path>`.
///
/// The identity is the same as for the vault, unless `AZURE_STORAGE_ACCOUNT_KEY` is set.
///
/// # Errors
/// `InvalidConfig` with all problems.
pub async fn store(variables: &Variables, location: &str) -> Result<Arc<dyn RingStore>, ProviderError> {
    let (account, container, path) = split_account(location, "az")?;
    let mut problems = Problems::default();
    let trust = problems.or_note(Trust::new(variables));
    let endpoint = problems.or_note(variables.get("AZURE_STORAGE_ENDPOINT").map(endpoint).transpose());
    let shared_key = variables.get("AZURE_STORAGE_ACCOUNT_KEY");
    let source = match shared_key {
        Some(_) => None,
        None => problems.or_note(CredentialSource::choose(variables)),
    };
    let (Some(trust), Some(endpoint)) = (trust, endpoint) else {
        return Err(problems.into_error());
    };
    let refuse = |text: String| ProviderError::new(NAME, Operation::Open, ErrorKind::InvalidConfig, text);
    let mut options = client_options();
    if let Some(pem) = trust.pem() {
        let certificates = Certificate::from_pem_bundle(pem)
            .map_err(|_| refuse("SSL_CERT_FILE has no certificates; write the path of a PEM file".to_owned()))?;
        for certificate in certificates {
            options = options.with_root_certificate(certificate);
        }
    }
    // Plain http is only for a server on this machine, which `endpoint` has checked.
    let plain = endpoint.as_ref().is_some_and(|url| url.scheme() == "http");
    let mut builder = MicrosoftAzureBuilder::new()
        .with_account(&account)
        .with_container_name(&container)
        .with_client_options(options.with_allow_http(plain))
        .with_http_connector(Dated::new(NAME))
        .with_retry(no_retries());
    if let Some(url) = endpoint {
        builder = builder.with_endpoint(url.as_str().trim_end_matches('/').to_owned());
    }
    builder = match (shared_key, source) {
        (Some(key), _) => builder.with_access_key(key),
        (None, Some(source)) => builder.with_credentials(Arc::new(Bearer(Identity::open(source, trust)?))),
        (None, None) => return Err(problems.into_error()),
    };
    let client = builder
        // The error's own text may repeat its input, including an account key.
        .build()
        .map_err(|_| {
            refuse("AZURE_STORAGE_ACCOUNT_KEY or the account in SIGNET_STORE is not well-formed".to_owned())
        })?;
    let grant = grant(&account, &container);
    let grants = Grants {
        read: Some(grant.clone()),
        write: Some(grant),
    };
    Ok(Arc::new(ObjectRing::new(Arc::new(client), &path, location, grants)?))
}

fn endpoint(text: &str) -> Result<Url, String> {
    match Url::parse(text) {
        Ok(url) if url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url)) => Ok(url),
        _ => Err(
            "AZURE_STORAGE_ENDPOINT is neither an https URL nor a URL of this machine; write the account's blob \
             endpoint, such as https://acme.blob.core.usgovcloudapi.net"
                .to_owned(),
        ),
    }
}

fn grant(account: &str, container: &str) -> String {
    format!(
        "{ROLE}\n\
         az role definition create --role-definition @deploy/policies/azure-blob.json\n\
         az role assignment create --assignee <the identity's object id> --role <Name above> \\\n  \
         --scope /subscriptions/<subscription>/resourceGroups/<group>/providers/Microsoft.Storage/storageAccounts/\
         {account}/blobServices/default/containers/{container}"
    )
}

/// The vault's identity, in the form that the object store's client needs.
struct Bearer(Arc<Identity>);

#[async_trait]
impl CredentialProvider for Bearer {
    type Credential = AzureCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AzureCredential>> {
        match self.0.get_token(&[SCOPE], None).await {
            Ok(token) => Ok(Arc::new(AzureCredential::BearerToken(token.token.secret().to_owned()))),
            Err(error) => Err(object_store::Error::Generic {
                store: "MicrosoftAzure",
                source: Box::new(without_token(&error)),
            }),
        }
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
