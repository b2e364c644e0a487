//! Whether an IP address belongs to an interface of this machine. The address alone does not show that, so the system
//! is asked: it binds a socket only to its own addresses.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// Addresses that no machine has: a reserved one (RFC 1112 §4) and one of the discard prefix (RFC 6666).
const NOBODYS: (Ipv4Addr, Ipv6Addr) = (Ipv4Addr::new(240, 0, 0, 1), Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 1));

/// Whether a connection to this address ends on this machine. Nothing is sent.
///
/// If the system lets sockets bind to any address (`net.ipv4.ip_nonlocal_bind`), this cannot be
/// known, and the answer is no.
pub(super) fn is_own(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let nobodys = match address {
        IpAddr::V4(_) => IpAddr::V4(NOBODYS.0),
        IpAddr::V6(_) => IpAddr::V6(NOBODYS.1),
    };
    may_have(address) && !may_have(nobodys)
}

fn may_have(address: IpAddr) -> bool {
    match UdpSocket::bind((address, 0)) {
        Ok(_) => true,
        // These errors mean that the address is not ours, or that a sandbox forbids the question.
        Err(error) => !matches!(
            error.kind(),
            ErrorKind::AddrNotAvailable | ErrorKind::Unsupported | ErrorKind::PermissionDenied
        ),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The addresses from which this machine sends to the network, if it has any.
    pub(crate) fn own_addresses() -> Vec<IpAddr> {
        let from = |any: &str, to: &str| {
            let socket = UdpSocket::bind(any).ok()?;
            // Connecting a UDP socket sends nothing.
            socket.connect(to).ok()?;
            Some(socket.local_addr().ok()?.ip())
        };
        let both = [from("0.0.0.0:0", "198.51.100.1:9"), from("[::]:0", "[2001:db8::1]:9")];
        both.into_iter().flatten().filter(|own| !own.is_loopback()).collect()
    }

    #[test]
    fn the_addresses_of_this_machine_are_own_and_others_are_not() {
        for text in ["127.0.0.1", "127.9.9.9", "::ffff:127.0.0.1"] {
            assert!(is_own(text.parse().expect("an address")), "{text}");
        }
        for own in own_addresses() {
            assert!(is_own(own), "{own}");
        }
        for text in [
            "198.51.100.7",
            "240.0.0.1",
            "2001:db8::7",
            "::ffff:198.51.100.7",
            "100::1",
        ] {
            assert!(!is_own(text.parse().expect("an address")), "{text}");
        }
    }
}
