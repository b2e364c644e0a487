//! Uses `warp` filters on connections that our own listeners accept. They route all requests except those that a
//! gateway sends for each of its own requests.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http::header::CONTENT_TYPE;
use http_body_util::Either;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use signet_edge::Problem;
use signet_edge::body::Arriving;
use warp::filters::BoxedFilter;
use warp::{Filter as _, Reply as _};

use crate::http::{Response, Streamed};

/// The filters of a listener. They are boxed, because `warp` does not name the type of its service.
pub type Filters = Arc<dyn Fn(Request<Arriving>) -> Pin<Box<dyn Future<Output = Response> + Send>> + Send + Sync>;

/// Makes a service of a listener's filters. A request that no filter takes gets a problem document.
#[must_use]
pub fn into_filters(routes: BoxedFilter<(warp::reply::Response,)>) -> Filters {
    let service = TowerToHyperService::new(warp::service(routes.recover(refused).unify().boxed()));
    Arc::new(move |request| {
        let answer = service.call(request);
        Box::pin(async move {
            match answer.await {
                Ok(response) => response.map(|body| Either::Right(Either::Left(body))),
                Err(never) => match never {},
            }
        })
    })
}

async fn refused(rejection: warp::Rejection) -> Result<warp::reply::Response, Infallible> {
    let problem = if rejection.is_not_found() {
        Problem::not_found(
            "this listener does not have this path; docs/architecture.md lists the paths of each listener",
        )
    } else if rejection.find::<warp::reject::MethodNotAllowed>().is_some() {
        Problem::method_not_allowed("GET, HEAD")
    } else {
        Problem::request("invalid_request", "this path does not accept this request")
    };
    Ok(refusal(problem))
}

/// A problem document as the reply of a filter.
#[must_use]
pub fn refusal(problem: Problem) -> warp::reply::Response {
    let body = problem.to_json();
    let (parts, _) = problem.into_response::<Streamed>().into_parts();
    http::Response::from_parts(parts, body.into())
}

/// JSON as the reply of a filter.
pub fn json(body: Bytes) -> warp::reply::Response {
    warp::reply::with_header(
        warp::reply::Response::new(body.into()),
        CONTENT_TYPE,
        "application/json",
    )
    .into_response()
}
