//! Reads a ring: its aliases, the keys that they name, and the descriptions of these keys.
//!
//! A reading takes one `ListAliases` for each hundred aliases of the account, and one `DescribeKey` for each key of the
//! ring, which returns state, terms and revocation together. Public keys never change and are fetched once.
//!
//! `GetPublicKey` refuses disabled keys (<https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html>), so a
//! process does not know the public key of one that it never saw enabled. If the key was revoked, its description
//! contains the public key, and it is listed as revoked. Otherwise it is left out: it no longer signs and, unless
//! somebody disabled it by hand, it has expired.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use parking_lot::Mutex;
use signet_api::{Call, ErrorKind, Operation, ProviderError, Settling};
use signet_base::Clock;
use signet_core::public_key::PublicKey;
use signet_core::{Algorithm, KeyRecord, KeyState, Kid, VerifyingKey};

use crate::NAME;
use crate::client::{Alias, Client, Described, State};
use crate::error::KmsError;
use crate::label::Label;

/// How many keys are described at the same time.
pub(crate) const AT_ONCE: usize = 8;
/// Pauses in milliseconds while a new key may not be found yet. AWS says "a few seconds", others have seen a minute. If
/// these pauses are not enough, the caller's retries cover the rest.
pub(crate) const SETTLING: [u64; 5] = [50, 100, 200, 400, 800];

/// The ring with one name.
pub(crate) struct Ring {
    pub(crate) name: String,
    pub(crate) client: Client,
    pub(crate) clock: Arc<dyn Clock>,
    /// Public keys by ARN. They never change.
    public: Mutex<HashMap<String, VerifyingKey>>,
    /// The keys in the last reading, for `sign`.
    held: Mutex<HashMap<Kid, Held>>,
    /// The ARNs of hidden keys that were already logged.
    logged: Mutex<HashSet<String>>,
    /// The aliases that this process created. Their keys are listed even if KMS does not show the aliases yet.
    made: Mutex<Vec<(Alias, Settling)>>,
}

/// What `sign` needs to know about a key.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) arn: String,
    pub(crate) alias: String,
    pub(crate) public: VerifyingKey,
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

/// What an alias of the ring names.
pub(crate) enum AliasTarget {
    Key(Box<Member>),
    /// A key that is being deleted.
    Leaving,
    /// The ARN of a disabled key whose public key is unknown.
    Hidden(String),
}

/// A ring as it was read.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) members: Vec<Member>,
    /// Aliases of the ring whose keys are being deleted.
    pub(crate) leaving: Vec<String>,
    /// The highest number of any alias, whatever happened to its key. Zero if there is none.
    pub(crate) last_sequence: u64,
    /// The ids of all keys of the account that have an alias.
    pub(crate) named: Vec<String>,
    /// The ARNs of the hidden keys.
    pub(crate) hidden: Vec<String>,
    /// Whether the ring's aliases have creation times, as AWS's do.
    pub(crate) dated: bool,
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
            logged: Mutex::default(),
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

    pub(crate) async fn read(&self, operation: Operation) -> Result<Reading, KmsError> {
        let mut aliases = self.client.list_aliases(operation).await?;
        self.with_made(&mut aliases);
        let named = aliases.iter().filter_map(|alias| alias.key_id.clone()).collect();
        let ours: Vec<(u64, Alias)> = aliases
            .into_iter()
            .filter_map(|alias| Some((self.sequence(&alias.name)?, alias)))
            .collect();
        let dated = ours.iter().all(|(_, alias)| alias.created_at.is_some());
        let last_sequence = ours.iter().map(|(sequence, _)| *sequence).max().unwrap_or(0);
        let read: Vec<(String, AliasTarget)> = futures_util::stream::iter(ours)
            .map(|(sequence, alias)| async move {
                let found = self.look(operation, sequence, &alias).await?;
                Ok::<_, KmsError>((alias.name, found))
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        let (mut members, mut leaving, mut hidden) = (Vec::new(), Vec::new(), Vec::new());
        for (alias, found) in read {
            match found {
                AliasTarget::Key(member) => members.push(*member),
                AliasTarget::Leaving => {
                    self.disown(&alias);
                    leaving.push(alias);
                }
                AliasTarget::Hidden(arn) => hidden.push(arn),
            }
        }
        let reading = Reading {
            members,
            leaving,
            last_sequence,
            named,
            hidden,
            dated,
        };
        self.hold(&reading.members);
        Ok(reading)
    }

    /// Reads the key behind an alias.
    pub(crate) async fn look(
        &self,
        operation: Operation,
        sequence: u64,
        alias: &Alias,
    ) -> Result<AliasTarget, KmsError> {
        let call = Call {
            provider: NAME,
            operation,
            doing: "read the key of",
            permission: "kms:ListAliases",
            resource: &alias.name,
        };
        let key_id = alias
            .key_id
            .as_ref()
            .ok_or_else(|| call.bad_answer("the alias points to no key"))?;
        let key = settled(|| self.client.describe(operation, key_id)).await?;
        if key.state == State::PendingDeletion {
            return Ok(AliasTarget::Leaving);
        }
        // An adopted key may be older than its alias. It is published from the creation of the alias on. The API allows
        // servers to leave out the time of an alias.
        let created_at = alias.created_at.or(key.created_at);
        let created_at =
            created_at.ok_or_else(|| call.bad_answer("neither the alias nor its key has a creation time"))?;
        let label = Label::from_description(&key.description)
            .filter(|label| label.ring == self.name && label.sequence == sequence)
            .ok_or_else(|| {
                let text = format!(
                    "the description of its key, {}, is not the one that Signet wrote for key {sequence} of this \
                     ring. Somebody changed the alias or the description: restore it from the \
                     audit log (CreateKey), or delete the alias",
                    key.arn
                );
                call.error(ErrorKind::BadAnswer, text)
            })?;
        let (public, state) = match self.public_key(operation, &key, label.algorithm).await? {
            Some(public) if key.state == State::Enabled => (Some(public), KeyState::Enabled),
            // Either the public key is known from the time when the key was enabled, or somebody disabled the key
            // between the two calls.
            known => (known, KeyState::Disabled),
        };
        let mark = label.revoked;
        let public = public.or_else(|| mark.as_ref()?.public_key(label.algorithm));
        let Some(public) = public else {
            self.log_hidden(&alias.name, &key.arn, mark.is_some());
            return Ok(AliasTarget::Hidden(key.arn));
        };
        let record = KeyRecord {
            public,
            created_at,
            sequence,
            predecessor: label.predecessor,
            terms: Some(label.terms),
            state,
            revoked: mark.map(|mark| mark.revocation),
        };
        Ok(AliasTarget::Key(Box::new(Member {
            record,
            alias: alias.name.clone(),
            key,
        })))
    }

    /// Logs a hidden key, once for each key.
    fn log_hidden(&self, alias: &str, arn: &str, is_revoked: bool) {
        if !self.logged.lock().insert(arn.to_owned()) {
            return;
        }
        match is_revoked {
            true => tracing::warn!(
                alias,
                key = arn,
                "a revoked key is not listed, because KMS does not return the public key of a disabled key, and an \
                 older version of Signet revoked it without storing it. Its tokens are refused. To \
                 list it, run `aws kms enable-key`, then `signet keys revoke`, which disables it \
                 again"
            ),
            false => tracing::debug!(
                alias,
                key = arn,
                "a disabled key is not listed, because KMS does not return its public key"
            ),
        }
    }

    /// The public key, if this process knows it or KMS shows it.
    async fn public_key(
        &self,
        operation: Operation,
        key: &Described,
        algorithm: Algorithm,
    ) -> Result<Option<VerifyingKey>, KmsError> {
        if let Some(known) = self.public.lock().get(&key.arn) {
            return Ok(Some(known.clone()));
        }
        if key.state != State::Enabled {
            return Ok(None);
        }
        let public = match settled(|| self.client.public_key(operation, &key.arn)).await {
            Ok(public) => public,
            Err(failure) if failure.kind() == ErrorKind::KeyUnusable => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let call = Call {
            provider: NAME,
            operation,
            doing: "read the public key of",
            permission: "kms:GetPublicKey",
            resource: &key.arn,
        };
        let verifying = PublicKey::from_spki_der(&public.der)
            .and_then(|key| key.for_algorithm(algorithm))
            .map_err(|error| call.bad_answer(format!("the public key ({}) is refused: {error}", public.spec)))?;
        self.public.lock().insert(key.arn.clone(), verifying.clone());
        Ok(Some(verifying))
    }

    fn hold(&self, members: &[Member]) {
        let mut held = self.held.lock();
        let before = std::mem::take(&mut *held);
        for member in members {
            let kid = member.record.kid();
            // A reading that began before a revocation must not undo it.
            let was_revoked = before.get(kid).is_some_and(|held| held.revoked);
            held.insert(
                kid.clone(),
                Held {
                    arn: member.key.arn.clone(),
                    alias: member.alias.clone(),
                    public: member.record.public.clone(),
                    disabled: member.record.state == KeyState::Disabled,
                    revoked: was_revoked || member.record.revoked.is_some(),
                },
            );
        }
    }

    /// The key with this id from the last reading. Reads again if it was not there.
    pub(crate) async fn find(&self, operation: Operation, kid: &Kid) -> Result<Held, ProviderError> {
        if let Some(held) = self.held(kid) {
            return Ok(held);
        }
        let hidden = self.read(operation).await?.hidden.len();
        self.held(kid).ok_or_else(|| {
            let mut text = format!("the ring of the aliases alias/{}/* has no key {kid}", self.name);
            if hidden > 0 {
                text.push_str(&format!(
                    " that can be read. KMS does not return the public keys of disabled keys, and {hidden} of the \
                     ring are disabled. To revoke one of those, enable it first (`aws kms \
                     enable-key`)"
                ));
            }
            ProviderError::new(NAME, operation, ErrorKind::NotFound, text)
        })
    }

    pub(crate) fn held(&self, kid: &Kid) -> Option<Held> {
        self.held.lock().get(kid).cloned()
    }

    /// Changes what is stored for a key.
    pub(crate) fn change(&self, kid: &Kid, change: impl FnOnce(&mut Held)) {
        if let Some(held) = self.held.lock().get_mut(kid) {
            change(held);
        }
    }

    pub(crate) fn forget(&self, kid: &Kid) {
        self.held.lock().remove(kid);
    }

    pub(crate) fn remember(&self, alias: &Alias) {
        self.made.lock().push((alias.clone(), Settling::begin(&*self.clock)));
    }

    /// Adds the aliases that this process created and KMS does not show yet.
    fn with_made(&self, aliases: &mut Vec<Alias>) {
        let mut made = self.made.lock();
        made.retain(|(_, made)| made.goes_on(&*self.clock));
        for (alias, _) in made.iter() {
            if !aliases.iter().any(|listed| listed.name == alias.name) {
                aliases.push(alias.clone());
            }
        }
    }

    /// Forgets an alias of this process whose key was deleted.
    pub(crate) fn disown(&self, alias: &str) {
        self.made.lock().retain(|(made, _)| made.name != alias);
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ring({:?})", self.name)
    }
}

/// Repeats a call as long as it does not find something that must exist.
pub(crate) async fn settled<T, F: Future<Output = Result<T, KmsError>>>(call: impl Fn() -> F) -> Result<T, KmsError> {
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
