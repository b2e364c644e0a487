//! HTTP for the SDK: a client that adds Signet's `User-Agent` where the SDK does not, and reports the dates of the
//! answers.
//!
//! The SDK's clients for container credentials send no `User-Agent`, and that for the instance metadata sends its own
//! without `app/...`. The signature of a request does not cover `User-Agent`.

use aws_sdk_kms::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_kms::config::{ConfigBag, Intercept};
use aws_sdk_kms::error::BoxError;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext};
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use signet_base::{APPLICATION_ID, USER_AGENT};

use crate::NAME;

const FIELD: &str = "user-agent";

/// Makes a client like the SDK's own, which uses the proxies of the environment. It trusts the authorities in `trust`,
/// or those of the system.
pub(crate) fn client(trust: Option<TlsContext>) -> SharedHttpClient {
    let usual = aws_smithy_http_client::Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder().proxy_config(ProxyConfig::from_env());
        connector.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            connector.set_sleep_impl(components.sleep_impl());
        }
        let connector = connector.tls_provider(Provider::Rustls(CryptoMode::AwsLc));
        match &trust {
            Some(trust) => connector.tls_context(trust.clone()).build(),
            None => connector.build(),
        }
    });
    SharedHttpClient::new(Naming(usual))
}

#[derive(Debug)]
struct Naming<T>(T);

impl HttpClient for Naming<SharedHttpClient> {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(Naming(self.0.http_connector(settings, components)))
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.0.connector_metadata()
    }
}

impl HttpConnector for Naming<SharedHttpConnector> {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let agent = match request.headers().get(FIELD) {
            Some(agent) if agent.contains(APPLICATION_ID) => None,
            Some(agent) => Some(format!("{agent} {USER_AGENT}")),
            None => Some(USER_AGENT.to_owned()),
        };
        if let Some(agent) = agent {
            request.headers_mut().insert(FIELD, agent);
        }
        self.0.call(request)
    }
}

/// Passes on the time from the answers of KMS.
#[derive(Debug)]
pub(crate) struct Dates;

impl Intercept for Dates {
    fn name(&self) -> &'static str {
        "dates"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(date) = context.response().headers().get("date") {
            signet_api::dates::saw(NAME, date);
        }
        Ok(())
    }
}
