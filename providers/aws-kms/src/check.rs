//! `signet check` for a remote ring: one permission at a time, leaving nothing behind.
//!
//! KMS has no dry run for calls that change a key. Such a permission is tried where the call changes nothing
//! (an existing alias, a key that is already disabled), or with an input that must be refused. The others
//! are reported as not tried.

use std::future::ready;

use signet_api::{Answer, Check, ErrorKind, Operation, ProviderError, Trials};

use crate::algorithms::Signing;
use crate::client::{Claimed, State};
use crate::error::KmsError;
use crate::policy::{grant, tags};
use crate::ring::{Member, Reading, Ring};

const CHECK: Operation = Operation::Check;

/// Why a permission on keys of the ring was not tried.
const NO_KEYS: &str = "the ring has no keys yet, and this check needs one";
const NOT_READ: &str = "the ring cannot be read (see the row for that), and this check needs a key of the ring";
const NO_KEY_DISABLED: &str = "this check needs a key that is already disabled, and the ring has none";
const NO_TRIAL: &str = "this cannot be checked without deleting something";
const NO_MARK: &str = "this cannot be checked without changing a key. Only `signet keys revoke` needs it; a sidecar does not, so the \
     policy for sidecars leaves it out";

const LIST: (&str, &str) = ("kms:ListAliases", "reading the ring");
const DISABLE: (&str, &str) = ("kms:DisableKey", "retiring and revoking keys");
/// Permissions that cannot be tried.
const NEVER_TRIED: [(&str, &str, &str); 3] = [
    ("kms:ScheduleKeyDeletion", "destroying expired keys", NO_TRIAL),
    ("kms:DeleteAlias", "destroying expired keys", NO_TRIAL),
    ("kms:UpdateKeyDescription", "revoking keys", NO_MARK),
];

pub(crate) async fn remote(ring: &Ring, trials: &mut Trials) {
    let client = &ring.client;
    let aliases = Box::pin(client.list_aliases(CHECK));
    let is_listed = permission(ring, LIST, aliases, trials).await.is_some();
    let keys = Box::pin(client.list_keys(CHECK));
    permission(ring, ("kms:ListKeys", "finding keys that a crash left"), keys, trials).await;
    let needed_for = "creating keys, with kms:TagResource for their tags";
    permission(ring, ("kms:CreateKey", needed_for), Box::pin(creating(ring)), trials).await;
    if trials.is_over() {
        return;
    }
    let reading = match is_listed {
        true => read(ring, trials).await,
        false => {
            for needed in ON_KEYS {
                not_tried(ring, needed, NOT_READ, trials);
            }
            None
        }
    };
    match reading.as_ref().map(a_disabled_key) {
        Some(Some(arn)) => {
            permission(ring, DISABLE, Box::pin(client.disable(CHECK, arn)), trials).await;
        }
        Some(None) => not_tried(ring, DISABLE, NO_KEY_DISABLED, trials),
        None => not_tried(ring, DISABLE, NOT_READ, trials),
    }
    for (action, needed_for, why) in NEVER_TRIED {
        not_tried(ring, (action, needed_for), why, trials);
    }
}

/// The permissions on the keys of a ring.
const ON_KEYS: [(&str, &str); 4] = [
    ("kms:DescribeKey", "reading the ring"),
    ("kms:GetPublicKey", "publishing and verifying"),
    ("kms:Sign", "signing"),
    ("kms:CreateAlias", "creating keys"),
];

/// Reads the ring, and adds the rows for permissions on its keys.
async fn read(ring: &Ring, trials: &mut Trials) -> Option<Reading> {
    match Box::pin(ring.read(CHECK)).await {
        Ok(reading) => {
            match reading.newest() {
                Some(newest) => on_keys(ring, newest, trials).await,
                None => {
                    for needed in ON_KEYS {
                        not_tried(ring, needed, NO_KEYS, trials);
                    }
                }
            }
            Some(reading)
        }
        Err(failure) => {
            unreadable(ring, failure, trials).await;
            None
        }
    }
}

/// Adds the row for a failed reading: that of the refused call, or else one for the ring.
async fn unreadable(ring: &Ring, failure: KmsError, trials: &mut Trials) {
    let refused = failure.refused();
    let is_needed = |refused: &&str| ON_KEYS.iter().any(|(action, _)| action == refused);
    let Some(refused) = refused.filter(is_needed) else {
        let what = format!("the ring alias/{}/*", ring.name);
        let failed = ready(Err::<(), _>(failure.into()));
        trials.property(what, "publishing and verifying", failed).await;
        for needed in ON_KEYS {
            not_tried(ring, needed, NOT_READ, trials);
        }
        return;
    };
    let mut failure = Some(failure);
    for needed in ON_KEYS {
        let is_refused = needed.0 == refused;
        match failure.take_if(|_| is_refused) {
            Some(failure) => {
                permission(ring, needed, ready(Err::<(), _>(failure)), trials).await;
            }
            // A reading describes a key before it requests the public key, so this permission has been granted.
            None if needed.0 == "kms:DescribeKey" => {
                permission(ring, needed, ready(Ok(())), trials).await;
            }
            None => not_tried(ring, needed, NOT_READ, trials),
        }
    }
}

/// The ARN of a disabled key, whether or not this process can list it.
fn a_disabled_key(reading: &Reading) -> Option<&str> {
    let mut listed = reading.members.iter();
    let disabled = listed.find(|member| member.key.state == State::Disabled);
    let arn = disabled.map(|member| &member.key.arn).or(reading.hidden.first());
    arn.map(String::as_str)
}

async fn on_keys(ring: &Ring, newest: &Member, trials: &mut Trials) {
    let (client, arn) = (&ring.client, &newest.key.arn);
    let [describe, publish, sign, name] = ON_KEYS;
    let described = Box::pin(client.describe(CHECK, arn));
    permission(ring, describe, described, trials).await;
    let public = Box::pin(async { whatever_its_state(client.public_key(CHECK, arn).await) });
    permission(ring, publish, public, trials).await;
    let signing = Signing::new(newest.record.public.algorithm(), b"signet check");
    let signed = Box::pin(async { whatever_its_state(client.sign(CHECK, arn, &signing, true).await) });
    permission(ring, sign, signed, trials).await;
    let named = Box::pin(async {
        match client.create_alias(CHECK, &newest.alias, &newest.key.id).await? {
            Claimed::Taken => Ok(()),
            // The key has disappeared since it was read. The alias must not stay, because it would point to no key.
            Claimed::Won => client.delete_alias(CHECK, &newest.alias).await,
        }
    });
    permission(ring, name, named, trials).await;
}

/// KMS checks the permission before the state of the key.
fn whatever_its_state<T>(outcome: Result<T, KmsError>) -> Result<(), KmsError> {
    match outcome {
        Err(failure) if failure.kind() == ErrorKind::KeyUnusable => Ok(()),
        other => other.map(drop),
    }
}

/// Tries to create a key with an invalid key policy. KMS reports the policy only to callers that may create keys.
async fn creating(ring: &Ring) -> Result<(), KmsError> {
    match ring.client.try_create_key(&tags(&ring.name, None)).await? {
        None => Ok(()),
        // This is not AWS, or AWS has changed. The key that was created must be deleted.
        Some(key) => ring.client.schedule_deletion(CHECK, &key).await,
    }
}

async fn permission<T>(
    ring: &Ring,
    (action, needed_for): (&'static str, &'static str),
    call: impl Future<Output = Result<T, KmsError>>,
    trials: &mut Trials,
) -> Option<T> {
    let call = async { call.await.map_err(ProviderError::from) };
    let grant = grant(action, &ring.name);
    trials.permission(action, needed_for, Some(grant), call).await
}

/// Adds a row for something that was not tried. The row still has the policy statement, because errors of the call
/// refer to it.
fn not_tried(ring: &Ring, (action, needed_for): (&'static str, &'static str), why: &'static str, trials: &mut Trials) {
    if trials.is_over() {
        return;
    }
    trials.push(Check {
        permission: action.to_owned(),
        needed_for,
        answer: Answer::NotTried(why.to_owned()),
        grant: Some(grant(action, &ring.name)),
    });
}
