//! [`ObjectRing`]: the ring document in one object, replaced by conditional writes.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};
use signet_api::{ErrorKind, Operation, ProviderError, Trials, untrusted};
use signet_sealed::{LONGEST, RingStore, Stored, Swap, Version};

use crate::error::{Cause, NAME, Refusal, cause};
use crate::version::{decode, encode, impossible};

/// The time limit of a request. The client has its own limits; this one also covers the search for credentials.
const PATIENCE: Duration = Duration::from_secs(15);
/// The maximum number of characters of a policy in an error.
const LONGEST_GRANT: usize = 1200;

/// Policies in the vendor's own syntax that grant the two permissions, with all names filled in.
///
/// On S3, reading must include `s3:ListBucket` on the bucket. Without it, S3 answers 403 and not
/// 404 for a missing object.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    /// Grants the permission to read the object.
    pub read: Option<String>,
    /// Grants the permission to write the object.
    pub write: Option<String>,
}

/// A ring store in one object.
///
/// `load` and `compare_and_swap` make one request each. A process's first swap of each kind (creating the object,
/// replacing a version) makes one more, which proves that the store honours conditions.
pub struct ObjectRing {
    store: Arc<dyn ObjectStore>,
    path: Path,
    location: String,
    grants: Grants,
    /// The setting that names the certificate authorities to trust.
    authorities: &'static str,
    creates: Proof,
    updates: Proof,
}

/// What this process knows about a store's conditional writes of one kind.
#[derive(Debug, Default)]
struct Proof {
    honoured: AtomicBool,
    /// A store that has once ignored a condition is never written to again.
    ignored: AtomicBool,
}

#[derive(Clone, Copy)]
enum Access {
    Read,
    Write,
}

/// The result of a conditional write that did not fail.
enum Put {
    Stored(Version),
    Refused(Refusal),
}

impl ObjectRing {
    /// The ring in the object `key` of this store. `location` is the name for errors, such as `s3://bucket/key`.
    /// Nothing is read or written yet.
    ///
    /// # Errors
    /// `InvalidConfig` if `key` is not a valid key of an object.
    pub fn new(
        store: Arc<dyn ObjectStore>,
        key: &str,
        location: impl Into<String>,
        grants: Grants,
    ) -> Result<Self, ProviderError> {
        let location = location.into();
        let refuse = |what: String| {
            let text = format!("{location} cannot hold the ring: {what}. Correct SIGNET_STORE");
            ProviderError::new(NAME, Operation::Open, ErrorKind::InvalidConfig, text)
        };
        if key.is_empty() || key.starts_with('/') || key.ends_with('/') {
            return Err(refuse(format!("{key:?} is not the name of an object")));
        }
        let path = Path::parse(key).map_err(|error| refuse(error.to_string()))?;
        Ok(Self {
            store,
            path,
            location,
            grants,
            authorities: "SSL_CERT_FILE",
            creates: Proof::default(),
            updates: Proof::default(),
        })
    }

    /// Sets the setting for the certificates that the client trusts, if it is not `SSL_CERT_FILE`. Errors name it.
    #[must_use]
    pub const fn trusting(mut self, setting: &'static str) -> Self {
        self.authorities = setting;
        self
    }

    fn error(&self, kind: ErrorKind, text: impl Into<String>) -> ProviderError {
        ProviderError::new(NAME, Operation::Open, kind, text.into())
    }

    /// Makes the error for a failed request, with what to do.
    fn failed(&self, access: Access, cause: Cause) -> ProviderError {
        let (doing, grant) = match access {
            Access::Read => ("read", &self.grants.read),
            Access::Write => ("write", &self.grants.write),
        };
        let mut text = format!("cannot {doing} {} (SIGNET_STORE): {}", self.location, cause.what);
        if cause.kind == ErrorKind::PermissionDenied {
            text.push_str(&format!(". The credentials do not allow this process to {doing} it"));
            if let Some(grant) = grant {
                let line = grant.split_whitespace().collect::<Vec<_>>().join(" ");
                let line: String = line.chars().take(LONGEST_GRANT).collect();
                text.push_str(&format!("; to grant it: {line}"));
            }
        } else if let Some(advice) = untrusted(&cause.what, self.authorities) {
            text.push_str(&format!(". {advice}"));
            return self.error(cause.kind, text).in_no_hurry();
        } else if !cause.advice.is_empty() {
            text.push_str(&format!(". {}", cause.advice));
        }
        let mut error = self.error(cause.kind, text);
        error.retry_after = cause.retry_after;
        error
    }

    /// Carries out a request within its time limit.
    async fn within<T>(
        &self,
        access: Access,
        request: impl Future<Output = Result<T, ProviderError>> + Send,
    ) -> Result<T, ProviderError> {
        tokio::time::timeout(PATIENCE, request).await.unwrap_or_else(|_| {
            let what = format!(
                "no answer within {} s{}",
                PATIENCE.as_secs(),
                signet_base::proxies::on_the_way()
            );
            Err(self.failed(
                access,
                Cause {
                    kind: ErrorKind::TimedOut,
                    what,
                    advice: "Check that this machine can reach the store and the source of its credentials".into(),
                    retry_after: None,
                    refusal: Refusal::None,
                },
            ))
        })
    }

    fn version(&self, e_tag: Option<&str>, version: Option<&str>) -> Result<Version, ProviderError> {
        encode(e_tag, version).ok_or_else(|| {
            let text = format!(
                "the store of {} sends neither an entity tag nor a version of the object, so no write can be \
                 conditional. Set SIGNET_STORE to a store that sends one",
                self.location
            );
            self.error(ErrorKind::BadAnswer, text)
        })
    }

    fn too_long(&self) -> ProviderError {
        let text = format!(
            "the object {} is refused: it is longer than {LONGEST} bytes, so it is not a ring. Nothing was changed. \
             Restore the ring from a backup, or correct SIGNET_STORE",
            self.location
        );
        self.error(ErrorKind::BadAnswer, text)
    }

    async fn read(&self) -> Result<Option<Stored>, ProviderError> {
        let failed = |error: &object_store::Error| self.failed(Access::Read, cause(error));
        let answer = match self.store.get(&self.path).await {
            Ok(answer) => answer,
            Err(error) => {
                let cause = cause(&error);
                return match cause.refusal {
                    // A 404 without a code also means an empty ring. The first write shows whether the bucket exists.
                    Refusal::NoObject | Refusal::NoWhat => Ok(None),
                    _ => Err(self.failed(Access::Read, cause)),
                };
            }
        };
        let version = self.version(answer.meta.e_tag.as_deref(), answer.meta.version.as_deref())?;
        if answer.meta.size > LONGEST as u64 {
            return Err(self.too_long());
        }
        let announced = answer.meta.size;
        let mut bytes = Vec::with_capacity(usize::try_from(announced).unwrap_or(0));
        let mut stream = answer.into_stream();
        while let Some(part) = stream.next().await {
            let part = part.map_err(|error| failed(&error))?;
            if bytes.len() + part.len() > LONGEST {
                return Err(self.too_long());
            }
            bytes.extend_from_slice(&part);
        }
        if bytes.len() as u64 != announced {
            let text = format!(
                "reading {} was interrupted after {} of {announced} bytes",
                self.location,
                bytes.len()
            );
            return Err(self.error(ErrorKind::Unavailable, text));
        }
        Ok(Some(Stored { bytes, version }))
    }

    async fn put(&self, mode: PutMode, bytes: &Bytes) -> Result<Put, ProviderError> {
        let payload = PutPayload::from(bytes.clone());
        match self.store.put_opts(&self.path, payload, PutOptions::from(mode)).await {
            Ok(answer) => self
                .version(answer.e_tag.as_deref(), answer.version.as_deref())
                .map(Put::Stored),
            Err(error) => {
                let cause = cause(&error);
                match cause.refusal {
                    Refusal::None => Err(self.failed(Access::Write, cause)),
                    refusal => Ok(Put::Refused(refusal)),
                }
            }
        }
    }

    /// Creates the object, if it does not exist.
    async fn create(&self, bytes: &Bytes) -> Result<Swap, ProviderError> {
        let stored = match self.put(PutMode::Create, bytes).await? {
            Put::Stored(version) => version,
            Put::Refused(Refusal::NoObject | Refusal::NoWhat) => return Err(self.no_bucket()),
            Put::Refused(Refusal::Condition) => {
                self.creates.hold();
                return Ok(Swap::Lost);
            }
            Put::Refused(_) => return Ok(Swap::Lost),
        };
        if !self.creates.holds() {
            // The object exists now, so creating it again must fail. If the store allows it, the
            // content is at least the same.
            match self.put(PutMode::Create, bytes).await? {
                Put::Stored(_) => {
                    return Err(self.ignores(
                        &self.creates,
                        "to write only if the object does not exist, although it did",
                    ));
                }
                Put::Refused(Refusal::Condition) => self.creates.hold(),
                Put::Refused(_) => {}
            }
        }
        Ok(Swap::Stored(stored))
    }

    /// Replaces one version of the object.
    async fn update(&self, expected: &Version, bytes: &Bytes) -> Result<Swap, ProviderError> {
        if !self.updates.holds() && !self.refuses_the_impossible(bytes).await? {
            return Ok(Swap::Lost);
        }
        match self.put(PutMode::Update(decode(expected)), bytes).await? {
            Put::Stored(version) => Ok(Swap::Stored(version)),
            Put::Refused(Refusal::NoWhat) => Err(self.no_bucket()),
            Put::Refused(_) => Ok(Swap::Lost),
        }
    }

    /// Tries to replace a version that never existed. `false` means that the store was busy and proved nothing.
    ///
    /// If the store ignores the condition, these bytes are written, so they must be valid content.
    async fn refuses_the_impossible(&self, bytes: &Bytes) -> Result<bool, ProviderError> {
        match self.put(PutMode::Update(impossible()), bytes).await? {
            Put::Stored(_) => Err(self.ignores(&self.updates, "to replace only a version that never existed")),
            Put::Refused(Refusal::Condition | Refusal::NoObject) => {
                self.updates.hold();
                Ok(true)
            }
            Put::Refused(Refusal::NoWhat) => Err(self.no_bucket()),
            Put::Refused(_) => Ok(false),
        }
    }

    fn ignores(&self, proof: &Proof, asked: &str) -> ProviderError {
        proof.ignored.store(true, Ordering::SeqCst);
        self.unsafe_store(asked)
    }

    fn unsafe_store(&self, asked: &str) -> ProviderError {
        let text = format!(
            "the store of {} ignores the conditions of a write: asked {asked}, it still wrote. Replicas would \
             overwrite each other's ring and its revocations, so this process does not write to it \
             again. Set SIGNET_STORE to a store that supports conditional writes (If-Match and \
             If-None-Match)",
            self.location
        );
        self.error(ErrorKind::BadAnswer, text)
    }

    fn no_bucket(&self) -> ProviderError {
        let text = format!(
            "cannot write {}: the store answered that something does not exist, probably the bucket or container. \
             Create it, or correct SIGNET_STORE",
            self.location
        );
        self.error(ErrorKind::NotFound, text)
    }

    async fn swap(&self, expected: Option<&Version>, bytes: &Bytes) -> Result<Swap, ProviderError> {
        if self.creates.failed() || self.updates.failed() {
            return Err(self.unsafe_store("earlier to keep a condition"));
        }
        match expected {
            None => self.create(bytes).await,
            Some(version) => self.update(version, bytes).await,
        }
    }

    /// Tries to write without a change. `bytes` is the current content; empty if there is no object.
    async fn try_writing(&self, bytes: Bytes) -> Result<(), ProviderError> {
        if self.creates.failed() || self.updates.failed() {
            return Err(self.unsafe_store("earlier to keep a condition"));
        }
        // If the store ignored the condition, it has now created an empty object.
        let tried = self.refuses_the_impossible(&bytes).await;
        if tried.is_err() && self.updates.failed() && bytes.is_empty() {
            // Best effort: the error already says that the store ignores conditions.
            drop(self.store.delete(&self.path).await);
        }
        tried.map(|_| ())
    }
}

impl Proof {
    fn holds(&self) -> bool {
        self.honoured.load(Ordering::SeqCst)
    }

    fn hold(&self) {
        self.honoured.store(true, Ordering::SeqCst);
    }

    fn failed(&self) -> bool {
        self.ignored.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl RingStore for ObjectRing {
    fn location(&self) -> String {
        self.location.clone()
    }

    async fn load(&self) -> Result<Option<Stored>, ProviderError> {
        self.within(Access::Read, self.read()).await
    }

    async fn compare_and_swap(&self, expected: Option<&Version>, bytes: &[u8]) -> Result<Swap, ProviderError> {
        let bytes = Bytes::copy_from_slice(bytes);
        self.within(Access::Write, self.swap(expected, &bytes)).await
    }

    /// Tests reading with a read, and writing with a write to a version that never existed. The latter needs the
    /// permission and changes nothing.
    async fn check(&self, trials: &mut Trials) {
        let reading = format!("read the object {}", self.location);
        let read = trials
            .permission(
                reading,
                "publishing and verifying",
                self.grants.read.clone(),
                self.load(),
            )
            .await;
        let writing = format!("write the object {} conditionally", self.location);
        let needed_for = "creating, retiring and revoking keys";
        match read {
            Some(stored) => {
                let bytes = stored.map_or_else(Bytes::new, |stored| Bytes::from(stored.bytes));
                let tried = self.within(Access::Write, self.try_writing(bytes));
                trials
                    .property_of(writing, needed_for, self.grants.write.clone(), tried)
                    .await;
            }
            None => trials.not_tried(
                writing,
                needed_for,
                "the object cannot be read, and a trial write could overwrite the ring; correct the reading first",
            ),
        }
    }
}

impl fmt::Debug for ObjectRing {
    /// The client's `Debug` is not used, because it may show credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectRing({:?})", self.location)
    }
}
