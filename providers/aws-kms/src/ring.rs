//! Reading a ring: which aliases are its, which keys they name, and what those say of themselves.
//!
//! A reading is one `ListAliases` for each hundred aliases of the account, and one `DescribeKey` for each key of the
//! ring: state, terms and revocation come in that one answer. Public keys never change and are fetched once.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use signet_api::{Clock, ErrorKind, Operation, ProviderError};
use signet_core::public_key::PublicKey;
use signet_core::{Algorithm, KeyRecord, KeyState, Kid, Timestamp, VerifyingKey};

use crate::client::{Alias, Client, Described, State};
use crate::error::{Call, Failure};
use crate::label::Label;

/// So many keys are asked for at once.
pub(crate) const AT_ONCE: usize = 8;
/// What was made a moment ago may not be found yet: AWS says "a few seconds", others saw a minute. What these do not
/// cover is tried again by whoever called, and found then.
pub(crate) const SETTLING: [u64; 5] = [50, 100, 200, 400, 800];
/// So long a key that this process made is listed though KMS does not show its alias.
const REMEMBERED: Duration = Duration::from_secs(300);

/// The ring of one name.
pub(crate) struct Ring {
    pub(crate) name: String,
    pub(crate) client: Client,
    pub(crate) clock: Arc<dyn Clock>,
    /// By ARN, for good.
    public: Mutex<HashMap<String, VerifyingKey>>,
    /// What the last reading saw, for `sign`.
    held: Mutex<HashMap<Kid, Held>>,
    made: Mutex<Vec<(Alias, Timestamp)>>,
}

/// What `sign` needs to know of a key.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) arn: String,
    pub(crate) alias: String,
    pub(crate) algorithm: Algorithm,
    pub(crate) disabled: bool,
    pub(crate) revoked: bool,
}

/// A key of the ring.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) record: KeyRecord,
    pub(crate) alias: String,
    pub(crate) key: Described,
}

/// A ring as it was read.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) members: Vec<Member>,
    /// Aliases of the ring whose keys are being deleted.
    pub(crate) leaving: Vec<String>,
    /// The highest number that an alias has, whatever became of its key; zero without any.
    pub(crate) last_sequence: u64,
    /// Every key id of the account that an alias names.
    pub(crate) named: Vec<String>,
}

impl Reading {
    pub(crate) fn newest(&self) -> Option<&Member> {
        signet_core::ring::in_order_by(&self.members, |member| &member.record).pop()
    }
}

impl Ring {
    pub(crate) fn new(name: String, client: Client, clock: Arc<dyn Clock>) -> Self {
        Self {
            name,
            client,
            clock,
            public: Mutex::default(),
            held: Mutex::default(),
            made: Mutex::default(),
        }
    }

    pub(crate) fn alias(&self, sequence: u64) -> String {
        format!("alias/{}/{sequence}", self.name)
    }

    /// The number at the end of an alias of this ring.
    fn sequence(&self, alias: &str) -> Option<u64> {
        let number = alias
            .strip_prefix("alias/")?
            .strip_prefix(&self.name)?
            .strip_prefix('/')?;
        let sequence = number.parse().ok()?;
        (self.alias(sequence) == alias).then_some(sequence)
    }

    pub(crate) async fn read(&self, operation: Operation) -> Result<Reading, Failure> {
        let mut aliases = self.client.list_aliases(operation).await?;
        self.with_made(&mut aliases);
        let named = aliases.iter().filter_map(|alias| alias.key_id.clone()).collect();
        let ours: Vec<(u64, Alias)> = aliases
            .into_iter()
            .filter_map(|alias| Some((self.sequence(&alias.name)?, alias)))
            .collect();
        let last_sequence = ours.iter().map(|(sequence, _)| *sequence).max().unwrap_or(0);
        let read: Vec<(String, Option<Member>)> = futures_util::stream::iter(ours)
            .map(|(sequence, alias)| async move {
                let member = self.member(operation, sequence, &alias).await?;
                Ok::<_, Failure>((alias.name, member))
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        let (mut members, mut leaving) = (Vec::new(), Vec::new());
        for (alias, member) in read {
            match member {
                Some(member) => members.push(member),
                None => {
                    self.disown(&alias);
                    leaving.push(alias);
                }
            }
        }
        let reading = Reading {
            members,
            leaving,
            last_sequence,
            named,
        };
        self.hold(&reading.members);
        Ok(reading)
    }

    /// The key behind an alias; `None` if it is being deleted.
    pub(crate) async fn member(
        &self,
        operation: Operation,
        sequence: u64,
        alias: &Alias,
    ) -> Result<Option<Member>, Failure> {
        let call = Call {
            operation,
            action: "kms:ListAliases",
            on: &alias.name,
        };
        let (Some(key_id), Some(created_at)) = (&alias.key_id, alias.created_at) else {
            return Err(call.bad("an alias without a key or without an instant"));
        };
        let key = settled(|| self.client.describe(operation, key_id)).await?;
        if key.state == State::PendingDeletion {
            return Ok(None);
        }
        let label = Label::from_description(&key.description)
            .filter(|label| label.ring == self.name && label.sequence == sequence)
            .ok_or_else(|| {
                let text = format!(
                    "it names the key {}, whose description is not the one that Signet gave key {sequence} of this ring. \
                     Somebody changed the alias or the description: restore it from the audit log (CreateKey), or delete \
                     the alias",
                    key.arn
                );
                call.error(ErrorKind::BadAnswer, text)
            })?;
        let public = self.public_key(operation, &key, label.algorithm).await?;
        let state = match key.state {
            State::Enabled => KeyState::Enabled,
            _ => KeyState::Disabled,
        };
        let record = KeyRecord {
            public,
            // The key itself may be older: one that was adopted. It is published from here on.
            created_at,
            sequence,
            predecessor: label.predecessor,
            terms: Some(label.terms),
            state,
            revoked: label.revoked,
        };
        Ok(Some(Member {
            record,
            alias: alias.name.clone(),
            key,
        }))
    }

    async fn public_key(
        &self,
        operation: Operation,
        key: &Described,
        algorithm: Algorithm,
    ) -> Result<VerifyingKey, Failure> {
        if let Some(known) = lock(&self.public).get(&key.arn) {
            return Ok(known.clone());
        }
        let public = settled(|| self.client.public_key(operation, &key.arn)).await?;
        let call = Call {
            operation,
            action: "kms:GetPublicKey",
            on: &key.arn,
        };
        let verifying = PublicKey::from_spki_der(&public.der)
            .and_then(|key| key.for_algorithm(algorithm))
            .map_err(|error| call.bad(format!("a public key ({}) that is refused: {error}", public.spec)))?;
        lock(&self.public).insert(key.arn.clone(), verifying.clone());
        Ok(verifying)
    }

    fn hold(&self, members: &[Member]) {
        let mut held = lock(&self.held);
        let before = std::mem::take(&mut *held);
        for member in members {
            let kid = member.record.kid();
            // A reading that began before a revocation must not take it back.
            let was_revoked = before.get(kid).is_some_and(|held| held.revoked);
            held.insert(
                kid.clone(),
                Held {
                    arn: member.key.arn.clone(),
                    alias: member.alias.clone(),
                    algorithm: member.record.public.algorithm(),
                    disabled: member.record.state == KeyState::Disabled,
                    revoked: was_revoked || member.record.revoked.is_some(),
                },
            );
        }
    }

    /// The key of this id as the last reading saw it; reads again if it did not.
    pub(crate) async fn find(&self, operation: Operation, kid: &Kid) -> Result<Held, ProviderError> {
        if let Some(held) = self.held(kid) {
            return Ok(held);
        }
        self.read(operation).await?;
        self.held(kid).ok_or_else(|| {
            let text = format!("the ring of the aliases alias/{}/* has no key {kid}", self.name);
            ProviderError::new(crate::NAME, operation, ErrorKind::NotFound, text)
        })
    }

    pub(crate) fn held(&self, kid: &Kid) -> Option<Held> {
        lock(&self.held).get(kid).cloned()
    }

    /// Changes what is held of a key; `forget` with `None`.
    pub(crate) fn change(&self, kid: &Kid, change: impl FnOnce(&mut Held)) {
        if let Some(held) = lock(&self.held).get_mut(kid) {
            change(held);
        }
    }

    pub(crate) fn forget(&self, kid: &Kid) {
        lock(&self.held).remove(kid);
    }

    pub(crate) fn remember(&self, alias: &Alias) {
        let until = self.clock.now().plus(REMEMBERED);
        lock(&self.made).push((alias.clone(), until));
    }

    /// Adds what this process made and KMS does not show yet.
    fn with_made(&self, aliases: &mut Vec<Alias>) {
        let now = self.clock.now();
        let mut made = lock(&self.made);
        made.retain(|(_, until)| *until > now);
        for (alias, _) in made.iter() {
            if !aliases.iter().any(|listed| listed.name == alias.name) {
                aliases.push(alias.clone());
            }
        }
    }

    /// A key of this process's that was deleted is not remembered.
    pub(crate) fn disown(&self, alias: &str) {
        lock(&self.made).retain(|(made, _)| made.name != alias);
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ring({:?})", self.name)
    }
}

/// Repeats a call while it does not find what must be there.
pub(crate) async fn settled<T, F: Future<Output = Result<T, Failure>>>(call: impl Fn() -> F) -> Result<T, Failure> {
    for wait in SETTLING {
        match call().await {
            Err(failure) if failure.kind() == ErrorKind::NotFound => {
                tokio::time::sleep(Duration::from_millis(wait)).await;
            }
            other => return other,
        }
    }
    call().await
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
