//! `signet check` for a remote ring: one permission at a time, leaving nothing behind.
//!
//! What KMS lets nobody try: it has no dry run for what changes a key. Such a permission is tried where the call changes
//! nothing (an alias that exists, a key that is disabled already), or with an input that must be refused; the rest is
//! named as not tried.

use signet_api::{ErrorKind, Operation, ProviderError, Trials};

use crate::algorithms::Signing;
use crate::client::{Claimed, State};
use crate::error::{Call, Failure};
use crate::policy::{grant, tags};
use crate::ring::{Member, Ring};

const CHECK: Operation = Operation::Check;

/// Why a permission on keys of the ring was not tried.
const NO_KEYS: &str = "the ring has no keys yet, and this needs one";
const NO_TRIAL: &str = "it cannot be tried without deleting something";

pub(crate) async fn remote(ring: &Ring, trials: &mut Trials) {
    let client = &ring.client;
    let aliases = Box::pin(client.list_aliases(CHECK));
    permission(ring, "kms:ListAliases", "reading the ring", aliases, trials).await;
    let keys = Box::pin(client.list_keys(CHECK));
    permission(ring, "kms:ListKeys", "finding what a crash left", keys, trials).await;
    let needed_for = "creating keys, with kms:TagResource for their tags";
    permission(ring, "kms:CreateKey", needed_for, Box::pin(creating(ring)), trials).await;
    if trials.is_over() {
        return;
    }
    let reading = Box::pin(ring.read(CHECK)).await;
    match &reading {
        Ok(reading) => match reading.newest() {
            Some(newest) => on_keys(ring, newest, trials).await,
            None => {
                for (action, needed_for) in ON_KEYS {
                    trials.not_tried(action, needed_for, NO_KEYS);
                }
            }
        },
        Err(failure) => {
            let on = format!("alias/{}/*", ring.name);
            let call = Call {
                operation: CHECK,
                action: "kms:DescribeKey",
                on: &on,
            };
            let error = call.error(failure.kind(), format!("the ring cannot be read: {}", failure.text()));
            let failed = std::future::ready(Err::<(), _>(error.into()));
            permission(ring, "kms:DescribeKey", "reading the ring", failed, trials).await;
        }
    }
    let disabled = reading
        .iter()
        .flat_map(|reading| &reading.members)
        .find(|member| member.key.state == State::Disabled);
    let needed_for = "retiring and revoking keys";
    match disabled {
        Some(member) => {
            let again = Box::pin(client.disable(CHECK, &member.key.arn));
            permission(ring, "kms:DisableKey", needed_for, again, trials).await;
        }
        None => trials.not_tried(
            "kms:DisableKey",
            needed_for,
            "it is tried on a key that is disabled already, and the ring has none",
        ),
    }
    trials.not_tried("kms:ScheduleKeyDeletion", "destroying expired keys", NO_TRIAL);
    trials.not_tried("kms:DeleteAlias", "destroying expired keys", NO_TRIAL);
}

/// What is needed on the keys of a ring.
const ON_KEYS: [(&str, &str); 4] = [
    ("kms:DescribeKey", "reading the ring"),
    ("kms:GetPublicKey", "publishing and verifying"),
    ("kms:Sign", "signing"),
    ("kms:CreateAlias", "creating keys"),
];

async fn on_keys(ring: &Ring, newest: &Member, trials: &mut Trials) {
    let (client, arn) = (&ring.client, &newest.key.arn);
    let [describe, publish, sign, name] = ON_KEYS;
    let described = Box::pin(client.describe(CHECK, arn));
    permission(ring, describe.0, describe.1, described, trials).await;
    let public = Box::pin(async { whatever_its_state(client.public_key(CHECK, arn).await) });
    permission(ring, publish.0, publish.1, public, trials).await;
    let signing = Signing::new(newest.record.public.algorithm(), b"signet check");
    let signed = Box::pin(async { whatever_its_state(client.sign(CHECK, arn, &signing, true).await) });
    permission(ring, sign.0, sign.1, signed, trials).await;
    let named = Box::pin(async {
        match client.create_alias(CHECK, &newest.alias, &newest.key.id).await? {
            Claimed::Taken => Ok(()),
            // It went since it was read. Somebody else will find it gone, not there again.
            Claimed::Won => client.delete_alias(CHECK, &newest.alias).await,
        }
    });
    permission(ring, name.0, name.1, named, trials).await;
}

/// KMS looks at the permission first, and at the key's state then.
fn whatever_its_state<T>(outcome: Result<T, Failure>) -> Result<(), Failure> {
    match outcome {
        Err(failure) if failure.kind() == ErrorKind::KeyUnusable => Ok(()),
        other => other.map(drop),
    }
}

/// A key policy that is none: KMS refuses it, but only to somebody who may create keys.
async fn creating(ring: &Ring) -> Result<(), Failure> {
    match ring.client.try_create_key(&tags(&ring.name, None)).await? {
        None => Ok(()),
        // Not AWS, or not as it was: what came to be must go.
        Some(key) => ring.client.schedule_deletion(CHECK, &key).await,
    }
}

async fn permission<T>(
    ring: &Ring,
    action: &'static str,
    needed_for: &'static str,
    call: impl Future<Output = Result<T, Failure>>,
    trials: &mut Trials,
) {
    let call = async { call.await.map_err(ProviderError::from) };
    let grant = grant(action, &ring.name);
    trials.permission(action, needed_for, Some(grant), call).await;
}
