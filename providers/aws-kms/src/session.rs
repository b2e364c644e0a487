//! Credentials for AWS: the SDK's credential chain with *our* variables, and a deadline for each step.
//!
//! By default, the SDK reads the process's environment. The only other way is a method that it offers under the feature
//! `test-util`. With it, one process can have two configurations, and no test changes the environment. The clock, the
//! files that the variables name and the proxy variables are still those of the process.
//!
//! The chain is the SDK's own: environment, profile, web identity, container (EKS Pod Identity, ECS), instance metadata
//! (IMDSv2). The region is not read from the instance metadata, because opening a provider makes no call.

use std::collections::HashMap;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_sdk_kms::config::IdentityCache;
use aws_smithy_http_client::tls::{TlsContext, TrustStore};
use aws_types::os_shim_internal::Env;
use signet_api::{ProviderError, Variables};
use signet_base::APPLICATION_ID;

use crate::config::{ServiceEndpoints, VARIABLES, invalid};
use crate::http;

/// The deadline for a connection.
const CONNECT: Duration = Duration::from_secs(2);
/// The deadline for a whole call, including the search for credentials.
const CALL: Duration = Duration::from_secs(5);
/// The deadline for the search for credentials. It is shorter than that of a call, so the error says what was too slow.
pub(crate) const CREDENTIALS: Duration = Duration::from_millis(4500);

/// The deadlines for a call that may take this long.
pub(crate) fn deadlines(call: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .read_timeout(call)
        .operation_attempt_timeout(call)
        .operation_timeout(call)
        .build()
}

/// Makes the configuration of the SDK's clients. Reads the profile files, and makes no network calls.
pub(crate) async fn session(endpoints: &ServiceEndpoints) -> Result<SdkConfig, ProviderError> {
    let region = match &endpoints.region {
        Some(region) => region.clone(),
        None => profile_region(endpoints).await?,
    };
    let session = loader(endpoints, &[])?
        .region(Region::new(region))
        .identity_cache(IdentityCache::lazy().load_timeout(CREDENTIALS).build())
        .load()
        .await;
    Ok(session)
}

async fn profile_region(endpoints: &ServiceEndpoints) -> Result<String, ProviderError> {
    let off_the_wire = [("AWS_EC2_METADATA_DISABLED", "true")];
    let found = loader(endpoints, &off_the_wire)?.load().await;
    found.region().map(|region| region.as_ref().to_owned()).ok_or_else(|| {
        invalid(
            "no region: neither AWS_REGION nor AWS_DEFAULT_REGION is set, and the profile has none. \
             Write AWS_REGION, such as eu-central-1"
                .to_owned(),
        )
    })
}

fn loader(endpoints: &ServiceEndpoints, over: &[(&str, &str)]) -> Result<ConfigLoader, ProviderError> {
    let loader = aws_config::defaults(BehaviorVersion::latest())
        .env(environment(&endpoints.variables, over))
        .app_name(application()?)
        .retry_config(RetryConfig::disabled())
        .timeout_config(deadlines(CALL))
        // The deadline of a whole call is stricter, because all answers of KMS are short.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    let Some(pem) = &endpoints.authorities else {
        return Ok(loader.http_client(http::client(None)));
    };
    let trust = TrustStore::empty().with_pem_certificate(pem.clone());
    let context = TlsContext::builder()
        .with_trust_store(trust)
        .build()
        .map_err(|error| invalid(format!("AWS_CA_BUNDLE has no usable certificates: {error}")))?;
    Ok(loader.http_client(http::client(Some(context))))
}

/// Our name in the SDK's `User-Agent`, as `app/...`.
fn application() -> Result<AppName, ProviderError> {
    AppName::new(APPLICATION_ID).map_err(|error| invalid(format!("the SDK does not accept Signet's name: {error}")))
}

fn environment(variables: &Variables, over: &[(&str, &str)]) -> Env {
    let mut all: HashMap<String, String> = VARIABLES
        .iter()
        .filter_map(|variable| Some((variable.name.to_owned(), variables.get(variable.name)?.to_owned())))
        .collect();
    all.extend(
        over.iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    );
    Env::from(all)
}
