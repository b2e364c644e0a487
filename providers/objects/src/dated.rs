//! Reports the clocks of object stores: `object_store` does not expose the headers of answers.

use async_trait::async_trait;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};

/// The default HTTP client of `object_store`, which also reports the `Date` of each answer to [`signet_api::dates`].
#[derive(Debug)]
pub struct Dated {
    provider: &'static str,
    usual: ReqwestConnector,
}

impl Dated {
    /// A client for a store of this provider.
    #[must_use]
    pub fn new(provider: &'static str) -> Self {
        Self {
            provider,
            usual: ReqwestConnector::default(),
        }
    }
}

#[derive(Debug)]
struct Watched {
    provider: &'static str,
    client: HttpClient,
}

impl HttpConnector for Dated {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Watched {
            provider: self.provider,
            client: self.usual.connect(options)?,
        }))
    }
}

#[async_trait]
impl HttpService for Watched {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = self.client.execute(request).await?;
        if let Some(date) = answer
            .headers()
            .get(http::header::DATE)
            .and_then(|date| date.to_str().ok())
        {
            signet_api::dates::saw(self.provider, date);
        }
        Ok(answer)
    }
}
