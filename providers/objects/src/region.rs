//! Makes errors name the region of a bucket.
//!
//! S3 answers a request for a bucket in another region with a redirect without an address. The client then reports only
//! that the region may be wrong, and drops the header in which S3 names the right one.

use async_trait::async_trait;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};

use crate::Dated;

/// The header that names the region: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html>.
const REGION: &str = "x-amz-bucket-region";

/// An HTTP client for S3 whose errors name the region of the bucket.
#[derive(Debug)]
pub struct NamingRegions(Dated);

impl NamingRegions {
    /// A client for a store of this provider.
    #[must_use]
    pub fn new(provider: &'static str) -> Self {
        Self(Dated::new(provider))
    }
}

#[derive(Debug)]
struct Named(HttpClient);

impl HttpConnector for NamingRegions {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Named(self.0.connect(options)?)))
    }
}

#[async_trait]
impl HttpService for Named {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = self.0.execute(request).await?;
        let region = answer.headers().get(REGION).and_then(|value| value.to_str().ok());
        let is_region = |text: &&str| {
            text.len() <= 32
                && text
                    .bytes()
                    .all(|octet| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-')
        };
        let Some(region) = region.filter(is_region).filter(|_| answer.status().is_redirection()) else {
            return Ok(answer);
        };
        // S3 words it like this when it sends a body, which is what the error parser reads.
        let body = format!("<Error><Code>PermanentRedirect</Code><Region>{region}</Region></Error>");
        let (mut parts, _) = answer.into_parts();
        parts.status = http::StatusCode::BAD_REQUEST;
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(body)))
    }
}
