//! The routes `POST /v1/sign` and `/v1/sign/batch`.

use std::fmt::Write as _;

use arc_swap::Guard;
use futures_util::TryStreamExt as _;
use futures_util::stream::FuturesOrdered;
use serde::Deserialize;
use serde_json::value::RawValue;
use signet_base::LogLimit;
use signet_core::mint::{SignRequest, Unsigned};
use signet_core::signing_key::{Signature, SigningKeyError};
use signet_edge::{Problem, body};

use crate::http::Response;
use crate::problems;
use crate::routes::Service;
use crate::signing::{NotSigned, QueueFull};
use crate::snapshot::{Signer, Signs};
use crate::unique;

/// The maximum number of items in a batch.
pub const MOST_ITEMS: usize = 1024;
/// After this many fast signatures, other requests get a turn.
const TURN: usize = 8;

type Answers = Vec<Result<Vec<u8>, Problem>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch<'a> {
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
}

/// The items of a batch, in order.
///
/// # Errors
/// [`Problem`] if the body is not `{"items":[…]}`, or has no items or too many.
pub fn items(body: &[u8]) -> Result<Vec<&str>, Problem> {
    let batch: Batch<'_> = object(body, r#"{"items":[…]}"#)?;
    if batch.items.is_empty() || batch.items.len() > MOST_ITEMS {
        let detail = format!(
            "items: the batch has {}, but 1 to {MOST_ITEMS} are allowed",
            batch.items.len()
        );
        return Err(Problem::request("invalid_batch", detail));
    }
    Ok(batch.items.into_iter().map(RawValue::get).collect())
}

/// Parses the members of a request. Unlike serde, it does not accept an array with the members in order.
///
/// # Errors
/// [`Problem`] if the body does not have the expected form.
pub fn object<'a, T: Deserialize<'a>>(body: &'a [u8], expected: &str) -> Result<T, Problem> {
    let request = serde_json::from_slice(body).map_err(|error| malformed(&error, expected))?;
    if body.trim_ascii_start().starts_with(b"{") {
        Ok(request)
    } else {
        Err(Problem::request(
            "invalid_request",
            format!("the body is not a JSON object; expected {expected}"),
        ))
    }
}

/// The problem of a body that is not the expected JSON.
///
/// serde's own text may quote the body, which may contain a token. Therefore only the kind of fault and
/// its position are reported.
fn malformed(error: &serde_json::Error, expected: &str) -> Problem {
    let place = format!("line {}, column {}", error.line(), error.column());
    let what = match error.classify() {
        serde_json::error::Category::Data => "a member is unknown, missing, duplicate or of the wrong type",
        _ => "the body is not JSON",
    };
    Problem::request("invalid_request", format!("{what}, at {place}; expected {expected}"))
}

const EXPECTED: &str = r#"{"claims":{…},"ttl":300,"typ":"at+jwt"}, of which ttl and typ may be left out"#;

impl Service {
    /// Signs one token.
    ///
    /// # Errors
    /// [`Problem`] if the request is refused or no key can sign.
    pub async fn sign(&self, request: &[u8]) -> Result<Response, Problem> {
        let snapshot = Guard::into_inner(self.published.at(self.clock.now()));
        let signer = snapshot.signer.as_ref().map_err(problems::signing_unavailable)?;
        let answer = self.sign_one(signer, request).await.map_err(overloaded)??;
        self.metrics.signed.inc();
        Ok(body::json(answer))
    }

    /// Signs a batch. Each item succeeds or fails on its own.
    ///
    /// # Errors
    /// [`Problem`] if the batch as a whole is malformed, or no key can sign.
    pub async fn sign_batch(&self, request: &[u8]) -> Result<Response, Problem> {
        let items = items(request)?;
        let snapshot = Guard::into_inner(self.published.at(self.clock.now()));
        let signer = snapshot.signer.as_ref().map_err(problems::signing_unavailable)?;
        let answers = match signer.signs {
            Signs::Here(_) => self.sign_in_turns(signer, items).await?,
            Signs::Remote => self.sign_at_once(signer, items).await?,
        };
        for answer in &answers {
            match answer {
                Ok(_) => self.metrics.signed.inc(),
                Err(problem) => self.metrics.on_refused_to_sign(problem.code()),
            };
        }
        Ok(join(answers))
    }

    /// Signs one item after another, because this thread computes the signatures and other requests wait for it.
    async fn sign_in_turns(&self, signer: &Signer, items: Vec<&str>) -> Result<Answers, Problem> {
        let mut answers = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            if index % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
            let answer = self.sign_one(signer, item.as_bytes()).await;
            answers.push(answer.map_err(overloaded)?);
        }
        Ok(answers)
    }

    /// Signs all items at the same time. They wait for the provider, which limits how many run at once.
    async fn sign_at_once(&self, signer: &Signer, items: Vec<&str>) -> Result<Answers, Problem> {
        let mut waiting = FuturesOrdered::new();
        for item in items {
            waiting.push_back(self.sign_one(signer, item.as_bytes()));
        }
        waiting.try_collect().await.map_err(overloaded)
    }

    /// The answer to one item. Each item waits separately for a slow signature, so a batch never occupies
    /// a thread that others need.
    async fn sign_one(&self, signer: &Signer, item: &[u8]) -> Result<Result<Vec<u8>, Problem>, QueueFull> {
        let unsigned = match self.unsigned(signer, item) {
            Ok(unsigned) => unsigned,
            Err(problem) => return Ok(Err(problem)),
        };
        match self.signing.sign(signer, unsigned).await {
            Ok((unsigned, signature)) => Ok(Ok(finish(signer, unsigned, &signature))),
            Err(NotSigned::QueueFull(full)) => Err(full),
            Err(NotSigned::TooLong { length, longest }) => Ok(Err(too_long(signer, length, longest))),
            Err(NotSigned::Provider(error)) => Ok(Err(problems::not_signed(&error))),
            Err(NotSigned::Library(error)) => Ok(Err(broken(&error))),
        }
    }

    fn unsigned(&self, signer: &Signer, request: &[u8]) -> Result<Unsigned, Problem> {
        let request: SignRequest<'_> = object(request, EXPECTED)?;
        let unique = unique::octets().map_err(|_| broken(&SigningKeyError::Library))?;
        let now = self.clock.now();
        let minted = self
            .template
            .mint(&request, &signer.headers, signer.longest_at(now), now, unique);
        minted.map_err(problems::not_minted)
    }
}

fn overloaded(full: QueueFull) -> Problem {
    Problem::overloaded(full.to_string())
}

/// The answer: `{"token":…,"kid":…,"exp":…}`, with `ttl_capped_to` if the lifetime is shorter than requested. Base64url
/// and digits need no escapes.
fn finish(signer: &Signer, unsigned: Unsigned, signature: &Signature) -> Vec<u8> {
    let (expires_at, capped_to) = (unsigned.expires_at(), unsigned.capped_to());
    let token = unsigned.finish(signature.as_ref());
    let mut answer = String::with_capacity(token.len() + 128);
    answer.push_str(r#"{"token":""#);
    answer.push_str(&token);
    answer.push_str(r#"","kid":""#);
    answer.push_str(signer.public.kid().as_str());
    // Writing to a `String` cannot fail.
    let _ = write!(answer, r#"","exp":{expires_at}"#);
    if let Some(seconds) = capped_to {
        let _ = write!(answer, r#","ttl_capped_to":{seconds}"#);
    }
    answer.push('}');
    answer.into_bytes()
}

fn too_long(signer: &Signer, length: usize, longest: usize) -> Problem {
    let detail = format!(
        "header and claims have {length} bytes, but the provider signs at most {longest} with {}; send fewer claims, \
         or use another SIGNET_ALGORITHM or SIGNET_CUSTODY=sealed",
        signer.public.algorithm()
    );
    Problem::request("token_too_long", detail)
}

fn broken(error: &SigningKeyError) -> Problem {
    static LOGGED: LogLimit<()> = LogLimit::new();
    if let Some(held_back) = LOGGED.may_log(()) {
        tracing::error!(%error, held_back, "a signature could not be computed");
    }
    Problem::new(
        http::StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "Internal error",
        "the cryptographic library failed; the log has the error",
    )
}

/// The answer to a batch: `{"items":[…]}` with answers and problems, in order.
pub fn join(answers: Vec<Result<Vec<u8>, Problem>>) -> Response {
    let length: usize = answers
        .iter()
        .map(|answer| answer.as_ref().map_or(512, Vec::len) + 1)
        .sum();
    let mut joined = Vec::with_capacity(length + 16);
    joined.extend(br#"{"items":["#);
    for (index, answer) in answers.into_iter().enumerate() {
        if index > 0 {
            joined.push(b',');
        }
        joined.extend(answer.unwrap_or_else(|problem| problem.to_json()));
    }
    joined.extend(b"]}");
    body::json(joined)
}
