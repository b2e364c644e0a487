//! Parses locations such as `s3://bucket/path`.

use signet_api::{ErrorKind, Operation, ProviderError};

use crate::error::NAME;

/// Splits a location such as `s3://bucket/path` into the bucket and the path of the object.
///
/// # Errors
/// `InvalidConfig`, with what to write. Text after a `?` or `@` is never repeated, because it may be a secret.
pub fn split(location: &str, scheme: &str) -> Result<(String, String), ProviderError> {
    let [bucket, path] = parts(location, scheme, ["bucket", "path"])?;
    Ok((bucket, path))
}

/// Splits a location such as `az://account/container/path` into the account, the container and the path of the blob.
///
/// # Errors
/// The errors of [`split`].
pub fn split_account(location: &str, scheme: &str) -> Result<(String, String, String), ProviderError> {
    let [account, container, path] = parts(location, scheme, ["account", "container", "path"])?;
    Ok((account, container, path))
}

fn parts<const N: usize>(location: &str, scheme: &str, names: [&str; N]) -> Result<[String; N], ProviderError> {
    let refuse = |what: String| {
        let text = format!("SIGNET_STORE {what}. Write {scheme}://{}", names.join("/"));
        Err(ProviderError::new(
            NAME,
            Operation::Open,
            ErrorKind::InvalidConfig,
            text,
        ))
    };
    let Some(rest) = location.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://")) else {
        return refuse(format!("does not begin with {scheme}://"));
    };
    if rest.contains(['?', '#', '@']) || rest.contains(|character: char| character.is_whitespace()) {
        return refuse(
            "has one of ? # @ or white space. Remove keys and signatures, and set the credentials in the variables \
             of the provider"
                .to_owned(),
        );
    }
    let mut found = rest.splitn(N, '/');
    let mut parts = [const { String::new() }; N];
    for (part, name) in parts.iter_mut().zip(names) {
        match found.next() {
            Some(text) if !text.is_empty() => text.clone_into(part),
            _ => return refuse(format!("{location:?} names no {name}")),
        }
    }
    if rest.ends_with('/') || rest.contains("//") {
        return refuse(format!(
            "{location:?} must end with the name of an object, and must not have an empty part"
        ));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_taken_apart() {
        let owned = |text: &str| text.to_owned();
        assert_eq!(
            split("s3://rings/eu/ring.json", "s3").expect("split"),
            (owned("rings"), owned("eu/ring.json"))
        );
        assert_eq!(
            split_account("az://acme/rings/a/b", "az").expect("split"),
            (owned("acme"), owned("rings"), owned("a/b"))
        );
    }

    #[test]
    fn what_is_no_location_is_refused_with_what_to_write() {
        for (wrong, says) in [
            ("gs://bucket/path", "does not begin with s3://"),
            ("s3:bucket/path", "does not begin with s3://"),
            ("s3://", "names no bucket"),
            ("s3:///path", "names no bucket"),
            ("s3://bucket", "names no path"),
            ("s3://bucket/", "names no path"),
            ("s3://bucket/a/", "must end with the name of an object"),
            ("s3://bucket/a//b", "must not have an empty part"),
            ("s3://bucket/a b", "white space"),
            ("s3://key:hush@bucket/a", "Remove keys and signatures"),
            ("s3://bucket/a?sig=hush", "Remove keys and signatures"),
        ] {
            let error = split(wrong, "s3").expect_err(wrong);
            assert_eq!(error.kind, ErrorKind::InvalidConfig, "{wrong}");
            let text = error.source.to_string();
            assert!(text.contains(says), "{wrong}: {text}");
            assert!(text.ends_with("Write s3://bucket/path"), "{wrong}: {text}");
            assert!(
                text.contains("SIGNET_STORE") && !text.contains("hush"),
                "{wrong}: {text}"
            );
        }
        let error = split_account("az://account/container", "az").expect_err("no path");
        assert!(error.source.to_string().ends_with("Write az://account/container/path"));
    }
}
