//! Raises the limit on open files. Each connection is an open file.

use rustix::process::{Resource, getrlimit, setrlimit};
use tracing::warn;

/// Open files of the process itself: the ring, the log, timers, connections to the provider and to issuers.
const OWN: usize = 128;

/// Raises the limit on open files to what the listeners need, as far as the system allows without privileges. Many
/// systems start a process with 1,024, which is less than three full listeners need.
pub fn allow(listeners: usize, connections: usize, setting: &str) {
    let needed = u64::try_from(listeners.saturating_mul(connections).saturating_add(OWN)).unwrap_or(u64::MAX);
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return;
    }
    let most = limit.maximum.unwrap_or(u64::MAX);
    limit.current = Some(needed.min(most));
    let raised = setrlimit(Resource::Nofile, limit);
    if most < needed || raised.is_err() {
        warn!(
            needed,
            most,
            "the limit on open files is lower than {setting} needs on all listeners; raise it (ulimit -n, systemd \
             LimitNOFILE) or lower the setting"
        );
    }
}
