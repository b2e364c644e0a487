//! The event streams of the local socket: the ring, and every key that this sidecar accepts.
//!
//! A stream holds one document. If its reader is slower than the changes, it gets the latest one and misses those in
//! between. If a reader reads nothing, its connection is closed like any other.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use serde::Deserialize;
use serde_json::json;
use signet_base::{Clock, rfc3339};
use signet_edge::Problem;
use signet_issuers::accepted::{HEARTBEAT_EVENT, KEYS_EVENT};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::sleep;
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::CancellationToken;
use warp::sse::Event;
use warp::{Filter as _, Rejection, Reply as _};

use crate::filters::refusal;
use crate::routes::Service;
use crate::routes::head::read;
use crate::routes::sign::object;

/// The maximum number of event streams. Connections with event streams count as working, so they
/// are never closed for others.
const EVENT_STREAMS: usize = 256;
/// The time between two heartbeats. Readers are promised one every 5 s, and this leaves time for a busy machine.
const HEARTBEAT: Duration = Duration::from_secs(3);

/// The routes of both streams. They share the limit on their number.
pub fn routes(
    service: &Arc<Service>,
    shutdown: CancellationToken,
) -> impl warp::Filter<Extract = (warp::reply::Response,), Error = Rejection> + Clone + use<> {
    let places = Arc::new(Semaphore::new(EVENT_STREAMS));
    let ring = warp::path!("v1" / "ring" / "events").and(read()).map({
        let (service, places, shutdown) = (Arc::clone(service), Arc::clone(&places), shutdown.clone());
        move || match place(&places) {
            Ok(place) => {
                let changes = documents("ring", service.published.follow(), place);
                let changes = changes.take_until(shutdown.clone().cancelled_owned());
                warp::sse::reply(warp::sse::keep_alive().stream(changes)).into_response()
            }
            Err(problem) => refusal(problem),
        }
    });
    let keys = warp::path!("v1" / "keys" / "events").and(read()).map({
        let service = Arc::clone(service);
        move || match place(&places) {
            Ok(place) => {
                let changes = documents(KEYS_EVENT, service.accepted_keys.follow(), place);
                let events = stream::select(changes, heartbeats(Arc::clone(&service.clock)));
                warp::sse::reply(events.take_until(shutdown.clone().cancelled_owned())).into_response()
            }
            Err(problem) => refusal(problem),
        }
    });
    ring.or(keys).unify()
}

fn place(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Problem> {
    Arc::clone(places).try_acquire_owned().map_err(|_| {
        let detail = format!("{EVENT_STREAMS} event streams are open, which is the limit; close some of them");
        Problem::overloaded(detail)
    })
}

/// The document at once, and again after each change.
fn documents(
    name: &'static str,
    followed: watch::Receiver<Bytes>,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> + use<> {
    WatchStream::new(followed).map(move |document: Bytes| {
        let _for_as_long = &place;
        Ok(Event::default().event(name).data(String::from_utf8_lossy(&document)))
    })
}

fn heartbeats(clock: Arc<dyn Clock>) -> impl Stream<Item = Result<Event, Infallible>> + use<> {
    stream::unfold(clock, |clock| async {
        sleep(HEARTBEAT).await;
        let data = json!({ "now": rfc3339(clock.now()) });
        let event = Event::default().event(HEARTBEAT_EVENT).data(data.to_string());
        Some((Ok(event), clock))
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UnknownKeyRequest {
    issuer: String,
}

impl Service {
    /// Handles a report from a gateway that verifies tokens itself: a token of this issuer names an unknown key. It has
    /// the same effect as such a token in a request to this sidecar: an early reading, at most one per cool-down.
    ///
    /// # Errors
    /// [`Problem`] if the body is malformed, or no tokens of the issuer are accepted.
    pub fn on_unknown_key(&self, body: &[u8]) -> Result<(), Problem> {
        let request: UnknownKeyRequest = object(body, r#"{"issuer":"https://login.example.com/"}"#)?;
        match self.verifier.on_unknown_key(&request.issuer) {
            true => Ok(()),
            false => Err(Problem::request(
                "invalid_request",
                "tokens of this issuer are not accepted; the accepted issuers are those in GET /v1/keys/events",
            )),
        }
    }
}
