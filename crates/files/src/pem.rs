//! Says what a file contains instead of certificates in PEM.

/// The problem with a file that should hold certificates of authorities in PEM, worded to follow the file's name.
/// `None` if it seems to have some. They are not decoded here.
#[must_use]
pub fn no_authorities(content: &[u8]) -> Option<&'static str> {
    let has = |text: &str| content.windows(text.len()).any(|part| part == text.as_bytes());
    if has("-----BEGIN CERTIFICATE-----") {
        return None;
    }
    Some(match content {
        [] => "is empty; write the certificates of the authorities into it, in PEM",
        // The beginning of a DER SEQUENCE of more than 255 bytes (X.690).
        [0x30, 0x82, ..] => {
            "has a certificate in DER; convert it to PEM with `openssl x509 -inform der -in FILE -out FILE.pem`"
        }
        _ if has("PRIVATE KEY-----") => {
            "has a private key and no certificate; write the path of a file with the certificates of the \
             authorities, in PEM"
        }
        _ => {
            "has no certificate in PEM, which starts with BEGIN CERTIFICATE; write the path of a file with the \
             certificates of the authorities"
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_certificate_is_told_with_what_is_in_it() {
        for (content, says) in [
            (&b""[..], "is empty"),
            (b"junk", "has no certificate in PEM"),
            (&[0x30, 0x82, 0x02, 0x00], "in DER"),
            (b"-----BEGIN PRIVATE KEY-----\nAAAA", "a private key and no certificate"),
        ] {
            assert!(no_authorities(content).expect(says).contains(says), "{says}");
        }
        assert_eq!(no_authorities(b"# ours\n-----BEGIN CERTIFICATE-----\nAAAA"), None);
    }
}
