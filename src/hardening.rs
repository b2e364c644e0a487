//! Protects the memory of the process: no core dumps, no debugger, no swap, no readable files.

use rustix::fs::Mode;
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, setrlimit, umask};
use tracing::{info, warn};

/// The minimum limit on locked memory, in bytes. With a lower limit, locking all memory would
/// make a later allocation fail.
const ENOUGH: u64 = 256 * 1024 * 1024;

/// The memory could not be locked, but the configuration requires it.
#[derive(Debug, thiserror::Error)]
#[error(
    "SIGNET_REQUIRE_LOCKED_MEMORY is true, but memory cannot be locked: {0}. Allow it (ulimit -l unlimited, systemd \
     LimitMEMLOCK=infinity, or the capability IPC_LOCK), or set SIGNET_REQUIRE_LOCKED_MEMORY to false"
)]
pub struct NotLocked(String);

/// Forbids core dumps and debuggers, and makes new files and sockets private. Call it before any secret is read and
/// before threads are started.
pub fn seal_process() {
    umask(Mode::from_raw_mode(0o077));
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let no_core = setrlimit(Resource::Core, none);
    // This also keeps other processes of this user from attaching (ptrace(2)) and from reading /proc/PID/mem.
    let no_dump = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    if let Err(error) = no_core.and(no_dump) {
        warn!(%error, "core dumps cannot be turned off, so a crash may write keys to disk");
    }
}

/// Keeps all present and future memory out of swap.
///
/// # Errors
/// [`NotLocked`] if `required` is set and the memory cannot be locked.
pub fn lock_memory(required: bool) -> Result<(), NotLocked> {
    let reason = match attempt() {
        Ok(()) => {
            info!("memory is locked, so keys cannot reach swap");
            return Ok(());
        }
        Err(reason) => reason,
    };
    if required {
        return Err(NotLocked(reason));
    }
    match has_swap() {
        Some(false) => info!("memory is not locked ({reason}), but this machine has no swap"),
        _ => warn!(
            "memory is not locked ({reason}), and this machine may swap, so keys could reach its disk; allow locking \
             with ulimit -l unlimited, systemd LimitMEMLOCK=infinity, or the capability IPC_LOCK"
        ),
    }
    Ok(())
}

fn attempt() -> Result<(), String> {
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    let limit = getrlimit(Resource::Memlock).current.unwrap_or(u64::MAX);
    // With the capability, the limit does not apply. Without it, raising the limit fails.
    let unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    if limit < ENOUGH && setrlimit(Resource::Memlock, unlimited).is_err() {
        return Err(format!("the limit of {limit} bytes is too low"));
    }
    mlockall(flags).map_err(|error| error.to_string())
}

/// Whether the machine has swap. `None` if it cannot be found out.
fn has_swap() -> Option<bool> {
    // The file has a heading and one line for each swap area (proc(5)).
    std::fs::read_to_string("/proc/swaps")
        .ok()
        .map(|swaps| swaps.lines().count() > 1)
}
