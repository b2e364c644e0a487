//! Who we are to AWS: the credential chain of the SDK over *our* variables, with deadlines on every step of it.
//!
//! The SDK reads the process's environment. Its one way to read something else is a method that it offers under the
//! feature `test-util`; with it, two configurations live in one process and no test touches the environment. What
//! stays the process's: the clock, the files that the variables name, and the proxy variables.
//!
//! The chain is the SDK's own: environment, profile, web identity, container (EKS Pod Identity, ECS), instance metadata
//! (IMDSv2). The region is not asked of the instance metadata: opening makes no call.

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

use crate::config::{Place, VARIABLES, invalid};
use crate::http;

/// For a connection.
const CONNECT: Duration = Duration::from_secs(2);
/// For a whole call, the search for credentials included.
const CALL: Duration = Duration::from_secs(5);
/// For the search for credentials: less than a call, so that the error says what was too slow.
pub(crate) const CREDENTIALS: Duration = Duration::from_millis(4500);

/// The deadlines of a call that may take this long.
pub(crate) fn deadlines(call: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .read_timeout(call)
        .operation_attempt_timeout(call)
        .operation_timeout(call)
        .build()
}

/// What the SDK's clients are made of. Reads the profile files, and calls nobody.
pub(crate) async fn session(place: &Place) -> Result<SdkConfig, ProviderError> {
    let region = match &place.region {
        Some(region) => region.clone(),
        None => profile_region(place).await?,
    };
    let session = loader(place, &[])?
        .region(Region::new(region))
        .identity_cache(IdentityCache::lazy().load_timeout(CREDENTIALS).build())
        .load()
        .await;
    Ok(session)
}

async fn profile_region(place: &Place) -> Result<String, ProviderError> {
    let off_the_wire = [("AWS_EC2_METADATA_DISABLED", "true")];
    let found = loader(place, &off_the_wire)?.load().await;
    found.region().map(|region| region.as_ref().to_owned()).ok_or_else(|| {
        invalid(
            "no region: neither AWS_REGION nor AWS_DEFAULT_REGION is set, and the profile has none. \
             Write AWS_REGION, such as eu-central-1"
                .to_owned(),
        )
    })
}

fn loader(place: &Place, over: &[(&str, &str)]) -> Result<ConfigLoader, ProviderError> {
    let loader = aws_config::defaults(BehaviorVersion::latest())
        .env(environment(&place.variables, over))
        .app_name(application()?)
        .retry_config(RetryConfig::disabled())
        .timeout_config(deadlines(CALL))
        // The deadline of a whole call is the stricter rule: no answer of KMS is long.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    let Some(pem) = &place.authorities else {
        return Ok(loader.http_client(http::client(None)));
    };
    let trust = TrustStore::empty().with_pem_certificate(pem.clone());
    let context = TlsContext::builder().with_trust_store(trust).build().map_err(|error| {
        invalid(format!(
            "AWS_CA_BUNDLE holds no certificates that can be trusted: {error}"
        ))
    })?;
    Ok(loader.http_client(http::client(Some(context))))
}

/// Stands in the `User-Agent` of the SDK as `app/...`.
fn application() -> Result<AppName, ProviderError> {
    AppName::new(APPLICATION_ID).map_err(|error| invalid(format!("the SDK does not take our name: {error}")))
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
