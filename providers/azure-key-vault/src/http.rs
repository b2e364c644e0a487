//! The HTTP client for the SDK: its trust and its deadlines, with all of the SDK's own behaviour disabled.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::http::headers::HeaderName;
use azure_core::http::{
    AsyncRawResponse, ClientOptions, HttpClient, Request, RetryOptions, Transport, UserAgentOptions,
};
use reqwest::redirect::Policy;
use reqwest::tls::Certificate;
use signet_api::{ErrorKind, Operation, ProviderError, Variables};
use signet_base::{APPLICATION_ID, causes};
use signet_files::{Rule, no_authorities};

use crate::NAME;

/// The deadline for a connection, including TLS.
const CONNECT: Duration = Duration::from_secs(2);

/// The certificates that are trusted.
#[derive(Clone)]
pub(crate) struct Trust {
    /// The authorities in `SSL_CERT_FILE`. `None` means those of the system.
    pem: Option<Arc<Vec<u8>>>,
}

impl Trust {
    pub(crate) fn new(variables: &Variables) -> Result<Self, String> {
        let Some(path) = variables.get("SSL_CERT_FILE") else {
            return Ok(Self { pem: None });
        };
        let pem = Rule::Trusted
            .read(Path::new(path))
            .map_err(|error| format!("SSL_CERT_FILE cannot be used: {error}"))?;
        match Certificate::from_pem_bundle(&pem) {
            Ok(certificates) if !certificates.is_empty() => Ok(Self {
                pem: Some(Arc::new(pem.to_vec())),
            }),
            _ => Err(format!(
                "SSL_CERT_FILE is {path}, which {}",
                no_authorities(&pem).unwrap_or("has a certificate that cannot be used; it may be damaged")
            )),
        }
    }

    /// The content of the file.
    pub(crate) fn pem(&self) -> Option<&[u8]> {
        self.pem.as_ref().map(|pem| pem.as_slice())
    }
}

/// Reports the clock of the server that answers.
#[derive(Debug)]
struct Dated(reqwest::Client);

#[async_trait]
impl HttpClient for Dated {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        const DATE: HeaderName = HeaderName::from_static("date");
        let response = self.0.execute_request(request).await?;
        if let Some(date) = response.headers().get_optional_str(&DATE) {
            signet_api::dates::saw(NAME, date);
        }
        Ok(response)
    }
}

/// Options for a client of the SDK. There are no retries, because only the guards around the provider retry, and no
/// redirects, because no vault sends them. `request` is the deadline of a whole request. The SDK's own client takes 26
/// s to give up on an untrusted certificate.
///
/// `direct` is for addresses on this machine or its link, which no proxy can reach.
pub(crate) fn client_options(trust: &Trust, request: Duration, direct: bool) -> Result<ClientOptions, ProviderError> {
    let failed = |error: reqwest::Error| {
        let cause = causes(&error).pop().unwrap_or_else(|| error.to_string());
        let text = format!(
            "the HTTP client cannot be created ({cause}); check that SSL_CERT_FILE, or this machine, has usable \
             certificates of authorities"
        );
        ProviderError::new(NAME, Operation::Open, ErrorKind::InvalidConfig, text)
    };
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECT)
        .timeout(request)
        .redirect(Policy::none());
    if direct {
        builder = builder.no_proxy();
    }
    if let Some(pem) = trust.pem() {
        builder = builder.tls_certs_only(Certificate::from_pem_bundle(pem).map_err(failed)?);
    }
    Ok(ClientOptions {
        transport: Some(Transport::new(Arc::new(Dated(builder.build().map_err(failed)?)))),
        retry: RetryOptions::none(),
        user_agent: UserAgentOptions {
            application_id: Some(APPLICATION_ID.to_owned()),
        },
        ..ClientOptions::default()
    })
}
