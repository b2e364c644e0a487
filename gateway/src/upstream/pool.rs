//! The connections that wait for their next request, for each thread.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::uri::Authority;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::client::Shared;
use super::connection::Connection;

/// How often unused connections are checked.
const SWEEP: Duration = Duration::from_secs(1);

thread_local! {
    /// The pools of this thread. Their connections stay open as long as something uses their settings.
    static POOLS: RefCell<Vec<(Weak<Shared>, Pool)>> = const { RefCell::new(Vec::new()) };
}

/// A connection, and where it belongs.
#[derive(Debug)]
pub(super) struct Lease {
    /// The connection itself.
    pub connection: Connection,
    /// The settings of the connection.
    pub shared: Weak<Shared>,
    /// Whether the connection is over TLS.
    pub is_tls: bool,
    /// The host at the other end.
    pub authority: Authority,
}

#[derive(Debug, Default)]
struct Pool {
    clear: Idle,
    tls: Idle,
    is_swept: bool,
}

/// The connections by host, with the time when each was released. The last one released is used first.
type Idle = HashMap<String, Vec<(Box<Lease>, Instant)>>;

impl Pool {
    fn idle(&mut self, is_tls: bool) -> &mut Idle {
        match is_tls {
            true => &mut self.tls,
            false => &mut self.clear,
        }
    }
}

/// Takes an unused connection to this host.
pub(super) fn take(shared: &Arc<Shared>, is_tls: bool, authority: &Authority) -> Option<Box<Lease>> {
    POOLS.with_borrow_mut(|pools| {
        let (_, pool) = pools.iter_mut().find(|(of, _)| of.as_ptr() == Arc::as_ptr(shared))?;
        let idle = pool.idle(is_tls).get_mut(authority.as_str())?;
        let (lease, since) = idle.pop()?;
        match shared.connections.idle_timeout {
            Some(timeout) if since.elapsed() > timeout => {
                // The others are older.
                idle.clear();
                None
            }
            _ => Some(lease),
        }
    })
}

/// Puts a connection into the pool of this thread, for the next request.
pub(super) fn put(lease: Box<Lease>) {
    // The settings are no longer in use if a newer file has other ones.
    let Some(shared) = lease.shared.upgrade() else {
        return;
    };
    // At the end of a thread there is no pool.
    let surplus = POOLS.try_with(|pools| {
        let pools = &mut *pools.borrow_mut();
        let index = pools.iter().position(|(of, _)| of.as_ptr() == Arc::as_ptr(&shared));
        let index = index.unwrap_or_else(|| {
            pools.push((lease.shared.clone(), Pool::default()));
            pools.len() - 1
        });
        let pool = &mut pools[index].1;
        if !pool.is_swept {
            // While the process ends, there may be no runtime, and nothing more to sweep.
            let Ok(runtime) = Handle::try_current() else {
                return Some(lease);
            };
            pool.is_swept = true;
            runtime.spawn(sweep(lease.shared.clone()));
        }
        let idle = pool.idle(lease.is_tls);
        let kept = match idle.get_mut(lease.authority.as_str()) {
            Some(kept) => kept,
            None => idle.entry(lease.authority.as_str().to_owned()).or_default(),
        };
        if kept.len() < shared.connections.idle_per_host {
            kept.push((lease, Instant::now()));
            return None;
        }
        Some(lease)
    });
    drop(surplus);
}

/// Closes connections that were unused too long or that their backend closed, until this thread has none.
async fn sweep(shared: Weak<Shared>) {
    loop {
        sleep(SWEEP).await;
        let timeout = shared.upgrade().map(|shared| shared.connections.idle_timeout);
        let is_empty = POOLS.with_borrow_mut(|pools| {
            let Some(index) = pools.iter().position(|(of, _)| of.ptr_eq(&shared)) else {
                return true;
            };
            let Some(timeout) = timeout else {
                pools.swap_remove(index);
                return true;
            };
            let pool = &mut pools[index].1;
            for idle in [&mut pool.clear, &mut pool.tls] {
                idle.retain(|_, kept| {
                    kept.retain_mut(|(lease, since)| {
                        timeout.is_none_or(|timeout| since.elapsed() <= timeout) && lease.connection.is_open()
                    });
                    !kept.is_empty()
                });
            }
            pool.is_swept = !(pool.clear.is_empty() && pool.tls.is_empty());
            !pool.is_swept
        });
        if is_empty {
            return;
        }
    }
}
