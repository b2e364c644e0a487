//! Encodes the version of an object as one string, as the trait [`RingStore`](signet_sealed::RingStore) needs it.
//!
//! S3 and Azure compare the entity tag, and Google the generation number. The client needs both.

use object_store::UpdateVersion;
use signet_sealed::Version;

/// Encodes a version. `None` if the store returned neither a tag nor a version.
///
/// Both come from headers and contain no line breaks.
pub(crate) fn encode(e_tag: Option<&str>, version: Option<&str>) -> Option<Version> {
    let parts: Vec<String> = [("etag", e_tag), ("version", version)]
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name} {}", value.filter(|value| !value.is_empty())?)))
        .collect();
    (!parts.is_empty()).then(|| Version::new(parts.join("\n")))
}

pub(crate) fn decode(version: &Version) -> UpdateVersion {
    let part = |name: &str| {
        let mut lines = version.as_str().lines();
        lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(' ')?.to_owned()))
    };
    UpdateVersion {
        e_tag: part("etag"),
        version: part("version"),
    }
}

/// A version that no object ever has, in a form that all three vendors accept. Entity tags of S3 and Azure are longer,
/// and Google's generations are microseconds since 1970.
pub(crate) fn impossible() -> UpdateVersion {
    UpdateVersion {
        e_tag: Some("\"0x0\"".to_owned()),
        version: Some("1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_holds_both_names_and_neither_is_none() {
        for (e_tag, version) in [
            (Some("\"d41d8cd9\""), None),
            (Some("W/\"a b\""), Some("1732464000000000")),
            (None, Some("7")),
        ] {
            let encoded = encode(e_tag, version).expect("a version");
            let decoded = decode(&encoded);
            assert_eq!((decoded.e_tag.as_deref(), decoded.version.as_deref()), (e_tag, version));
        }
        assert_eq!(encode(None, None), None);
        assert_eq!(encode(Some(""), None), None);
    }
}
