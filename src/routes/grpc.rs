//! The gRPC calls on the socket: Envoy's authorization check, and the signer of tokens for Kubernetes.

use std::sync::Arc;

use http::{Request, Version};
use signet_edge::body::Arriving;

use crate::grpc::kubernetes::{FetchKeysRequest, MetadataRequest, Method, SignJwtRequest};
use crate::grpc::{call, envoy, kubernetes, not_here, ready};
use crate::http::Response;
use crate::routes::Service;
use crate::routes::kubernetes::metadata;

/// Answers one call.
pub async fn answer(service: Arc<Service>, request: Request<Arriving>) -> Response {
    if request.version() != Version::HTTP_2 || request.method() != http::Method::POST {
        return not_here("gRPC needs POST over HTTP/2");
    }
    let path = request.uri().path();
    if path == envoy::CHECK {
        return call(request, move |message| ready(Ok(service.envoy_check(&message)))).await;
    }
    let Some(method) = kubernetes::method(path) else {
        return not_here("this socket does not have this gRPC method; docs/architecture.md lists the services");
    };
    let Some(told) = service.kubernetes else {
        return not_here("signing for Kubernetes is off; set SIGNET_KUBERNETES=true");
    };
    match method {
        Method::Metadata => call(request, move |_: MetadataRequest| ready(Ok(metadata(told)))).await,
        Method::FetchKeys => call(request, move |_: FetchKeysRequest| ready(service.kubernetes_keys(told))).await,
        Method::Sign => {
            let sign = move |message: SignJwtRequest| {
                let service = Arc::clone(&service);
                async move { service.kubernetes_sign(&message.claims).await }
            };
            call(request, sign).await
        }
    }
}
