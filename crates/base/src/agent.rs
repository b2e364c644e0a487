//! How Signet names itself in every request that it sends (RFC 9110 §10.1.5). Firewalls refuse requests without it.

/// The `User-Agent` of clients of our own: `signet/VERSION`.
pub const USER_AGENT: &str = concat!("signet/", env!("CARGO_PKG_VERSION"));

/// The same as the vendors' SDKs take it, which put it into a `User-Agent` of their own: one token (RFC 9110 §5.6.2), in
/// which no slash may stand.
pub const APPLICATION_ID: &str = concat!("signet-", env!("CARGO_PKG_VERSION"));

// Azure's SDK panics at a longer one.
const _: () = assert!(APPLICATION_ID.len() <= 24);
