//! Stores the ring document in one field of a secret in KV version 2. The store's version is Vault's version number of
//! the secret; a swap names the version that it replaces.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use signet_api::{ErrorKind, Failure, Operation, ProviderError, Trials, Variables};
use signet_sealed::{RingStore, Stored, Swap, Version};

use crate::NAME;
use crate::check;
use crate::client::Client;
use crate::config::Reader;
use crate::kv::Secret;
use crate::names::path_problem;

/// Opens the store at `vault:<mount>/<path>`, the form of `SIGNET_STORE`. Nothing is sent yet.
///
/// # Errors
/// `InvalidConfig` with all problems of the variables and the location.
pub async fn store(variables: &Variables, location: &str) -> Result<Arc<dyn RingStore>, ProviderError> {
    let mut reader = Reader::new(variables);
    let place = location.strip_prefix("vault:").unwrap_or(location);
    let parts = place.split_once('/').filter(|_| path_problem(place).is_none());
    if parts.is_none() {
        let problem = path_problem(place).unwrap_or("must have a mount and a path below it");
        reader.problem(format!(
            "SIGNET_STORE is {location:?}; write vault:<mount>/<path>, such as vault:secret/signet. The text after \
             the colon {problem}"
        ));
    }
    let connection = reader.connection();
    match (parts, connection) {
        (Some((mount, path)), Some(connection)) if !reader.has_problems() => {
            let client = Client::new(connection)?;
            Ok(Arc::new(KvStore {
                secret: Secret::new(client.clone(), mount, path),
                client,
            }))
        }
        _ => Err(reader.into_error()),
    }
}

#[derive(Debug)]
struct KvStore {
    client: Client,
    secret: Secret,
}

#[derive(Serialize, Deserialize)]
struct Document {
    /// The ring document in base64.
    ring: String,
}

impl KvStore {
    fn damaged(&self, what: &str) -> Failure {
        let text = format!(
            "the field `ring` of {} {what}; restore the secret",
            self.secret.location()
        );
        Failure::new(ErrorKind::BadAnswer, text)
    }

    async fn loaded(&self) -> Result<Option<Stored>, Failure> {
        let Some(found) = self.secret.read::<Document>().await? else {
            return Ok(None);
        };
        let bytes = STANDARD.decode(&found.data.ring);
        Ok(Some(Stored {
            bytes: bytes.map_err(|_| self.damaged("is not base64"))?,
            version: Version::new(found.version.to_string()),
        }))
    }

    async fn swapped(&self, expected: Option<&Version>, bytes: &[u8]) -> Result<Swap, Failure> {
        let expected = match expected.map(|version| version.as_str().parse()) {
            None => None,
            Some(Ok(number)) => Some(number),
            Some(Err(_)) => return Err(self.damaged("has a version that another store made")),
        };
        let document = Document {
            ring: STANDARD.encode(bytes),
        };
        Ok(match self.secret.swap(expected, &document).await? {
            Some(version) => Swap::Stored(Version::new(version.to_string())),
            None => Swap::Lost,
        })
    }
}

#[async_trait]
impl RingStore for KvStore {
    fn location(&self) -> String {
        format!("{} at {}", self.secret.location(), self.client.address())
    }

    async fn load(&self) -> Result<Option<Stored>, ProviderError> {
        self.loaded().await.map_err(|failure| failure.at(NAME, Operation::List))
    }

    async fn compare_and_swap(&self, expected: Option<&Version>, bytes: &[u8]) -> Result<Swap, ProviderError> {
        let swapped = self.swapped(expected, bytes).await;
        swapped.map_err(|failure| failure.at(NAME, Operation::Create))
    }

    async fn check(&self, trials: &mut Trials) {
        check::store(&self.client, &self.secret, trials).await;
    }
}
