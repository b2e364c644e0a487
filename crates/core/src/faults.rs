//! Deliberate faults in the code under test, so that the simulation can show that it would see them. They exist with the
//! feature `faults` alone, which no release is built with; without it every question is answered `false` at compile time.

#[cfg(feature = "faults")]
use std::cell::Cell;

#[cfg(feature = "faults")]
thread_local! {
    static FAULT: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Switches one fault on, and every other off, for this thread.
#[cfg(feature = "faults")]
pub fn switch_on(name: Option<&'static str>) {
    FAULT.set(name);
}

/// Whether this fault is switched on.
#[cfg(feature = "faults")]
#[must_use]
pub fn has(name: &str) -> bool {
    FAULT.get() == Some(name)
}

/// Whether this fault is switched on: never, without the feature.
#[cfg(not(feature = "faults"))]
#[must_use]
#[inline]
pub const fn has(_name: &str) -> bool {
    false
}
