//! A provider for tests whose calls fail, take long or return wrong answers, as scripted.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use signet_api::{
    Capabilities, ErrorKind, ExpiredKeys, KeyProvider, NewKey, Operation, ProviderError, Trials, async_trait,
};
use signet_core::algorithm::RsaBits;
use signet_core::signing_key::Signature;
use signet_core::{Algorithm, KeyRecord, Kid, Revocation, SigningKey, Timestamp};
use tokio::time::sleep;

/// What happens to one call of a [`FaultyProvider`]. A fault that does not apply to the call has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call succeeds.
    None,
    /// The call fails with this kind and has no effect. For providers that are down, expired credentials, and keys
    /// that are not visible yet.
    Fails(ErrorKind),
    /// The call is throttled, with this time to wait.
    Throttled(Duration),
    /// The call is carried out after this time.
    Slow(Duration),
    /// The call is carried out, and the answer takes this time.
    SlowAnswer(Duration),
    /// The call never ends.
    Hangs,
    /// The call is carried out, but its answer is lost.
    AnswerLost,
    /// The answer of `list` lacks the newest key.
    NewestMissing,
    /// The answer of `list` lacks the oldest key.
    OldestMissing,
    /// `sign` returns the signature of another key with the same algorithm.
    ForeignSignature,
    /// `sign` returns a signature with one wrong bit.
    BrokenSignature,
    /// `unseal` returns another private key for the same algorithm.
    ForeignPrivateKey,
    /// `list` returns another public key in the record of the oldest key.
    KeyExchanged,
    /// `list` returns another creation time for the oldest key.
    CreationMoved,
    /// `list` returns other terms for the oldest key.
    TermsChanged,
    /// `list` returns no revocations.
    MarksRemoved,
    /// `list` returns the oldest key twice.
    ListedTwice,
    /// `create` returns the key that needs a successor.
    PredecessorAgain,
    /// `create` makes a key for another algorithm.
    WrongAlgorithm,
}

/// Passes calls on to another provider, with the faults of a script. Each operation has its own script, with one line
/// per call; without a next line, the call succeeds. `check` and `prune` have no faults.
#[derive(Clone, Debug)]
pub struct FaultyProvider {
    inner: Arc<dyn KeyProvider>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    scripts: BTreeMap<&'static str, VecDeque<Fault>>,
    calls: BTreeMap<&'static str, usize>,
    ahead: Duration,
    behind: Duration,
}

impl FaultyProvider {
    /// A provider with empty scripts.
    #[must_use]
    pub fn new(inner: Arc<dyn KeyProvider>) -> Self {
        Self {
            inner,
            state: Arc::default(),
        }
    }

    /// Appends to the script of one operation: one fault for each call, in order.
    pub fn script(&self, operation: Operation, faults: impl IntoIterator<Item = Fault>) {
        let mut state = self.state();
        state.scripts.entry(operation.as_str()).or_default().extend(faults);
    }

    /// Clears all scripts.
    pub fn heal(&self) {
        self.state().scripts.clear();
    }

    /// From now on, all creation times that this provider returns are later by this much.
    pub fn set_clock_ahead(&self, by: Duration) {
        self.state().ahead = by;
    }

    /// From now on, all creation times that this provider returns are earlier by this much.
    pub fn set_clock_behind(&self, by: Duration) {
        self.state().behind = by;
    }

    /// The number of calls of this operation so far.
    #[must_use]
    pub fn calls(&self, operation: Operation) -> usize {
        self.state().calls.get(operation.as_str()).copied().unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// The next fault of the script, after its delay.
    async fn begin(&self, operation: Operation) -> Result<Fault, ProviderError> {
        let fault = {
            let mut state = self.state();
            *state.calls.entry(operation.as_str()).or_default() += 1;
            let script = state.scripts.get_mut(operation.as_str());
            script.and_then(VecDeque::pop_front).unwrap_or(Fault::None)
        };
        match fault {
            Fault::Fails(kind) => Err(self.error(operation, kind, "the script says that this call fails")),
            Fault::Throttled(span) => {
                let mut error = self.error(operation, ErrorKind::Throttled, "the script asks for fewer calls");
                error.retry_after = Some(span);
                Err(error)
            }
            Fault::Slow(span) => {
                sleep(span).await;
                Ok(Fault::None)
            }
            Fault::Hangs => std::future::pending().await,
            fault => Ok(fault),
        }
    }

    async fn end<T>(&self, operation: Operation, fault: Fault, answer: T) -> Result<T, ProviderError> {
        match fault {
            Fault::AnswerLost => Err(self.error(
                operation,
                ErrorKind::Unavailable,
                "the script says that this answer is lost",
            )),
            Fault::SlowAnswer(span) => {
                sleep(span).await;
                Ok(answer)
            }
            _ => Ok(answer),
        }
    }

    fn error(&self, operation: Operation, kind: ErrorKind, text: &str) -> ProviderError {
        ProviderError::new(self.capabilities().provider, operation, kind, text)
    }

    /// The record as a provider with a wrong clock returns it.
    fn with_wrong_clock(&self, mut key: KeyRecord) -> KeyRecord {
        let state = self.state();
        key.created_at = key.created_at.plus(state.ahead).minus(state.behind);
        key
    }
}

fn foreign_key(algorithm: Algorithm) -> SigningKey {
    SigningKey::generate(algorithm, RsaBits::B2048).expect("a key")
}

fn distort(fault: Fault, keys: &mut Vec<KeyRecord>) {
    keys.sort_by(KeyRecord::creation_order);
    if fault == Fault::NewestMissing {
        keys.pop();
    }
    if fault == Fault::OldestMissing && !keys.is_empty() {
        keys.remove(0);
    }
    if fault == Fault::MarksRemoved {
        keys.iter_mut().for_each(|key| key.revoked = None);
    }
    let Some(oldest) = keys.first_mut() else { return };
    match fault {
        Fault::KeyExchanged => {
            oldest.public = foreign_key(oldest.public.algorithm()).verifying_key().clone();
        }
        Fault::CreationMoved => oldest.created_at = Timestamp::from_millis(oldest.created_at.as_millis() + 1),
        Fault::TermsChanged => {
            oldest.terms = oldest.terms.map(|mut terms| {
                terms.lead /= 2;
                terms
            });
        }
        Fault::ListedTwice => {
            let oldest = oldest.clone();
            keys.push(oldest);
        }
        _ => {}
    }
}

#[async_trait]
impl KeyProvider for FaultyProvider {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn list(&self) -> Result<Vec<KeyRecord>, ProviderError> {
        let fault = self.begin(Operation::List).await?;
        let mut keys = self.inner.list().await?;
        distort(fault, &mut keys);
        let keys = keys.into_iter().map(|key| self.with_wrong_clock(key)).collect();
        self.end(Operation::List, fault, keys).await
    }

    async fn create(&self, new: &NewKey) -> Result<KeyRecord, ProviderError> {
        let fault = self.begin(Operation::Create).await?;
        let mut new = new.clone();
        match fault {
            Fault::PredecessorAgain => {
                let keys = self.inner.list().await?;
                let predecessor = keys
                    .into_iter()
                    .find(|key| Some(key.kid()) == new.successor_of.as_ref());
                if let Some(predecessor) = predecessor {
                    return Ok(predecessor);
                }
            }
            Fault::WrongAlgorithm => {
                let declared = self.capabilities().algorithms.iter();
                let other = declared
                    .copied()
                    .find(|other| other.key_type() != new.algorithm.key_type());
                new.algorithm = other.unwrap_or(new.algorithm);
            }
            _ => {}
        }
        let key = self.inner.create(&new).await?;
        self.end(Operation::Create, fault, self.with_wrong_clock(key)).await
    }

    async fn sign(&self, kid: &Kid, message: &[u8]) -> Result<Signature, ProviderError> {
        let fault = self.begin(Operation::Sign).await?;
        let signature = self.inner.sign(kid, message).await?;
        let signature = match fault {
            Fault::ForeignSignature => {
                let keys = self.inner.list().await?;
                let key = keys.iter().find(|key| key.kid() == kid).expect("it signed");
                foreign_key(key.public.algorithm()).sign(message).expect("signed")
            }
            Fault::BrokenSignature => {
                let mut octets = signature.as_ref().to_vec();
                octets[0] ^= 1;
                Signature::from_jws(octets)
            }
            _ => signature,
        };
        self.end(Operation::Sign, fault, signature).await
    }

    async fn unseal(&self, kid: &Kid) -> Result<Option<SigningKey>, ProviderError> {
        let fault = self.begin(Operation::Unseal).await?;
        let unsealed = self.inner.unseal(kid).await?;
        let unsealed = match fault {
            Fault::ForeignPrivateKey => unsealed.map(|key| foreign_key(key.verifying_key().algorithm())),
            _ => unsealed,
        };
        self.end(Operation::Unseal, fault, unsealed).await
    }

    async fn retire(&self, kid: &Kid, action: ExpiredKeys) -> Result<(), ProviderError> {
        let fault = self.begin(Operation::Retire).await?;
        let retired = self.inner.retire(kid, action).await?;
        self.end(Operation::Retire, fault, retired).await
    }

    async fn revoke(&self, kid: &Kid, revocation: &Revocation) -> Result<(), ProviderError> {
        let fault = self.begin(Operation::Revoke).await?;
        let revoked = self.inner.revoke(kid, revocation).await?;
        self.end(Operation::Revoke, fault, revoked).await
    }

    async fn check(&self, trials: &mut Trials) {
        self.inner.check(trials).await;
    }

    async fn prune(&self) -> Result<Vec<String>, ProviderError> {
        self.inner.prune().await
    }
}
