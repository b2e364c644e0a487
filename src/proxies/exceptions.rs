//! The entries of `NO_PROXY` in the form that all clients understand: hosts including all subdomains, addresses,
//! networks, and `*`. Other forms, which other programs accept, are converted.

use std::net::IpAddr;

/// Hosts that never use a proxy: this machine; the link, where EC2, ECS, EKS, Azure and Google serve instance metadata
/// (169.254.169.254, 169.254.170.2, 169.254.170.23); and the same metadata servers by IPv6 address and by name.
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

/// Parses a list whose entries are separated by commas or white space.
///
/// # Errors
/// What to write in place of an entry that no client understands.
pub(super) fn read(list: &str) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    for text in list.split(|character: char| character == ',' || character.is_whitespace()) {
        if text.is_empty() {
            continue;
        }
        let entry = entry(text).ok_or_else(|| {
            format!(
                "has {text:?}, which is not a host, an address or a network. Write hosts as example.com and networks \
                 as 10.0.0.0/8, separated by commas, without scheme or path; * may stand alone or as \
                 the first label of a host"
            )
        })?;
        if !entries.contains(&entry) {
            entries.push(entry);
        }
    }
    Ok(entries)
}

fn entry(text: &str) -> Option<Entry> {
    if text == "*" || text.parse::<IpAddr>().is_ok() {
        return Some(Entry::from(text));
    }
    if let Some(network) = network(text) {
        return Some(network);
    }
    let host = without_port(text);
    if host.parse::<IpAddr>().is_ok() {
        return Some(Entry::from(host));
    }
    // `.example.com` and `*.example.com` mean `example.com` with its subdomains. `*example.com` would mean more.
    let host = host.strip_prefix("*.").or(host.strip_prefix('.')).unwrap_or(host);
    let host = host.strip_suffix('.').unwrap_or(host);
    is_a_host(host).then(|| Entry::from(host))
}

/// Whether this is a valid host name in a URL.
///
/// If the last part is a number, it is an address or the beginning of one (WHATWG URL §3.5). Some programs take
/// `192.168.` for a prefix, but no client here does.
fn is_a_host(text: &str) -> bool {
    let is_of_labels = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
    let is_label = |label: &str| {
        !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.chars().all(is_of_labels)
    };
    let is_a_number = |label: &str| label.starts_with(|first: char| first.is_ascii_digit()) && !has_letters(label);
    text.split('.').all(is_label) && !text.rsplit('.').next().is_some_and(is_a_number)
}

/// `0x7f` is also a number, but nobody writes it here.
fn has_letters(label: &str) -> bool {
    label.contains(|character: char| character.is_ascii_alphabetic())
}

/// The entries of a list that name a port. Clients ignore ports.
pub(super) fn with_ports(list: &str) -> Vec<&str> {
    let entries = list.split(|character: char| character == ',' || character.is_whitespace());
    let has_port = |entry: &&str| match entry.strip_prefix('[') {
        Some(rest) => rest.contains("]:"),
        None => entry.parse::<IpAddr>().is_err() && without_port(entry) != *entry,
    };
    entries.filter(has_port).collect()
}

/// A network in the form that the clients use. They take `10.0.0.0/08` for a host name.
fn network(text: &str) -> Option<Entry> {
    let (address, bits) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let most = match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    };
    let bits: u8 = bits.parse().ok().filter(|bits| *bits <= most)?;
    Some(Entry(format!("{address}/{bits}")))
}

/// Removes a port. A host that bypasses the proxy does so on all its ports.
fn without_port(text: &str) -> &str {
    if let Some(rest) = text.strip_prefix('[') {
        return match rest.split_once(']') {
            Some((host, "")) => host,
            Some((host, port)) if port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok()) => host,
            _ => text,
        };
    }
    match text.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => host,
        _ => text,
    }
}
