//! gRPC on the local socket: Envoy's authorization check, and the signer of tokens for Kubernetes. gRPC requests are
//! recognised by their content type.
//!
//! tonic implements framing, deadlines and statuses. The messages are written out here, with the few fields that are
//! needed ([decision 0014](../../docs/decisions/0014-grpc-messages.md)).

pub mod envoy;
pub mod kubernetes;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Either};
use prost::Message;
use signet_edge::body::{Arriving, NoBody};
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

use crate::http::Response;

/// The maximum size of a message in bytes: a token, with the headers of a request around it.
const LONGEST_MESSAGE: usize = 256 * 1024;
/// How long a client may take to send its message.
const DEADLINE: Duration = Duration::from_secs(10);

/// Whether this is a gRPC request.
///
/// A request below `/v1/` never is, whatever its content type. nginx, Caddy and Traefik send their client's content
/// type to `/v1/authorize`, and they would take the HTTP status of a gRPC answer for a yes.
#[must_use]
pub fn is_grpc<B>(request: &Request<B>) -> bool {
    let kind = request.headers().get(CONTENT_TYPE).map(http::HeaderValue::as_bytes);
    let kind = kind.and_then(|kind| kind.strip_prefix(b"application/grpc"));
    let of_grpc = kind.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"+proto") || rest.starts_with(b";"));
    of_grpc && !request.uri().path().starts_with("/v1/")
}

/// Answers `UNIMPLEMENTED` with HTTP status 404, which gRPC clients map to `UNIMPLEMENTED`. A gateway that uses a wrong
/// path and looks only at the HTTP status must not see 200.
/// <https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md>
pub fn not_here(detail: &str) -> Response {
    let mut response = refuse(Status::new(Code::Unimplemented, detail));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

/// Wraps a value that is already there as a future.
pub async fn ready<T>(value: T) -> T {
    value
}

/// Handles a call with one message and one answer.
pub async fn call<In, Out, F, Answering>(request: Request<Arriving>, answer: F) -> Response
where
    In: Message + Default + Send + 'static,
    Out: Message + Default + Send + 'static,
    F: FnMut(In) -> Answering + Send + 'static,
    Answering: Future<Output = Result<Out, Status>> + Send + 'static,
{
    let mut grpc = Grpc::new(ProstCodec::<Out, In>::default()).max_decoding_message_size(LONGEST_MESSAGE);
    let request = request.map(|body| {
        body.map_err(|why| match why {
            NoBody::NoRoom => Status::unavailable(why.to_string()),
            NoBody::Broken(_) => Status::cancelled(why.to_string()),
        })
    });
    match tokio::time::timeout(DEADLINE, grpc.unary(Unary(answer), request)).await {
        Ok(response) => response.map(|body| Either::Right(Either::Right(body))),
        Err(_) => refuse(Status::new(
            Code::DeadlineExceeded,
            "the request did not arrive, or was not answered, within 10 s",
        )),
    }
}

fn refuse(status: Status) -> Response {
    status.into_http().map(|body| Either::Right(Either::Right(body)))
}

/// Adapts a function for tonic.
struct Unary<F>(F);

impl<In, Out, F, Answering> UnaryService<In> for Unary<F>
where
    F: FnMut(In) -> Answering,
    Answering: Future<Output = Result<Out, Status>> + Send + 'static,
{
    type Response = Out;
    type Future = Pin<Box<dyn Future<Output = Result<tonic::Response<Out>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<In>) -> Self::Future {
        let answer = (self.0)(request.into_inner());
        Box::pin(async move { answer.await.map(tonic::Response::new) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(path: &str, kind: Option<&str>) -> bool {
        let request = Request::builder().uri(path);
        let request = kind
            .into_iter()
            .fold(request, |request, kind| request.header(CONTENT_TYPE, kind));
        is_grpc(&request.body(()).expect("a request"))
    }

    #[test]
    fn the_content_type_tells_grpc_apart() {
        for kind in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc;charset=utf-8",
        ] {
            assert!(asked(envoy::CHECK, Some(kind)), "{kind}");
        }
        for kind in [
            "application/json",
            "application/grpc-web",
            "application/grpc+json",
            "application/grpcs",
            "",
        ] {
            assert!(!asked(envoy::CHECK, Some(kind)), "{kind}");
        }
        assert!(!asked(envoy::CHECK, None));
    }

    #[test]
    fn no_content_type_makes_a_path_of_http_one_of_grpc() {
        for path in ["/v1/authorize", "/v1/authorize?audience=a", "/v1/sign", "/v1/anything"] {
            assert!(!asked(path, Some("application/grpc")), "{path}");
        }
        assert!(asked("/v1.ExternalJWTSigner/Sign", Some("application/grpc")));
    }

    #[test]
    fn what_is_not_here_is_no_yes_to_a_gateway_that_reads_the_http_status_only() {
        let response = not_here("no such method");
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(response.headers()["grpc-status"], "12");
    }
}
