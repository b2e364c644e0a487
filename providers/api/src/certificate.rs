//! Certificates that are not trusted: one text for every client, and no retries.
//!
//! Every client answers `Unavailable`. Most of these failures come from the other side, such as a certificate that nobody
//! renewed, and a sidecar that starts meanwhile goes on with the last good ring. A file of authorities that cannot be read is
//! a setting of ours: `InvalidConfig`, when the provider is opened.

/// What to do about a failure of a connection, if it is that the server's certificate was not trusted. `failure` is the error with its
/// causes, as rustls has them under every client of ours; `setting` names the file of the authorities to trust.
#[must_use]
pub fn untrusted(failure: &str, setting: &str) -> Option<String> {
    if !failure.contains("invalid peer certificate") {
        return None;
    }
    let has = |text: &str| failure.contains(text);
    Some(if has("certificate expired") {
        "The server's certificate has expired: have it renewed, or set the clock of this machine right".to_owned()
    } else if has("certificate not valid yet") {
        "The server's certificate is not valid yet: set the clock of this machine right".to_owned()
    } else if has("not valid for name") {
        "The server's certificate is for another name: correct the address, or look for who answers in the server's place"
            .to_owned()
    } else {
        format!(
            "The server's certificate is not trusted: if its authority is a private one, or that of a proxy, point {setting} to \
             the authority's certificates (a PEM file); if not, somebody may be answering in the server's place"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_of_a_certificate_has_its_advice_and_no_other_failure_has_one() {
        for (failure, says) in [
            (
                "connect: invalid peer certificate: UnknownIssuer",
                "point SSL_CERT_FILE to",
            ),
            ("invalid peer certificate: BadSignature", "SSL_CERT_FILE"),
            (
                "invalid peer certificate: certificate expired: verification time 2",
                "renewed",
            ),
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
