//! What the clocks of providers show, as their HTTP answers say in `Date` (RFC 9110 §6.6.1).
//!
//! A provider's client hands on each header that it sees, and knows nobody who cares. One listener for the process, as the log
//! has one: stores and sealers of several providers may answer, and the machine has one clock.

use std::sync::OnceLock;

type Listener = Box<dyn Fn(&'static str, &str) + Send + Sync>;

static LISTENER: OnceLock<Listener> = OnceLock::new();

/// Takes every header from now on: the provider's name, and the header's value as it came. `false`: somebody does already.
pub fn listen(listener: impl Fn(&'static str, &str) + Send + Sync + 'static) -> bool {
    LISTENER.set(Box::new(listener)).is_ok()
}

/// An answer of this provider came a moment ago with this value of `Date`.
pub fn saw(provider: &'static str, date: &str) {
    if let Some(listener) = LISTENER.get() {
        listener(provider, date);
    }
}
