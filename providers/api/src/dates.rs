//! Reports the clocks of providers, from the `Date` of their HTTP answers (RFC 9110 §6.6.1).
//!
//! A provider's client passes each header to one listener of the process, like a log. Stores and sealers of several
//! providers may answer, and the machine has one clock.

use std::sync::OnceLock;

type Listener = Box<dyn Fn(&'static str, &str) + Send + Sync>;

static LISTENER: OnceLock<Listener> = OnceLock::new();

/// Sets the listener for this process. It gets the provider's name and the header's value. Returns
/// `false` if there is one already.
pub fn listen(listener: impl Fn(&'static str, &str) + Send + Sync + 'static) -> bool {
    LISTENER.set(Box::new(listener)).is_ok()
}

/// Reports the `Date` of an answer that this provider has just sent.
pub fn saw(provider: &'static str, date: &str) {
    if let Some(listener) = LISTENER.get() {
        listener(provider, date);
    }
}
