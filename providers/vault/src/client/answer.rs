//! Answers of the server: a status, and a body that may contain a secret.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use signet_api::{ErrorKind, Failure};
use zeroize::Zeroizing;

use super::Call;
use crate::error::{GoneVersion, Refused};

/// An answer with its complete body.
pub(crate) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Zeroizing<Vec<u8>>,
}

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

/// KV version 2 answers 404 with the state of a deleted version, and without errors.
#[derive(Deserialize)]
struct Gone {
    metadata: GoneVersion,
}

#[derive(Deserialize)]
struct Errors {
    #[serde(default)]
    errors: Vec<String>,
}

impl Answer {
    pub(crate) const fn status(&self) -> u16 {
        self.status
    }

    /// The `data` of a success. `request` names the request in errors.
    pub(crate) fn data<T: DeserializeOwned>(&self, request: &str) -> Result<T, Failure> {
        Ok(self.json::<Data<T>>(request)?.data)
    }

    pub(super) fn json<T: DeserializeOwned>(&self, request: &str) -> Result<T, Failure> {
        // The parser's own text may quote the unexpected value.
        serde_json::from_slice(&self.body).map_err(|error| {
            let what = match error.classify() {
                Category::Data => "a member is missing or has the wrong type",
                Category::Eof => "the text ends too early",
                Category::Syntax | Category::Io => "the text is not JSON",
            };
            Failure::new(
                ErrorKind::BadAnswer,
                format!(
                    "{request} was answered {} with a body that is not in Vault's format ({what} at byte {} of \
                     {}). Check that the right kind of engine is mounted there, and that \
                     VAULT_ADDR is the address of Vault itself",
                    self.status,
                    error.column(),
                    self.body.len()
                ),
            )
        })
    }

    pub(super) fn or_refused(self, call: &Call<'_>) -> Result<Self, Refused> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        Err(self.refused(call))
    }

    pub(super) fn refused(&self, call: &Call<'_>) -> Refused {
        let errors = serde_json::from_slice::<Errors>(&self.body).map_or_else(|_| Vec::new(), |body| body.errors);
        Refused {
            request: call.name(),
            status: self.status,
            errors,
            gone: serde_json::from_slice::<Data<Gone>>(&self.body)
                .ok()
                .map(|body| body.data.metadata),
            retry_after: self.retry_after,
            grant: call.grant(),
        }
    }
}
