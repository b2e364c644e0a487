//! A secret in KV version 2 that is changed only by check-and-set.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use signet_api::{ErrorKind, Failure};

use crate::client::{Call, Client};
use crate::mount;

/// A secret at a path of a mount.
#[derive(Clone, Debug)]
pub(crate) struct Secret {
    client: Client,
    mount: String,
    path: String,
    data_path: String,
}

/// The content of a secret, with the number of its version in Vault.
#[derive(Debug)]
pub(crate) struct Versioned<T> {
    pub(crate) data: T,
    pub(crate) version: u64,
}

#[derive(Deserialize)]
struct KvAnswer<T> {
    data: T,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    version: u64,
}

#[derive(Serialize)]
struct Written<'a, T> {
    options: Options,
    data: &'a T,
}

#[derive(Serialize)]
struct Options {
    cas: u64,
}

impl Secret {
    pub(crate) fn new(client: Client, mount: &str, path: &str) -> Self {
        Self {
            client,
            mount: mount.to_owned(),
            path: path.to_owned(),
            data_path: format!("{mount}/data/{path}"),
        }
    }

    /// The mount of the secret.
    pub(crate) fn mount(&self) -> &str {
        &self.mount
    }

    /// The API path of the secret. Policies use it, too.
    pub(crate) fn data_path(&self) -> &str {
        &self.data_path
    }

    /// The location `mount/path`, as Vault's command line takes it.
    pub(crate) fn location(&self) -> String {
        format!("{}/{}", self.mount, self.path)
    }

    /// Reads the newest version. `None` if there never was one.
    pub(crate) async fn read<T: DeserializeOwned>(&self) -> Result<Option<Versioned<T>>, Failure> {
        let call = Call::get(&self.data_path);
        let refused = match self.client.call(call).await? {
            Ok(answer) => {
                let found: KvAnswer<T> = answer.data(&format!("GET {}", self.data_path))?;
                return Ok(Some(Versioned {
                    data: found.data,
                    version: found.metadata.version,
                }));
            }
            Err(refused) => refused,
        };
        match refused.gone {
            Some(gone) if refused.status == 404 => Err(self.deleted(gone.version, gone.destroyed)),
            _ if refused.status == 404 && refused.errors.iter().all(String::is_empty) => Ok(None),
            _ => Err(refused.into()),
        }
    }

    /// Replaces the version `expected`, or writes the first. `None` if another writer was first.
    pub(crate) async fn swap(&self, expected: Option<u64>, data: &impl Serialize) -> Result<Option<u64>, Failure> {
        if expected.is_none() {
            // Version 1 of the engine would store the request unconditionally.
            mount::expect_kv_2(&self.client, &self.mount, &self.data_path).await?;
        }
        let body = Written {
            options: Options {
                cas: expected.unwrap_or(0),
            },
            data,
        };
        let call = Call::post(&self.data_path, &body)?.needing("\"create\", \"update\"");
        match self.client.call(call).await? {
            Ok(answer) => {
                let stored: Metadata = answer.data(&format!("POST {}", self.data_path))?;
                Ok(Some(stored.version))
            }
            Err(refused) if refused.says("check-and-set parameter did not match") => Ok(None),
            Err(refused) => Err(refused.into()),
        }
    }

    fn deleted(&self, version: u64, destroyed: bool) -> Failure {
        let (what, remedy) = if destroyed {
            (
                "destroyed",
                format!(
                    "restore an older version with `vault kv rollback -version=<n> {0}`, then repeat every later \
                     revocation (`signet keys revoke`), because that version lacks them. If you \
                     want a new ring instead, run `vault kv metadata delete {0}`: every token of \
                     this ring is then refused",
                    self.location()
                ),
            )
        } else {
            (
                "deleted",
                format!(
                    "restore it with `vault kv undelete -versions={version} {}`",
                    self.location()
                ),
            )
        };
        Failure::new(
            ErrorKind::BadAnswer,
            format!(
                "version {version} of {}, which Signet's ring needs, was {what}. No new ring is created: {remedy}",
                self.location()
            ),
        )
    }
}
