//! The process at the other end of the local socket, as the kernel reports it (`SO_PEERCRED`, unix(7)).

use std::collections::BTreeSet;

/// A process that has connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its effective user id.
    pub uid: u32,
    /// Its effective group id. Supplementary groups are not reported.
    pub gid: u32,
    /// Its process id, if the kernel reports it.
    pub pid: Option<i32>,
}

/// Who may connect, in addition to the limits of the socket's file mode.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList {
    /// User ids that may connect.
    pub uids: BTreeSet<u32>,
    /// Primary group ids that may connect.
    pub gids: BTreeSet<u32>,
}

impl AllowList {
    /// Whether this peer may connect.
    #[must_use]
    pub fn allows(&self, peer: &Peer) -> bool {
        self.uids.contains(&peer.uid) || self.gids.contains(&peer.gid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_let_in_by_its_user_or_by_its_group_and_otherwise_not() {
        let list = AllowList {
            uids: [10].into(),
            gids: [20].into(),
        };
        let peer = |uid, gid| Peer { uid, gid, pid: None };
        assert!(list.allows(&peer(10, 1)));
        assert!(list.allows(&peer(1, 20)));
        assert!(!list.allows(&peer(20, 10)));
        assert!(
            !AllowList::default().allows(&peer(0, 0)),
            "even root may connect only if it is on the list"
        );
    }
}
