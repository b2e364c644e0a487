//! The permissions that Signet needs, as IAM policies.
//!
//! The files `deploy/policies/aws-kms-*.json` are these policies for a ring named `signet`. A test keeps them equal,
//! and others show that no action is missing or unnecessary.

use serde_json::{Value, json};
use signet_core::Kid;

use crate::label::Label;

/// The tag by which policies recognise a ring's keys.
const TAG: &str = "signet-ring";
/// The name of the ring in the encryption context of `signet check`.
pub(crate) const TRIAL_RING: &str = "signet-check";

/// Who gets permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The sidecar with remote custody.
    RemoteSidecar,
    /// The operator who runs `signet keys` with remote custody.
    RemoteOperator,
    /// The sidecar with sealed custody and a ring in S3. An operator needs the same.
    Sealed,
}

impl Role {
    /// All roles that a policy exists for.
    pub const ALL: [Self; 3] = [Self::RemoteSidecar, Self::RemoteOperator, Self::Sealed];

    /// The name of the policy's file, without its extension.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Self::RemoteSidecar => "aws-kms-remote-sidecar",
            Self::RemoteOperator => "aws-kms-remote-operator",
            Self::Sealed => "aws-kms-sealed",
        }
    }
}

/// The IAM policy of a role, for the remote ring with this name. In the policy for sealed custody, `REGION`, `ACCOUNT`,
/// `KEY-ID`, `ISSUER` (`SIGNET_ISSUER`), `BUCKET` and `PATH` must be filled in.
#[must_use]
pub fn policy(role: Role, name: &str) -> String {
    let statements = match role {
        Role::RemoteSidecar => vec![
            reading(),
            creating(name),
            naming(name, &["kms:CreateAlias", "kms:DeleteAlias"]),
            keys(name, &SIDECAR_KEYS),
        ],
        Role::RemoteOperator => vec![
            reading(),
            creating(name),
            naming(name, &["kms:CreateAlias", "kms:DeleteAlias"]),
            keys(name, &OPERATOR_KEYS),
        ],
        Role::Sealed => {
            let key = "arn:aws:kms:REGION:ACCOUNT:key/KEY-ID";
            let mut statements = vec![sealing(&["kms:Encrypt", "kms:Decrypt"], key)];
            statements.extend(object_reading("BUCKET", "PATH"));
            statements.push(object_writing("BUCKET", "PATH"));
            statements
        }
    };
    document(statements)
}

const SIDECAR_KEYS: [&str; 7] = [
    "kms:CreateAlias",
    "kms:DeleteAlias",
    "kms:DescribeKey",
    "kms:DisableKey",
    "kms:GetPublicKey",
    "kms:ScheduleKeyDeletion",
    "kms:Sign",
];
const OPERATOR_KEYS: [&str; 7] = [
    "kms:CreateAlias",
    "kms:DeleteAlias",
    "kms:DescribeKey",
    "kms:DisableKey",
    "kms:GetPublicKey",
    "kms:ScheduleKeyDeletion",
    "kms:UpdateKeyDescription",
];

/// The tags of a new key. IAM policies use the first; the others are for people.
pub(crate) fn tags(ring: &str, label: Option<&Label>) -> Vec<(&'static str, String)> {
    let mut tags = vec![(TAG, ring.to_owned())];
    if let Some(label) = label {
        tags.push(("signet-sequence", label.sequence.to_string()));
        tags.push(("signet-alg", label.algorithm.to_string()));
        tags.extend(
            label
                .predecessor
                .as_ref()
                .map(Kid::to_string)
                .map(|kid| ("signet-predecessor", kid)),
        );
    }
    tags
}

/// The policy that grants one action on a ring.
pub(crate) fn grant(action: &'static str, ring: &str) -> String {
    document(match action {
        "kms:ListAliases" | "kms:ListKeys" => vec![account_wide(&[action])],
        "kms:CreateKey" => vec![creating(ring)],
        "kms:CreateAlias" | "kms:DeleteAlias" => vec![naming(ring, &[action]), keys(ring, &[action])],
        _ => vec![keys(ring, &[action])],
    })
}

pub(crate) fn sealing_grant(action: &str, key: &str) -> String {
    let resource = match key.starts_with("arn:") && key.contains(":key/") {
        true => key.to_owned(),
        false => "arn:aws:kms:REGION:ACCOUNT:key/KEY-ID".to_owned(),
    };
    document(vec![sealing(&[action], &resource)])
}

pub(crate) fn object_read_grant(bucket: &str, path: &str) -> String {
    document(object_reading(bucket, path))
}

pub(crate) fn object_write_grant(bucket: &str, path: &str) -> String {
    document(vec![object_writing(bucket, path)])
}

fn document(statements: Vec<Value>) -> String {
    let document = json!({"Version": "2012-10-17", "Statement": statements});
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

fn statement(actions: &[&str], resource: impl Into<Value>) -> Value {
    json!({"Effect": "Allow", "Action": actions, "Resource": resource.into()})
}

/// KMS lists everything or nothing: neither call supports resources.
fn reading() -> Value {
    account_wide(&["kms:ListAliases", "kms:ListKeys"])
}

fn account_wide(actions: &[&str]) -> Value {
    statement(actions, "*")
}

/// Allows creating only keys with the ring's tag, and no tags of others on them.
fn creating(ring: &str) -> Value {
    let mut statement = statement(&["kms:CreateKey", "kms:TagResource"], "*");
    statement["Condition"] = json!({"StringEquals": {format!("aws:RequestTag/{TAG}"): ring}});
    statement
}

fn naming(ring: &str, actions: &[&str]) -> Value {
    statement(actions, format!("arn:aws:kms:*:*:alias/{ring}/*"))
}

fn keys(ring: &str, actions: &[&str]) -> Value {
    let mut statement = statement(actions, "arn:aws:kms:*:*:key/*");
    statement["Condition"] = json!({"StringEquals": {format!("aws:ResourceTag/{TAG}"): ring}});
    statement
}

/// Allows only the ring's encryption context, so another ring under the same key stays protected. The name of a
/// sealed ring is its issuer.
fn sealing(actions: &[&str], key: &str) -> Value {
    let mut statement = statement(actions, key);
    statement["Condition"] = json!({"StringEquals": {"kms:EncryptionContext:signet-ring": ["ISSUER", TRIAL_RING]}});
    statement
}

/// Without `s3:ListBucket`, S3 answers 403 for a missing object, and a first start looks like a missing permission.
fn object_reading(bucket: &str, path: &str) -> Vec<Value> {
    vec![
        statement(&["s3:GetObject"], format!("arn:aws:s3:::{bucket}/{path}")),
        statement(&["s3:ListBucket"], format!("arn:aws:s3:::{bucket}")),
    ]
}

fn object_writing(bucket: &str, path: &str) -> Value {
    statement(&["s3:PutObject"], format!("arn:aws:s3:::{bucket}/{path}"))
}
