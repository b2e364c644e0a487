//! The ring store in S3: the object store's client with the SDK's credentials.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_kms::config::{ProvideCredentials as _, SharedCredentialsProvider};
use object_store::aws::{AmazonS3Builder, AwsCredential, S3ConditionalPut};
use object_store::{Certificate, CredentialProvider};
use signet_api::ProviderError;
use signet_objects::{Grants, NamingRegions, ObjectRing, client_options, no_retries, split};
use signet_sealed::RingStore;
use tokio::sync::Mutex;

use crate::NAME;
use crate::config::{ServiceEndpoints, invalid};
use crate::error::{AUTHORITIES, without_features};
use crate::policy::{object_read_grant, object_write_grant};
use crate::session::{CREDENTIALS, session};

/// Credentials are renewed this long before they expire.
const RENEWAL: Duration = Duration::from_secs(300);
/// After a failed renewal, valid credentials are used this long before the next attempt.
const PAUSE: Duration = Duration::from_secs(15);

pub(crate) async fn open(endpoints: &ServiceEndpoints, location: &str) -> Result<Arc<dyn RingStore>, ProviderError> {
    let (bucket, key) = split(location, "s3")?;
    let session = session(endpoints).await?;
    let region = session
        .region()
        .map(|region| region.as_ref().to_owned())
        .unwrap_or_default();
    let mut options = client_options();
    if let Some(pem) = &endpoints.authorities {
        let bundle = Certificate::from_pem_bundle(pem)
            .map_err(|error| invalid(format!("AWS_CA_BUNDLE has no usable certificates: {error}")))?;
        options = bundle
            .into_iter()
            .fold(options.with_no_system_certificates(true), |options, certificate| {
                options.with_root_certificate(certificate)
            });
    }
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&bucket)
        .with_region(&region)
        .with_credentials(Arc::new(Credentials::new(&session)?))
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_retry(no_retries())
        .with_http_connector(NamingRegions::new(NAME))
        .with_client_options(options);
    match &endpoints.s3 {
        // The configuration allows http only for a loopback address.
        Some(url) => builder = builder.with_endpoint(url).with_allow_http(url.starts_with("http://")),
        None if region.starts_with("cn-") => {
            builder = builder.with_endpoint(format!("https://s3.{region}.amazonaws.com.cn"));
        }
        None => {}
    }
    let store = builder
        .build()
        .map_err(|error| invalid(format!("{location} cannot be used as SIGNET_STORE: {error}")))?;
    let grants = Grants {
        read: Some(object_read_grant(&bucket, &key)),
        write: Some(object_write_grant(&bucket, &key)),
    };
    let ring = ObjectRing::new(Arc::new(store), &key, location, grants)?;
    Ok(Arc::new(ring.trusting(AUTHORITIES)))
}

/// The SDK's credential chain for a client that is not the SDK's. The credentials are cached until
/// shortly before they expire.
struct Credentials {
    chain: SharedCredentialsProvider,
    session: SdkConfig,
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    credential: Arc<AwsCredential>,
    expires: Option<SystemTime>,
    renewal: Option<SystemTime>,
}

impl Credentials {
    fn new(session: &SdkConfig) -> Result<Self, ProviderError> {
        let chain = session
            .credentials_provider()
            .ok_or_else(|| invalid("the SDK has no credential chain".to_owned()))?;
        Ok(Self {
            chain,
            session: session.clone(),
            kept: Mutex::new(None),
        })
    }

    fn now(&self) -> SystemTime {
        self.session.time_source().unwrap_or_default().now()
    }

    async fn find(&self) -> Result<Kept, String> {
        let found = tokio::time::timeout(CREDENTIALS, self.chain.provide_credentials()).await;
        let found = found
            .map_err(|_| "the source of the credentials did not answer in time".to_owned())?
            .map_err(|error| format!("no credentials from the environment, the profile, a web identity, a container endpoint or the instance metadata ({})", without_features(&error)))?;
        let expires = found.expiry();
        Ok(Kept {
            credential: Arc::new(AwsCredential {
                key_id: found.access_key_id().to_owned(),
                secret_key: found.secret_access_key().to_owned(),
                token: found.session_token().map(str::to_owned),
            }),
            expires,
            renewal: expires.and_then(|expires| expires.checked_sub(RENEWAL)),
        })
    }
}

#[async_trait]
impl CredentialProvider for Credentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut kept = self.kept.lock().await;
        let now = self.now();
        if let Some(kept) = &*kept
            && kept.renewal.is_none_or(|renewal| now < renewal)
        {
            return Ok(Arc::clone(&kept.credential));
        }
        match self.find().await {
            Ok(found) => {
                let credential = Arc::clone(&found.credential);
                *kept = Some(found);
                Ok(credential)
            }
            Err(text) => match &mut *kept {
                Some(kept) if kept.expires.is_none_or(|expires| now < expires) => {
                    kept.renewal = Some(now + PAUSE);
                    Ok(Arc::clone(&kept.credential))
                }
                _ => Err(object_store::Error::Unauthenticated {
                    path: String::new(),
                    source: text.into(),
                }),
            },
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}
