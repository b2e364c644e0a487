//! Sends the same request several times, and takes the first complete answer (`concurrent_calls`).

use futures_util::future::select_ok;
use http_body_util::Either;
use tokio::time::Instant;

use crate::failed::Failed;
use crate::plan::Endpoint;
use crate::upstream::RequestBody;

/// Calls as often as the endpoint says. The calls that lose are dropped, which ends their requests. If no answer is
/// complete, that of the last call counts.
///
/// Each of several calls has 75 % of the endpoint's time, as in KrakenD. Their body must be complete.
///
/// # Errors
/// [`Failed`], if no call gave an answer.
pub async fn race<T, F>(
    endpoint: &Endpoint,
    body: RequestBody,
    deadline: Instant,
    call: impl Fn(RequestBody, Instant) -> F,
    is_complete: impl Fn(&T) -> bool,
) -> Result<T, Failed>
where
    F: Future<Output = Result<T, Failed>>,
{
    let whole = match body {
        Either::Left(whole) if endpoint.calls > 1 => whole,
        body => return call(body, deadline).await,
    };
    let deadline = deadline.min(Instant::now() + endpoint.timeout * 75 / 100);
    let racing = (0..endpoint.calls).map(|_| {
        let asked = call(Either::Left(whole.clone()), deadline);
        let is_complete = &is_complete;
        Box::pin(async move {
            match asked.await {
                Ok(answer) if is_complete(&answer) => Ok(answer),
                lost => Err(lost),
            }
        })
    });
    match select_ok(racing).await {
        Ok((answer, _)) => Ok(answer),
        Err(last) => last,
    }
}
