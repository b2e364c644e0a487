//! The routes `POST /v1/verify` and `/v1/verify/batch`, and the function through which all routes call the verifier.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use signet_core::Timestamp;
use signet_core::verify::Refusal;
use signet_edge::{Problem, body};
use signet_verify::{Entry, Verdict};

use crate::answers::Answers;
use crate::http::Response;
use crate::problems;
use crate::routes::Service;
use crate::routes::asked::{Asked, Given};
use crate::routes::refused;
use crate::routes::sign::{items, join, object};

/// After this many tokens of a batch, other requests get a turn.
const TURN: usize = 4;
const EXPECTED: &str =
    r#"{"token":"…","audience":["…"],"issuer":["…"],"scope":"…","typ":"…"}, of which only token is required"#;

/// A token that is good for the caller, with encoded answers for it.
pub type Good = Arc<Entry<Answers>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerifyRequest<'a> {
    #[serde(borrow)]
    token: Cow<'a, str>,
    #[serde(default, borrow)]
    audience: Option<Texts<'a>>,
    #[serde(default, borrow)]
    issuer: Option<Texts<'a>>,
    #[serde(default, borrow)]
    scope: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    typ: Option<Cow<'a, str>>,
}

/// A string or a list of strings.
struct Texts<'a>(Vec<Text<'a>>);

/// A string that is borrowed from the request if it has no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Texts<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Texts<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of strings")
            }

            fn visit_borrowed_str<E>(self, one: &'de str) -> Result<Self::Value, E> {
                Ok(Texts(vec![Text(Cow::Borrowed(one))]))
            }

            fn visit_str<E>(self, one: &str) -> Result<Self::Value, E> {
                Ok(Texts(vec![Text(Cow::Owned(one.to_owned()))]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut many = Vec::with_capacity(1);
                while let Some(one) = seq.next_element()? {
                    many.push(one);
                }
                Ok(Texts(many))
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}

impl Service {
    /// Verifies one token.
    ///
    /// # Errors
    /// [`Problem`] if the request is malformed. A bad token is an answer, not a problem.
    pub fn verify(&self, request: &[u8]) -> Result<Response, Problem> {
        let now = self.clock.now();
        self.answer(request, now).map(body::json)
    }

    /// Verifies a batch. Each item is answered on its own.
    ///
    /// # Errors
    /// [`Problem`] if the batch as a whole is malformed.
    pub async fn verify_batch(&self, request: &[u8]) -> Result<Response, Problem> {
        let items = items(request)?;
        let mut answers = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            if index % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
            answers.push(
                self.answer(item.as_bytes(), self.clock.now())
                    .map(|answer| answer.to_vec()),
            );
        }
        Ok(join(answers))
    }

    fn answer(&self, request: &[u8], now: Timestamp) -> Result<Bytes, Problem> {
        let request: VerifyRequest<'_> = object(request, EXPECTED)?;
        let audience = request.audience.as_ref().map(texts);
        let issuer = request.issuer.as_ref().map(texts);
        let asked = Asked::new(Given {
            audience: audience.as_deref(),
            issuer: issuer.as_deref(),
            scope: request.scope.as_deref(),
            typ: request.typ.as_deref(),
        })?;
        Ok(match self.check(&request.token, asked, now)? {
            Ok(entry) => entry.kept.active(&entry.authentic).clone(),
            Err(refusal) => format!(
                r#"{{"active":false,"error":"{}","detail":"{refusal}"}}"#,
                refusal.code()
            )
            .into(),
        })
    }

    /// Checks that a token is good now, for this caller.
    ///
    /// # Errors
    /// [`Problem`] if the token cannot be judged: no audience is required or configured (RFC 8725 §3.9), the ring must
    /// be read first, or the keys of the issuer are not known.
    pub fn check(&self, token: &str, asked: Asked<'_>, now: Timestamp) -> Result<Result<Good, Refusal>, Problem> {
        if let Some(outage) = &self.published.at(now).asleep {
            return Err(problems::asleep(outage));
        }
        match self.verifier.check(token, &asked, now) {
            Verdict::Good(entry) => {
                self.metrics.accepted.inc();
                Ok(Ok(entry))
            }
            Verdict::Refused(refusal) => {
                self.metrics.on_refused(refusal.code());
                refused::log(token, refusal, &asked);
                Ok(Err(refusal))
            }
            Verdict::Undecided(why) => Err(problems::undecided(why)),
        }
    }
}

fn texts<'a>(texts: &'a Texts<'_>) -> Vec<&'a str> {
    texts.0.iter().map(|text| text.0.as_ref()).collect()
}
