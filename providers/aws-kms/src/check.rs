//! `signet check` for a remote ring: one permission at a time, leaving nothing behind.
//!
//! What KMS lets nobody try: it has no dry run for what changes a key. Such a permission is tried where the call changes
//! nothing (an alias that exists, a key that is disabled already), or with an input that must be refused; the rest is
//! named as not tried.

use signet_api::{Check, ErrorKind, Operation, ProviderError};

use crate::algorithms::Signing;
use crate::client::{Claimed, State};
use crate::error::{Call, Failure};
use crate::policy::{grant, tags};
use crate::ring::{Member, Ring};

const CHECK: Operation = Operation::Check;

pub(crate) async fn remote(ring: &Ring) -> Vec<Check> {
    let mut checks = vec![
        check(
            ring,
            "kms:ListAliases",
            "reading the ring",
            ring.client.list_aliases(CHECK).await,
        ),
        check(
            ring,
            "kms:ListKeys",
            "finding what a crash left",
            ring.client.list_keys(CHECK).await,
        ),
        check(
            ring,
            "kms:CreateKey",
            "creating keys, with kms:TagResource for their tags",
            creating(ring).await,
        ),
    ];
    let reading = ring.read(CHECK).await;
    let mut not_tried = vec!["kms:ScheduleKeyDeletion", "kms:DeleteAlias"];
    match &reading {
        Ok(reading) => match reading.newest() {
            Some(newest) => checks.extend(on_keys(ring, newest).await),
            None => not_tried.extend(["kms:DescribeKey", "kms:GetPublicKey", "kms:Sign", "kms:CreateAlias"]),
        },
        Err(failure) => {
            let on = format!("alias/{}/*", ring.name);
            let call = Call {
                operation: CHECK,
                action: "kms:DescribeKey",
                on: &on,
            };
            let error = call.error(failure.kind(), format!("the ring cannot be read: {}", failure.text()));
            checks.push(check(
                ring,
                "kms:DescribeKey",
                "reading the ring",
                Err::<(), _>(error.into()),
            ));
        }
    }
    let disabled = reading
        .iter()
        .flat_map(|reading| &reading.members)
        .find(|member| member.key.state == State::Disabled);
    match disabled {
        Some(member) => {
            let again = ring.client.disable(CHECK, &member.key.arn).await;
            checks.push(check(ring, "kms:DisableKey", "retiring and revoking keys", again));
        }
        None => not_tried.push("kms:DisableKey"),
    }
    checks.push(Check {
        permission: format!("not tried, as KMS has no trial of it here: {}", not_tried.join(", ")),
        needed_for: "retiring keys, and whatever a ring without keys cannot show",
        outcome: Ok(()),
        grant: None,
    });
    checks
}

async fn on_keys(ring: &Ring, newest: &Member) -> Vec<Check> {
    let (client, arn) = (&ring.client, &newest.key.arn);
    let described = client.describe(CHECK, arn).await;
    let public = client.public_key(CHECK, arn).await;
    let signing = Signing::new(newest.record.public.algorithm(), b"signet check");
    let signed = match newest.key.state {
        State::Enabled => client.sign(CHECK, arn, &signing, true).await.map(drop),
        // KMS looks at the permission first, and at the state then.
        _ => match client.sign(CHECK, arn, &signing, true).await {
            Err(failure) if failure.kind() == ErrorKind::KeyUnusable => Ok(()),
            other => other.map(drop),
        },
    };
    let named = match client.create_alias(CHECK, &newest.alias, &newest.key.id).await {
        Ok(Claimed::Taken) => Ok(()),
        // It went since it was read. Somebody else will find it gone, not there again.
        Ok(Claimed::Won) => client.delete_alias(CHECK, &newest.alias).await,
        Err(failure) => Err(failure),
    };
    vec![
        check(ring, "kms:DescribeKey", "reading the ring", described),
        check(ring, "kms:GetPublicKey", "publishing and verifying", public),
        check(ring, "kms:Sign", "signing", signed),
        check(ring, "kms:CreateAlias", "creating keys", named),
    ]
}

/// A key policy that is none: KMS refuses it, but only to somebody who may create keys.
async fn creating(ring: &Ring) -> Result<(), Failure> {
    match ring.client.try_create_key(&tags(&ring.name, None)).await? {
        None => Ok(()),
        // Not AWS, or not as it was: what came to be must go.
        Some(key) => ring.client.schedule_deletion(CHECK, &key).await,
    }
}

fn check<T>(ring: &Ring, action: &'static str, needed_for: &'static str, outcome: Result<T, Failure>) -> Check {
    Check {
        permission: action.to_owned(),
        needed_for,
        outcome: outcome.map(drop).map_err(ProviderError::from),
        grant: Some(grant(action, &ring.name)),
    }
}
