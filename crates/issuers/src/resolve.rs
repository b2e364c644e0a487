//! Resolves the host names of an issuer's URLs.
//!
//! If a discovery document from elsewhere names a host, that host must not resolve to this machine (DNS rebinding).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use signet_base::Nearness;

use super::Location;
use super::own_address::is_own;

/// The resolver of one issuer's client. Names that are not the issuer's, such as that of a
/// proxy, are resolved as usual.
#[derive(Clone, Debug, Default)]
pub(super) struct Resolver(Arc<Mutex<Names>>);

#[derive(Debug, Default)]
struct Names {
    /// The host of the discovery document, if the operator configured only that.
    document: Option<String>,
    /// The network that this host is in. If all its addresses are on this machine, or on its link, the host is the
    /// operator's own and may name others there.
    network: Option<ProtectedNetwork>,
    /// The host that the document names.
    led_to: Option<String>,
}

/// The places to which a document from elsewhere must not lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProtectedNetwork {
    Machine,
    Link,
}

impl ProtectedNetwork {
    /// The place of an address. `None` means elsewhere.
    fn of(address: IpAddr) -> Option<Self> {
        match Nearness::of_address(address) {
            Nearness::Here | Nearness::PerhapsHere => Some(Self::Machine),
            Nearness::Link => Some(Self::Link),
            Nearness::Elsewhere => is_own(address).then_some(Self::Machine),
        }
    }

    /// The common place of all addresses. If a single address is elsewhere, the result is `None`, because the client
    /// may connect to that address.
    fn of_all(addresses: &[SocketAddr]) -> Option<Self> {
        let first = Self::of(addresses.first()?.ip())?;
        addresses
            .iter()
            .all(|address| Self::of(address.ip()) == Some(first))
            .then_some(first)
    }
}

impl Resolver {
    /// Notes that the document at this location is fetched next. `None` means that a proxy fetches it. Then only the
    /// name of the proxy is resolved, which the operator chose.
    pub(super) fn on_fetch(&self, document: Option<&Location>) {
        *self.names() = Names {
            document: document.and_then(host),
            // An IP address is not resolved, so its place is known now.
            network: document.and_then(Location::address).and_then(ProtectedNetwork::of),
            led_to: None,
        };
    }

    /// Notes that the document named this location. `None` means that a proxy fetches it.
    pub(super) fn on_keys_location(&self, keys: Option<&Location>) {
        self.names().led_to = keys.and_then(host);
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.0.lock()
    }

    /// Returns the addresses of a name to which a connection is allowed.
    fn judge(&self, name: &str, addresses: Vec<SocketAddr>) -> io::Result<Vec<SocketAddr>> {
        let mut names = self.names();
        if names.led_to.is_none() && names.document.as_deref() == Some(name) {
            names.network = ProtectedNetwork::of_all(&addresses);
        }
        if names.led_to.as_deref() != Some(name) {
            return Ok(addresses);
        }
        let may_be_asked = |address: &SocketAddr| match ProtectedNetwork::of(address.ip()) {
            None => true,
            network => network == names.network,
        };
        let (elsewhere, near): (Vec<_>, Vec<_>) = addresses.into_iter().partition(may_be_asked);
        match (near.first(), elsewhere.is_empty()) {
            (Some(address), true) => Err(io::Error::other(format!(
                "{name} resolves to {}, an address of this machine or a link-local one, so Signet sends no request to \
                 it; if you mean that, write the URL of the keys as jwks_url",
                address.ip()
            ))),
            _ => Ok(elsewhere),
        }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            // The caller sets the port.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let addresses: Addrs = Box::new(resolver.judge(name.as_str(), found)?.into_iter());
            Ok(addresses)
        })
    }
}

fn host(location: &Location) -> Option<String> {
    location.url().host_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::super::own_address::tests::own_addresses;
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        let address = |text: &&str| SocketAddr::new(text.parse().expect("an address"), 0);
        texts.iter().map(address).collect()
    }

    /// The allowed addresses of the keys' host, if the document's host resolves to `document`.
    fn asked(document: &[&str], keys: (&str, &[&str])) -> Option<Vec<SocketAddr>> {
        let at = |host: &str| Location::parse(&format!("https://{host}/")).expect("a location");
        let resolver = Resolver::default();
        resolver.on_fetch(Some(&at("login.example.com")));
        let all = addresses(document);
        assert_eq!(resolver.judge("login.example.com", all.clone()).ok(), Some(all));
        resolver.on_keys_location(Some(&at(keys.0)));
        // No document names the proxy, so it may be on this machine.
        let proxy = addresses(&["127.0.0.1"]);
        assert_eq!(resolver.judge("proxy.example.com", proxy.clone()).ok(), Some(proxy));
        resolver.judge(keys.0, addresses(keys.1)).ok()
    }

    #[test]
    fn a_name_that_resolves_to_this_machine_does_not_lead_here_either() {
        let there: &[&str] = &["192.0.2.1", "2001:db8::1"];
        let near = [
            "127.0.0.1",
            "127.0.1.1",
            "::1",
            "0.0.0.0",
            "::ffff:127.0.0.1",
            "169.254.169.254",
            "fe80::1",
        ];
        let own: Vec<String> = own_addresses().iter().map(ToString::to_string).collect();
        for near in near.into_iter().chain(own.iter().map(String::as_str)) {
            for host in ["keys.example.com", "login.example.com"] {
                assert_eq!(asked(there, (host, &[near])), None, "{host} at {near}");
                let rest = Some(addresses(&["192.0.2.7"]));
                assert_eq!(asked(there, (host, &[near, "192.0.2.7"])), rest, "{host} at {near} too");
                // For example an alias for the operator's own proxy.
                let both = Some(addresses(&[near]));
                assert_eq!(asked(&[near], (host, &[near])), both, "{host} at {near}");
                // An attacker who controls the DNS of the document's host can add our address beside their own.
                assert_eq!(asked(&[near, "192.0.2.1"], (host, &[near])), None, "{host} at {near}");
            }
        }
        assert_eq!(asked(there, ("keys.example.com", there)), Some(addresses(there)));
        // An issuer on this machine must not lead to the metadata service that holds our cloud credentials.
        for metadata in ["169.254.169.254", "fd00:ec2::254"] {
            assert_eq!(asked(&["127.0.0.1"], ("keys.example.com", &[metadata])), None);
        }
    }

    #[test]
    fn an_issuer_that_is_written_as_an_address_of_this_machine_leads_here() {
        let at = |text: &str| Location::parse(text).expect("a location");
        for (document, is_here) in [("https://127.0.0.1/", true), ("https://198.51.100.7/", false)] {
            let resolver = Resolver::default();
            resolver.on_fetch(Some(&at(document)));
            resolver.on_keys_location(Some(&at("https://keys.example.com/")));
            let keys = resolver.judge("keys.example.com", addresses(&["127.0.0.1"]));
            assert_eq!(keys.is_ok(), is_here, "{document}");
        }
    }

    #[tokio::test]
    async fn names_are_resolved_as_the_machine_does_and_then_judged() {
        let resolver = Resolver::default();
        let resolve = || resolver.resolve("localhost".parse().expect("a name"));
        let found: Vec<_> = resolve().await.expect("addresses").collect();
        assert!(
            !found.is_empty() && found.iter().all(|address| address.ip().is_loopback()),
            "{found:?}"
        );
        resolver.on_fetch(Some(
            &Location::parse("https://login.example.com/").expect("a location"),
        ));
        resolver.on_keys_location(Some(&Location::parse("https://localhost/").expect("a location")));
        let Err(error) = resolve().await else {
            panic!("led here")
        };
        assert!(error.to_string().contains("as jwks_url"), "{error}");
        // The name is the same, but it belongs to the proxy through which the keys are fetched.
        resolver.on_keys_location(None);
        assert!(resolve().await.is_ok());
    }
}
