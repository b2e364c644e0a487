//! The entries of `NO_PROXY`, in the one form that all clients understand: hosts with all that is below them, addresses,
//! networks, and `*`. What other programs take beside that is brought into this form.

use std::net::IpAddr;

/// What never goes to a proxy: this machine; the link, where EC2, ECS, EKS, Azure and Google have their servers of instance
/// metadata (169.254.169.254, 169.254.170.2, 169.254.170.23); and the same servers by IPv6 address and by name.
pub(super) const NEVER: [&str; 9] = [
    "localhost",
    "127.0.0.0/8",
    "::1",
    "169.254.0.0/16",
    "fe80::/10",
    "fd00:ec2::/32",
    "fd20:ce::/32",
    "metadata.google.internal",
    "metadata.goog",
];

/// One entry of `NO_PROXY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry(String);

impl Entry {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Entry {
    fn from(text: &str) -> Self {
        Self(text.to_ascii_lowercase())
    }
}

/// Reads a list. Commas or white space separate its entries.
///
/// # Errors
/// What to write in the place of an entry that no client understands.
pub(super) fn read(list: &str) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    for text in list.split(|character: char| character == ',' || character.is_whitespace()) {
        if text.is_empty() {
            continue;
        }
        let entry = entry(text).ok_or_else(|| {
            format!(
                "holds {text:?}, which is no host, address or network: write hosts as example.com, networks as 10.0.0.0/8, \
                 separated by commas"
            )
        })?;
        if !entries.contains(&entry) {
            entries.push(entry);
        }
    }
    Ok(entries)
}

fn entry(text: &str) -> Option<Entry> {
    if text == "*" || text.parse::<IpAddr>().is_ok() || is_network(text) {
        return Some(Entry::from(text));
    }
    let host = without_port(text);
    if host.parse::<IpAddr>().is_ok() {
        return Some(Entry::from(host));
    }
    // `.example.com` and `*.example.com` are `example.com` with what is below it.
    let host = host.strip_prefix('*').unwrap_or(host);
    let host = host.trim_matches('.');
    let is_of_hosts = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.');
    (!host.is_empty() && host.chars().all(is_of_hosts)).then(|| Entry::from(host))
}

fn is_network(text: &str) -> bool {
    text.split_once('/').is_some_and(|(address, bits)| {
        let most = match address.parse() {
            Ok(IpAddr::V4(_)) => 32,
            Ok(IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        bits.parse::<u8>().is_ok_and(|bits| bits <= most)
    })
}

/// A port says nothing: a host that takes no proxy takes none on all its ports.
fn without_port(text: &str) -> &str {
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split_once(']').map_or(text, |(host, _)| host);
    }
    match text.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => host,
        _ => text,
    }
}
