//! The name of Signet in the requests that it sends (RFC 9110 §10.1.5). Firewalls refuse requests without one.

/// The `User-Agent` of our own HTTP clients: `signet/VERSION`.
pub const USER_AGENT: &str = concat!("signet/", env!("CARGO_PKG_VERSION"));

/// The name for vendors' SDKs, which add it to a `User-Agent` of their own. It is one token (RFC 9110 §5.6.2)
/// and may not contain a slash.
pub const APPLICATION_ID: &str = concat!("signet-", env!("CARGO_PKG_VERSION"));

// Azure's SDK panics if the id is longer.
const _: () = assert!(APPLICATION_ID.len() <= 24);
