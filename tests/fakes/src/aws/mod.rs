//! AWS: KMS with its JSON protocol, and enough of S3 for one object with conditional writes.
//!
//! [`Aws`] is one account in one region; all its servers share the state. It checks what AWS checks and other
//! emulators do not: the signature of each request (SigV4), permissions, unique aliases, key states, the
//! limits of tags, descriptions and messages, and encryption contexts. Like the real service, it can show new
//! objects only after some calls.
//!
//! Policies are sets of actions here. Conditions and resources of real policies are not enforced.

mod kms;
mod material;
mod s3;
mod sigv4;
mod state;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};

use crate::authority::Authority;
use crate::server::{Request, Response, Server, Service};
use crate::started::Started;
use state::{Caller, State};

/// The region of everything here.
pub const REGION: &str = "eu-central-1";
/// The account of everything here.
pub const ACCOUNT: &str = "111122223333";

/// An account in one region.
#[derive(Clone, Default)]
pub struct Aws(Arc<Mutex<State>>);

impl Aws {
    /// An empty account without callers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// KMS and S3 as one service, which distinguishes them by their protocols.
    #[must_use]
    pub fn service(&self) -> Arc<dyn Service> {
        Arc::new(self.clone())
    }

    /// Adds a caller with all permissions.
    pub fn admit(&self, access_key: &str, secret: &str) {
        let caller = Caller {
            secret: secret.to_owned(),
            token: None,
            expired: false,
            allowed: None,
        };
        self.state().callers.insert(access_key.to_owned(), caller);
    }

    /// Adds a caller with temporary credentials, which include a token.
    pub fn admit_session(&self, access_key: &str, secret: &str, token: &str) {
        self.admit(access_key, secret);
        self.state().callers.get_mut(access_key).unwrap().token = Some(token.to_owned());
    }

    /// From now on, this caller may perform only these actions (`kms:Sign`).
    pub fn allow(&self, access_key: &str, actions: &[&str]) {
        let allowed = actions.iter().map(|action| (*action).to_owned()).collect();
        self.state().callers.get_mut(access_key).unwrap().allowed = Some(allowed);
    }

    /// Ends the session of this caller.
    pub fn expire(&self, access_key: &str) {
        self.state().callers.get_mut(access_key).unwrap().expired = true;
    }

    /// New objects are not found by this many calls that look for them.
    pub fn hide_new(&self, calls: u32) {
        self.state().hide_new = calls;
    }

    /// Limits the entries of a page, whatever is requested.
    pub fn page_size(&self, entries: usize) {
        self.state().page = Some(entries);
    }

    /// Moves the clock forward.
    pub fn advance(&self, span: Duration) {
        self.state().ahead += span;
    }

    /// Makes a bucket.
    pub fn create_bucket(&self, name: &str) {
        self.state().buckets.entry(name.to_owned()).or_default();
    }

    /// Creates a symmetric key, as an operator does, and returns its ARN.
    pub fn create_symmetric_key(&self) -> String {
        kms::symmetric(&mut self.state())
    }

    /// Gives a key an alias, as an operator does.
    pub fn create_alias(&self, alias: &str, arn: &str) {
        let mut state = self.state();
        let id = arn.rsplit('/').next().unwrap().to_owned();
        state.name(alias, &id);
    }

    /// Enables a key, as an operator may who does not know why it is disabled.
    pub fn enable(&self, id: &str) {
        self.state().keys.get_mut(id).unwrap().state = state::KeyState::Enabled;
    }

    /// Disables a key, as an operator does. This also cancels a scheduled deletion.
    pub fn disable(&self, id: &str) {
        self.state().keys.get_mut(id).unwrap().state = state::KeyState::Disabled;
    }

    /// Schedules the deletion of a key and keeps its aliases, as an operator does.
    pub fn schedule_deletion(&self, id: &str) {
        self.state().keys.get_mut(id).unwrap().state = state::KeyState::PendingDeletion;
    }

    /// From now on, aliases are listed without their creation times, which the API allows.
    pub fn hide_alias_instants(&self) {
        self.state().dateless = true;
    }

    /// Changes the description of a key, as somebody does who should not.
    pub fn describe(&self, id: &str, description: &str) {
        self.state().keys.get_mut(id).unwrap().description = description.to_owned();
    }

    /// Creates a signing key, as other users of the account do, and returns its id.
    pub fn create_signing_key(&self, description: &str) -> String {
        kms::signing(&mut self.state(), description)
    }

    /// All keys: id, state, description, and whether an alias names them.
    #[must_use]
    pub fn keys(&self) -> Vec<(String, String, String, bool)> {
        let state = self.state();
        let named = |id: &str| state.aliases.values().any(|alias| alias.key == id);
        let show = |(id, key): (&String, &state::Key)| {
            (
                id.clone(),
                key.state.as_str().to_owned(),
                key.description.clone(),
                named(id),
            )
        };
        state.keys.iter().map(show).collect()
    }

    /// The number of keys that are not being deleted.
    #[must_use]
    pub fn paid_keys(&self) -> usize {
        self.keys()
            .iter()
            .filter(|(_, state, ..)| state != "PendingDeletion")
            .count()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

impl Service for Aws {
    fn operation(&self, request: &Request) -> String {
        match request
            .header("x-amz-target")
            .and_then(|target| target.strip_prefix("TrentService."))
        {
            Some(operation) => operation.to_owned(),
            None => s3::operation(request).to_owned(),
        }
    }

    fn answer(&self, request: &Request) -> Response {
        match request.header("x-amz-target") {
            Some(_) => kms::answer(self, request),
            None => s3::answer(&mut self.state(), request),
        }
    }
}

impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Aws")
    }
}

/// An account for clients in other processes, over https, with a bucket and a caller who has all permissions.
#[must_use]
pub fn start(authority: &Authority) -> Started {
    let aws = Aws::new();
    aws.admit("AKIDSIGNETFAKE", "not-a-secret-of-anybody");
    aws.create_bucket("rings");
    let key = aws.create_symmetric_key();
    let server = Server::start(aws.service(), Some(authority)).unwrap();
    let told: Value = json!({
        "endpoint": server.url(),
        "region": REGION,
        "account": ACCOUNT,
        "access_key_id": "AKIDSIGNETFAKE",
        "secret_access_key": "not-a-secret-of-anybody",
        "bucket": "rings",
        "symmetric_key": key,
    });
    Started {
        servers: vec![server],
        told,
    }
}
