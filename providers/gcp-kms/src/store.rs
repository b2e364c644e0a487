//! The store `gs://bucket/path`: the sealed ring in an object in Cloud Storage, replaced under its generation number.
//!
//! <https://cloud.google.com/storage/docs/request-preconditions>

use std::sync::Arc;

use object_store::CredentialProvider;
use object_store::client::StaticCredentialProvider;
use object_store::gcp::{GcpCredential, GcpCredentialProvider, GoogleCloudStorageBuilder};
use signet_api::{ErrorKind, ProviderError, Trials, Variables, async_trait};
use signet_objects::{Dated, Grants, ObjectRing, client_options, no_retries, split};
use signet_sealed::{RingStore, Stored, Swap, Version};

use crate::NAME;
use crate::config::{Login, emulator, invalid, storage};
use crate::credentials::Adc;

/// Opens the store in `SIGNET_STORE`. Makes no call.
///
/// # Errors
/// `InvalidConfig` with all problems.
pub async fn store(variables: &Variables, location: &str) -> Result<Arc<dyn RingStore>, ProviderError> {
    let (bucket, path) = split(location, "gs")?;
    // https://cloud.google.com/storage/docs/buckets#naming
    let is_bucket = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    if !bucket.chars().all(is_bucket) {
        let text = "the name of a bucket has only lower-case letters, digits, -, _ and .";
        return Err(invalid(&[format!("SIGNET_STORE: {bucket:?} is not a bucket: {text}")]));
    }
    let refuse = |text: String| invalid(&[text]);
    let mut adc = None;
    let (base, credentials, options): (String, GcpCredentialProvider, _) = match emulator(variables).map_err(refuse)? {
        Some(base) => {
            let nobody = GcpCredential { bearer: String::new() };
            (
                base,
                Arc::new(StaticCredentialProvider::new(nobody)),
                client_options().with_allow_http(true),
            )
        }
        None => {
            let login = Login::new(variables).map_err(refuse)?;
            let other = storage(variables).map_err(refuse)?;
            let base = other.unwrap_or_else(|| format!("https://storage.{}", login.universe));
            // The URL was checked: plain http is only for the loopback interface.
            let options = client_options().with_allow_http(base.starts_with("http://"));
            let bearer = Bearer(adc.insert(Adc::new(login)).clone());
            (base, Arc::new(bearer), options)
        }
    };
    let client = GoogleCloudStorageBuilder::new()
        .with_bucket_name(&bucket)
        .with_base_url(&base)
        .with_credentials(credentials)
        .with_http_connector(Dated::new(NAME))
        .with_client_options(options)
        .with_retry(no_retries())
        .build()
        .map_err(|error| {
            invalid(&[format!(
                "SIGNET_STORE: the client of Cloud Storage cannot be created: {error}"
            )])
        })?;
    let ring = ObjectRing::new(Arc::new(client), &path, location, grants(&bucket))?;
    Ok(Arc::new(Renewing { ring, adc }))
}

/// A ring store that logs in again after a token was refused.
#[derive(Debug)]
struct Renewing {
    ring: ObjectRing,
    adc: Option<Adc>,
}

impl Renewing {
    fn look<T>(&self, answer: Result<T, ProviderError>) -> Result<T, ProviderError> {
        if let (Err(error), Some(adc)) = (&answer, &self.adc)
            && error.kind == ErrorKind::Unauthenticated
        {
            adc.on_refused();
        }
        answer
    }
}

#[async_trait]
impl RingStore for Renewing {
    fn location(&self) -> String {
        self.ring.location()
    }

    async fn load(&self) -> Result<Option<Stored>, ProviderError> {
        self.look(self.ring.load().await)
    }

    async fn compare_and_swap(&self, expected: Option<&Version>, bytes: &[u8]) -> Result<Swap, ProviderError> {
        self.look(self.ring.compare_and_swap(expected, bytes).await)
    }

    async fn check(&self, trials: &mut Trials) {
        self.ring.check(trials).await;
    }
}

/// The commands that grant a missing permission. A custom role includes reading and writing, so they are the same.
fn grants(bucket: &str) -> Grants {
    let grant = format!(
        "gcloud iam roles create signetSidecarStore --project=PROJECT --file=deploy/policies/gcp-sidecar-store.yaml && \
         gcloud storage buckets add-iam-policy-binding gs://{bucket} --member=serviceAccount:SIDECAR \
         --role=projects/PROJECT/roles/signetSidecarStore"
    );
    Grants {
        read: Some(grant.clone()),
        write: Some(grant),
    }
}

/// The same credentials as for Cloud KMS, in the form that this client needs.
#[derive(Debug)]
struct Bearer(Adc);

#[async_trait]
impl CredentialProvider for Bearer {
    type Credential = GcpCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<GcpCredential>> {
        match self.0.token().await {
            Ok(bearer) => Ok(Arc::new(GcpCredential { bearer })),
            Err(error) => {
                let passing = error.is_transient();
                let text = crate::error::credentials(Some(&error)).text;
                Err(match passing {
                    true => object_store::Error::Generic {
                        store: NAME,
                        source: text.into(),
                    },
                    false => object_store::Error::Unauthenticated {
                        path: String::new(),
                        source: text.into(),
                    },
                })
            }
        }
    }
}
