//! Faults that the simulation can switch on, to show that it would detect them.
//!
//! They exist only with the feature `faults`, which no release enables. Without it, [`has`] is `false` at compile time.

#[cfg(feature = "faults")]
use std::cell::Cell;

#[cfg(feature = "faults")]
thread_local! {
    static FAULT: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Switches on this fault for the current thread, and switches off all others.
#[cfg(feature = "faults")]
pub fn switch_on(name: Option<&'static str>) {
    FAULT.set(name);
}

/// Whether this fault is switched on for the current thread.
#[cfg(feature = "faults")]
#[must_use]
pub fn has(name: &str) -> bool {
    FAULT.get() == Some(name)
}

/// Always `false`, because the feature `faults` is off.
#[cfg(not(feature = "faults"))]
#[must_use]
#[inline]
pub const fn has(_name: &str) -> bool {
    false
}
