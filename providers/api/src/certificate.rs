//! Text and retry behaviour for certificates that are not trusted, shared by all clients.
//!
//! Every client reports such a failure as `Unavailable`. Most of them are faults of the server, such as an expired
//! certificate, and a sidecar that starts in the meantime uses the last good ring. A file of authorities that cannot be
//! read is a fault of our settings: it is `InvalidConfig` when the provider is opened.

use signet_base::rfc3339;
use signet_core::Timestamp;

/// What to do about a failed connection, if the server's certificate was not trusted.
///
/// `failure` is the error with its causes, as rustls words it in all our clients. `setting` names the file of
/// the authorities to trust.
#[must_use]
pub fn untrusted(failure: &str, setting: &str) -> Option<String> {
    if !failure.contains("invalid peer certificate") {
        return None;
    }
    let has = |text: &str| failure.contains(text);
    Some(if has("certificate expired") {
        // rustls: "certificate is not valid after 1609459200 (… seconds ago)".
        let since = instant(failure, "not valid after ").map_or_else(String::new, |end| format!(" since {end}"));
        format!(
            "The server's certificate, or one of its intermediate certificates, has expired{since}: renew it at the \
             server; no setting of Signet helps. If it was renewed, correct the clock of this machine"
        )
    } else if has("certificate not valid yet") {
        let from = instant(failure, "not valid before ").map_or_else(String::new, |begin| format!(" before {begin}"));
        format!("The server's certificate is not valid yet{from}: correct the clock of this machine")
    } else if has("not valid for name") {
        "The server's certificate is for another name: correct the address, or find out which server answers there"
            .to_owned()
    } else {
        format!(
            "The server's certificate is not trusted. If it is signed by your own authority, or by that of a proxy, \
             set {setting} to a PEM file with the authority's certificates. If not, another server may \
             be answering: treat it as an attack"
        )
    })
}

/// The instant that follows these words in the text of a failure, converted from seconds to a date.
fn instant(failure: &str, before: &str) -> Option<String> {
    let (_, rest) = failure.split_once(before)?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    Some(rfc3339(Timestamp::from_secs(rest[..end].parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_of_a_certificate_has_its_advice_and_no_other_failure_has_one() {
        for (failure, says) in [
            (
                "connect: invalid peer certificate: UnknownIssuer",
                "set SSL_CERT_FILE to",
            ),
            ("invalid peer certificate: BadSignature", "SSL_CERT_FILE"),
            (
                "invalid peer certificate: certificate expired: verification time 1700000000 (UNIX), but certificate is not valid \
                 after 1609459200 (90540800 seconds ago)",
                "expired since 2021-01-01T00:00:00Z: renew it at the server",
            ),
            ("invalid peer certificate: certificate expired", "has expired: renew it"),
            (
                "invalid peer certificate: certificate not valid yet: verification time 1",
                "clock",
            ),
            (
                "invalid peer certificate: certificate not valid for name \"a\"; certificate is only valid for b",
                "another name",
            ),
        ] {
            let advice = untrusted(failure, "SSL_CERT_FILE").expect(failure);
            assert!(advice.contains(says), "{failure}: {advice}");
        }
        for other in [
            "connection refused",
            "received fatal alert: HandshakeFailure",
            "dns error",
        ] {
            assert_eq!(untrusted(other, "SSL_CERT_FILE"), None);
        }
    }
}
