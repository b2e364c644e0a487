//! Decides whether a token is good now, for one caller.
//!
//! [`Verifier`] is the entry point. It gets keys from a [`KeySource`] for our own ring and one for each trusted
//! issuer, caches the tokens whose signature it has verified, and answers with a [`Verdict`]. [`Identity`] makes the
//! headers that tell the service behind the gateway who the client is. [`bearer`] reads the token of a request and
//! writes the challenge of a refusal.
//!
//! This crate does no I/O, has no async runtime, and does not know where keys come from.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use signet_core::algorithm::RsaBits;
//! use signet_core::verify::{Authentic, Refusal, Unproven};
//! use signet_core::{Algorithm, Audience, Issuer, SigningKey, Timestamp, VerifyingKey};
//! use signet_verify::{Expectations, Identity, KeySource, Keys, NoKeys, Terms, Verdict, Verifier};
//!
//! /// A ring with one key, which never changes.
//! #[derive(Debug)]
//! struct OneKey(VerifyingKey);
//!
//! impl Keys for OneKey {
//!     fn find(&self, token: &Unproven<'_>) -> Option<&VerifyingKey> {
//!         (token.kid() == self.0.kid().as_str()).then_some(&self.0)
//!     }
//!
//!     fn have_signed(&self, token: &Authentic) -> bool {
//!         token.is_signed_by(&self.0)
//!     }
//! }
//!
//! impl KeySource for OneKey {
//!     fn keys_at(&self, _: Timestamp) -> Result<Arc<dyn Keys>, NoKeys> {
//!         Ok(Arc::new(Self(self.0.clone())))
//!     }
//!
//!     fn on_refused(&self, _: Refusal) {}
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key = SigningKey::generate(Algorithm::ES256, RsaBits::default())?;
//! let ours = Terms::new(Issuer::new("https://issuer.example"), vec![Audience::new("https://api.example")]);
//! let source = Arc::new(OneKey(key.verifying_key().clone()));
//! let identity = Identity::new(Vec::new(), ',', 8192);
//! let verifier: Verifier<()> = Verifier::new(ours, source, Duration::from_secs(60), 1000, identity.bound());
//!
//! let verdict = verifier.check("not.a.token", &Expectations::default(), Timestamp::from_secs(1_783_000_000));
//! assert!(matches!(verdict, Verdict::Refused(Refusal::Malformed(_))));
//! # Ok(())
//! # }
//! ```

pub mod bearer;
mod cache;
mod identity;
mod source;
mod verifier;

pub use cache::{Entry, Fingerprint, Kept, TokenCache};
pub use identity::{HeaderBound, Identity, TokenParts, Unfit};
pub use source::{KeySource, Keys, NoKeys, Terms};
pub use verifier::{Expectations, NoVerdict, Verdict, Verifier};
