//! gRPC on the local socket, told apart from HTTP by its content type: Envoy's authorization check.
//!
//! The framing, deadlines and statuses of the protocol are tonic's. The messages are the few fields that are read or written
//! here, written out: [decision 0014](../../docs/decisions/0014-grpc-messages.md).

pub mod envoy;
mod metadata;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request};
use http_body_util::Either;
use hyper::body::Incoming;
use prost::Message;
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

pub use self::metadata::as_struct;
use crate::http::Response;
use crate::routes::Service;

/// The longest message that is read: a token with the headers of a request around it.
const LONGEST_MESSAGE: usize = 256 * 1024;
/// How long a client may take to send its message.
const DEADLINE: Duration = Duration::from_secs(10);

/// Whether this is a gRPC request.
#[must_use]
pub fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes);
    kind.is_some_and(|kind| kind.starts_with(b"application/grpc"))
}

/// Answers one call.
pub async fn answer(service: Arc<Service>, request: Request<Incoming>) -> Response {
    match request.uri().path() {
        envoy::CHECK => call(request, move |message| ready(Ok(service.envoy_check(&message)))).await,
        _ => refuse(Status::new(
            Code::Unimplemented,
            "no such method here; docs/architecture.md lists the services",
        )),
    }
}

async fn ready<T>(value: T) -> T {
    value
}

/// A call of one message and one answer.
async fn call<In, Out, F, Answering>(request: Request<Incoming>, answer: F) -> Response
where
    In: Message + Default + Send + 'static,
    Out: Message + Default + Send + 'static,
    F: FnMut(In) -> Answering + Send + 'static,
    Answering: Future<Output = Result<Out, Status>> + Send + 'static,
{
    let mut grpc = Grpc::new(ProstCodec::<Out, In>::default()).max_decoding_message_size(LONGEST_MESSAGE);
    match tokio::time::timeout(DEADLINE, grpc.unary(Unary(answer), request)).await {
        Ok(response) => response.map(|body| Either::Right(Either::Right(body))),
        Err(_) => refuse(Status::new(
            Code::DeadlineExceeded,
            "no whole message, or no answer, within 10 s",
        )),
    }
}

fn refuse(status: Status) -> Response {
    status.into_http().map(|body| Either::Right(Either::Right(body)))
}

/// A function as tonic takes it.
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
