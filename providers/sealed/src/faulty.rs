//! A store with scripted faults, for tests and simulations.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use signet_api::{ErrorKind, Operation, ProviderError, Trials};

use crate::store::{RingStore, Stored, Swap, Version};

/// What happens to one call of a [`FaultyStore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call succeeds.
    None,
    /// The call fails with this kind and has no effect.
    Fails(ErrorKind),
    /// The call is carried out, but its answer is lost.
    AnswerLost,
    /// A swap loses although nobody else wrote. A load succeeds.
    Loses,
}

/// Passes calls on to another store, with the faults of a script. Without a next line in the script, the call succeeds.
#[derive(Clone, Debug)]
pub struct FaultyStore<R> {
    inner: R,
    script: Arc<Mutex<VecDeque<Fault>>>,
}

impl<R> FaultyStore<R> {
    /// A store with an empty script.
    #[must_use]
    pub fn new(inner: R) -> Self {
        Self {
            inner,
            script: Arc::default(),
        }
    }

    /// Appends to the script: one fault for each call of `load` and `compare_and_swap`, in order.
    pub fn script(&self, faults: impl IntoIterator<Item = Fault>) {
        self.script.lock().extend(faults);
    }

    fn next(&self) -> Fault {
        self.script.lock().pop_front().unwrap_or(Fault::None)
    }
}

fn scripted(kind: ErrorKind, text: &str) -> ProviderError {
    ProviderError::new("faulty", Operation::Check, kind, text)
}

#[async_trait]
impl<R: RingStore> RingStore for FaultyStore<R> {
    fn location(&self) -> String {
        self.inner.location()
    }

    async fn load(&self) -> Result<Option<Stored>, ProviderError> {
        match self.next() {
            Fault::Fails(kind) => Err(scripted(kind, "the script says that this load fails")),
            Fault::AnswerLost => Err(scripted(
                ErrorKind::TimedOut,
                "the script says that this answer is lost",
            )),
            Fault::None | Fault::Loses => self.inner.load().await,
        }
    }

    async fn compare_and_swap(&self, expected: Option<&Version>, bytes: &[u8]) -> Result<Swap, ProviderError> {
        match self.next() {
            Fault::Fails(kind) => Err(scripted(kind, "the script says that this swap fails")),
            Fault::AnswerLost => {
                self.inner.compare_and_swap(expected, bytes).await?;
                Err(scripted(
                    ErrorKind::TimedOut,
                    "the script says that this answer is lost",
                ))
            }
            Fault::Loses => Ok(Swap::Lost),
            Fault::None => self.inner.compare_and_swap(expected, bytes).await,
        }
    }

    async fn check(&self, trials: &mut Trials) {
        self.inner.check(trials).await;
    }
}
