//! The format of a sealed secret: the version that sealed it, its data key, its ciphertext, and the vault's signature.
//!
//! ```text
//! "signet-azure/1" | version | wrapped data key | nonce | ciphertext and tag | signature
//! ```
//! Each part except the first is preceded by its length in four bytes.

/// The format and its version. It also separates these signatures from others.
const MAGIC: &[u8] = b"signet-azure/1";
pub(crate) const NONCE: usize = 12;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blob {
    /// The version of the key in the vault.
    pub(crate) version: String,
    /// The data key, encrypted to that version with RSA-OAEP-256.
    pub(crate) data_key: Vec<u8>,
    pub(crate) nonce: [u8; NONCE],
    pub(crate) ciphertext: Vec<u8>,
    /// The signature of that version over [`Blob::signed`], with PS256.
    pub(crate) signature: Vec<u8>,
}

impl Blob {
    /// The signed bytes: everything, and the context. Each part is preceded by its length, so different blobs
    /// have different bytes here.
    pub(crate) fn signed(&self, key: &str, context: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for part in [
            key.as_bytes(),
            context,
            self.version.as_bytes(),
            &self.data_key,
            &self.nonce,
            &self.ciphertext,
        ] {
            push(&mut bytes, part);
        }
        bytes
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for part in [
            self.version.as_bytes(),
            &self.data_key,
            &self.nonce,
            &self.ciphertext,
            &self.signature,
        ] {
            push(&mut bytes, part);
        }
        bytes
    }

    /// Parses a blob. `None` if the bytes are not one.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let version = String::from_utf8(take(&mut rest)?.to_vec()).ok()?;
        // The version becomes part of a URL.
        if version.is_empty() || version.len() > 64 || !version.bytes().all(|octet| octet.is_ascii_alphanumeric()) {
            return None;
        }
        let blob = Self {
            version,
            data_key: take(&mut rest)?.to_vec(),
            nonce: take(&mut rest)?.try_into().ok()?,
            ciphertext: take(&mut rest)?.to_vec(),
            signature: take(&mut rest)?.to_vec(),
        };
        rest.is_empty().then_some(blob)
    }
}

fn push(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(part);
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, after) = rest.split_first_chunk::<4>()?;
    let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
    let (part, after) = after.split_at_checked(len)?;
    *rest = after;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob() -> Blob {
        Blob {
            version: "0123456789abcdef0123456789abcdef".to_owned(),
            data_key: vec![1; 256],
            nonce: [2; NONCE],
            ciphertext: vec![3; 40],
            signature: vec![4; 256],
        }
    }

    #[test]
    fn a_blob_comes_back_as_it_was_and_no_part_of_one_does() {
        let bytes = blob().to_bytes();
        assert_eq!(Blob::from_bytes(&bytes), Some(blob()));
        for len in 0..bytes.len() {
            assert_eq!(Blob::from_bytes(&bytes[..len]), None, "{len}");
        }
        assert_eq!(Blob::from_bytes(&[bytes.as_slice(), b"\0"].concat()), None);
    }

    #[test]
    fn a_version_that_would_lead_elsewhere_is_none() {
        for version in ["", "..", "a/b", "a?b", "é"] {
            let blob = Blob {
                version: version.to_owned(),
                ..blob()
            };
            assert_eq!(Blob::from_bytes(&blob.to_bytes()), None, "{version}");
        }
    }

    #[test]
    fn what_is_signed_differs_wherever_blobs_or_contexts_differ() {
        let signed = blob().signed("key", b"context");
        assert_ne!(signed, blob().signed("ke", b"ycontext"));
        assert_ne!(signed, blob().signed("key", b"other"));
        let mut moved = blob();
        moved.data_key.push(2);
        moved.ciphertext.remove(0);
        assert_ne!(signed, moved.signed("key", b"context"));
    }
}
