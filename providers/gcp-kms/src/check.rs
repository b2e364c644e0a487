//! The permissions for `signet check`, each on its own, and the commands that grant them.
//!
//! `testIamPermissions` reports which permissions the caller has. It changes nothing and needs no permission itself. It
//! ignores conditions on the values of a request, but these roles have none.

use signet_api::{ErrorKind, Operation, ProviderError, Trials};

use crate::NAME;
use crate::client::Kms;

/// A permission that the sidecar needs, and why. `deploy/policies/gcp-sidecar*.yaml` grant these.
pub(crate) type NeededPermission = (&'static str, &'static str);

/// Permissions on the crypto key, in remote custody.
pub(crate) const REMOTE: &[NeededPermission] = &[
    ("cloudkms.cryptoKeyVersions.list", "reading the ring"),
    ("cloudkms.cryptoKeyVersions.viewPublicKey", "publishing and verifying"),
    ("cloudkms.cryptoKeyVersions.useToSign", "signing"),
    ("cloudkms.cryptoKeyVersions.create", "rotating"),
    ("cloudkms.cryptoKeyVersions.get", "waiting for a new version"),
    ("cloudkms.cryptoKeyVersions.update", "disabling expired keys"),
    (
        "cloudkms.cryptoKeys.update",
        "setting the algorithm and the terms of new versions",
    ),
];

/// Permissions on the key ring, in remote custody.
pub(crate) const RING: &[NeededPermission] = &[("cloudkms.cryptoKeys.list", "reading which keys were revoked")];

/// Permissions on the crypto key, in sealed custody.
pub(crate) const SEALED: &[NeededPermission] = &[
    ("cloudkms.cryptoKeyVersions.useToEncrypt", "encrypting new private keys"),
    ("cloudkms.cryptoKeyVersions.useToDecrypt", "decrypting private keys"),
];

pub(crate) async fn remote(kms: &Kms, trials: &mut Trials) {
    ask(kms, kms.key.as_str(), REMOTE, &on_key(kms, "remote", "Remote"), trials).await;
    ask(kms, kms.key.ring(), RING, &on_ring(kms), trials).await;
}

pub(crate) async fn sealed(kms: &Kms, trials: &mut Trials) {
    ask(kms, kms.key.as_str(), SEALED, &on_key(kms, "sealed", "Sealed"), trials).await;
}

async fn ask(kms: &Kms, resource: &str, needs: &[NeededPermission], grant: &str, trials: &mut Trials) {
    for (permission, needed_for) in needs {
        let asked = async {
            let granted = kms.granted(resource, [*permission].into_iter()).await?;
            match granted.iter().any(|granted| granted == permission) {
                true => Ok(()),
                false => Err(missing(resource, permission)),
            }
        };
        let name = format!("{permission} on {resource}");
        trials.permission(name, needed_for, Some(grant.to_owned()), asked).await;
    }
}

fn missing(resource: &str, permission: &str) -> ProviderError {
    let text = format!("{permission} is not granted on {resource}, or the resource does not exist");
    ProviderError::new(NAME, Operation::Check, ErrorKind::PermissionDenied, text)
}

fn on_key(kms: &Kms, file: &str, role: &str) -> String {
    let key = &kms.key;
    let (project, location, ring, id) = (key.project(), key.location(), key.ring_id(), key.id());
    format!(
        "gcloud iam roles create signetSidecar{role} --project={project} \
         --file=deploy/policies/gcp-sidecar-{file}.yaml\n\
         gcloud kms keys add-iam-policy-binding {id} --project={project} --location={location} --keyring={ring} \
         --member=serviceAccount:SIDECAR --role=projects/{project}/roles/signetSidecar{role}"
    )
}

fn on_ring(kms: &Kms) -> String {
    let key = &kms.key;
    let (project, location, ring) = (key.project(), key.location(), key.ring_id());
    format!(
        "gcloud iam roles create signetSidecarRing --project={project} --file=deploy/policies/gcp-sidecar-ring.yaml\n\
         gcloud kms keyrings add-iam-policy-binding {ring} --project={project} --location={location} \
         --member=serviceAccount:SIDECAR --role=projects/{project}/roles/signetSidecarRing"
    )
}
