//! AWS: KMS over its JSON protocol, and as much of S3 as one object with conditional writes needs.
//!
//! [`Aws`] is one account in one region; every server of it shares its state. It verifies what AWS verifies and its
//! other emulators do not: the signature of each request (SigV4), permissions, the uniqueness of aliases, key states,
//! the limits of tags, descriptions and messages, and encryption contexts. It can show what it made only after some
//! more calls, as the real one does.
//!
//! Policies are sets of actions here: what a condition or a resource of a real policy would refuse is not refused.

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

/// The region of everything in here.
pub const REGION: &str = "eu-central-1";
/// The account of everything in here.
pub const ACCOUNT: &str = "111122223333";

/// An account with nothing in it.
#[derive(Clone, Default)]
pub struct Aws(Arc<Mutex<State>>);

impl Aws {
    /// An account with nobody and nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// KMS and S3 as one service: it tells them apart by their protocols.
    #[must_use]
    pub fn service(&self) -> Arc<dyn Service> {
        Arc::new(self.clone())
    }

    /// Lets somebody in who may do everything.
    pub fn admit(&self, access_key: &str, secret: &str) {
        let caller = Caller {
            secret: secret.to_owned(),
            token: None,
            expired: false,
            allowed: None,
        };
        self.state().callers.insert(access_key.to_owned(), caller);
    }

    /// The same with temporary credentials, which come with a token.
    pub fn admit_session(&self, access_key: &str, secret: &str, token: &str) {
        self.admit(access_key, secret);
        self.state().callers.get_mut(access_key).unwrap().token = Some(token.to_owned());
    }

    /// From now on this caller may do these actions alone (`kms:Sign`).
    pub fn allow(&self, access_key: &str, actions: &[&str]) {
        let allowed = actions.iter().map(|action| (*action).to_owned()).collect();
        self.state().callers.get_mut(access_key).unwrap().allowed = Some(allowed);
    }

    /// The session of this caller is over.
    pub fn expire(&self, access_key: &str) {
        self.state().callers.get_mut(access_key).unwrap().expired = true;
    }

    /// What is made from now on is not found by so many calls that look for it.
    pub fn hide_new(&self, calls: u32) {
        self.state().hide_new = calls;
    }

    /// Lists have at most so many entries to a page, whatever is asked for.
    pub fn page_size(&self, entries: usize) {
        self.state().page = Some(entries);
    }

    /// Moves the clock.
    pub fn advance(&self, span: Duration) {
        self.state().ahead += span;
    }

    /// Makes a bucket.
    pub fn create_bucket(&self, name: &str) {
        self.state().buckets.entry(name.to_owned()).or_default();
    }

    /// Makes a symmetric key, as an operator does, and returns its ARN.
    pub fn create_symmetric_key(&self) -> String {
        kms::symmetric(&mut self.state())
    }

    /// Gives a key an alias, as an operator does.
    pub fn create_alias(&self, alias: &str, arn: &str) {
        let mut state = self.state();
        let id = arn.rsplit('/').next().unwrap().to_owned();
        state.name(alias, &id);
    }

    /// Enables a key, as an operator does who does not know why it is disabled.
    pub fn enable(&self, id: &str) {
        self.state().keys.get_mut(id).unwrap().state = state::KeyState::Enabled;
    }

    /// Disables a key, as an operator does; one whose deletion is scheduled is taken back so.
    pub fn disable(&self, id: &str) {
        self.state().keys.get_mut(id).unwrap().state = state::KeyState::Disabled;
    }

    /// Schedules the deletion of a key, as an operator does, who leaves its aliases alone.
    pub fn schedule_deletion(&self, id: &str) {
        self.state().keys.get_mut(id).unwrap().state = state::KeyState::PendingDeletion;
    }

    /// From now on aliases are listed without their instants, which the API lets a server do.
    pub fn hide_alias_instants(&self) {
        self.state().dateless = true;
    }

    /// Changes what a key says of itself, as somebody does who should not.
    pub fn describe(&self, id: &str, description: &str) {
        self.state().keys.get_mut(id).unwrap().description = description.to_owned();
    }

    /// Makes a key that signs, as others in the account do, and returns its id.
    pub fn create_signing_key(&self, description: &str) -> String {
        kms::signing(&mut self.state(), description)
    }

    /// Every key: its id, state, description, and whether an alias names it.
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

    /// How many keys there are that nobody is deleting.
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

/// An account for a client outside of this process, over https, with one caller who may do everything and a bucket.
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
