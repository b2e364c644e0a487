//! Settings whose value is a name from a list.

use std::fmt;
use std::path::PathBuf;

use super::parse;

/// The settings of an origin, besides the variables of its provider.
pub(super) const OF_ALSO: [&str; 4] = ["CUSTODY", "KEY", "STORE", "LOCAL_KEY_FILE"];

macro_rules! providers {
    ($($(#[$doc:meta])* $variant:ident = $word:literal, $custody:literal, $built_in:expr, $ecosystem:expr;)+) => {
        /// A provider. Its name is also that of its folder, crate, feature and metric label.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum ProviderName {
            $($(#[$doc])* $variant,)+
        }

        impl ProviderName {
            /// All providers, built in or not.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name in settings, logs and metrics.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// Whether the provider is part of this binary.
            #[must_use]
            pub const fn is_built_in(self) -> bool {
                match self {
                    $(Self::$variant => $built_in,)+
                }
            }

            /// The custody if none is set.
            pub(super) const fn default_custody(self) -> &'static str {
                match self {
                    $(Self::$variant => $custody,)+
                }
            }

            /// The variables of the provider's own ecosystem. An entry that ends in `_` is a prefix.
            pub(super) const fn ecosystem(self) -> &'static [&'static str] {
                match self {
                    $(Self::$variant => $ecosystem,)+
                }
            }
        }
    };
}

providers! {
    /// Keys on this machine's disk.
    Local = "local", "sealed", true, &[];
    /// HashiCorp Vault or OpenBao.
    Vault = "vault", "remote", cfg!(feature = "vault"), &["VAULT_"];
    /// AWS Key Management Service.
    AwsKms = "aws-kms", "remote", cfg!(feature = "aws-kms"), &["AWS_", "HOME"];
    /// Azure Key Vault.
    AzureKeyVault = "azure-key-vault", "remote", cfg!(feature = "azure-key-vault"), &["AZURE_", "IDENTITY_", "MSI_", "SSL_CERT_FILE"];
    /// Google Cloud Key Management Service.
    GcpKms = "gcp-kms", "remote", cfg!(feature = "gcp-kms"), &["GOOGLE_", "GCE_", "CLOUDSDK_", "STORAGE_", "HOME", "SSL_CERT_FILE"];
}

impl ProviderName {
    /// The name as part of an environment variable: `AWS_KMS`.
    #[must_use]
    pub fn in_variables(self) -> String {
        self.as_str().to_ascii_uppercase().replace('-', "_")
    }

    /// The names of the providers that are part of this binary.
    fn built_in() -> String {
        let names = Self::ALL.iter().filter(|name| name.is_built_in());
        names.map(|name| name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// The kinds of stores, built in or not. A store that is not built in deserves another error than a misspelled one.
const STORES: [&str; 6] = ["file", "vault", "s3", "gs", "az", "k8s"];

impl fmt::Display for ProviderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a sealed ring is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// A file on this machine.
    File(PathBuf),
    /// A place that this provider can reach with its credentials.
    With(ProviderName, String),
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line, for programs.
    Json,
}

impl LogFormat {
    /// The name in settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

pub(super) fn provider(text: &str) -> Result<ProviderName, String> {
    let found = ProviderName::ALL.iter().copied().find(|name| name.as_str() == text);
    let wrong = match found {
        Some(name) if name.is_built_in() => return Ok(name),
        Some(_) => "is not built into this binary",
        None => "is not a provider",
    };
    Err(format!("{text:?} {wrong}; write one of: {}", ProviderName::built_in()))
}

pub(super) fn store(text: &str) -> Result<Store, String> {
    let example = "write for example file:/var/lib/signet/ring.json, vault:secret/signet/ring, s3://bucket/ring.json, \
                   gs://bucket/ring.json or az://account/container/ring.json";
    let Some((scheme, rest)) = text.split_once(':') else {
        return Err(format!("{text:?} is not a store; {example}"));
    };
    let keeper = match scheme {
        // `file://host/path` would name a file of another machine.
        "file" if rest.is_empty() || (rest.starts_with("//") && !rest.starts_with("///")) => {
            return Err(format!("{text:?} is not the path of a file on this machine; {example}"));
        }
        "file" => return parse::lasting_path(rest).map(Store::File),
        "vault" => ProviderName::Vault,
        "s3" => ProviderName::AwsKms,
        "gs" => ProviderName::GcpKms,
        "az" => ProviderName::AzureKeyVault,
        _ if STORES.contains(&scheme) => {
            return Err(format!(
                "{text:?} is a kind of store that is not built into this binary; {example}"
            ));
        }
        _ => return Err(format!("{text:?} is not a store; {example}")),
    };
    if keeper.is_built_in() {
        Ok(Store::With(keeper, text.to_owned()))
    } else {
        Err(format!(
            "{text:?} needs the feature {keeper}, which is not built into this binary; {example}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_provider_that_is_built_in_reads_back_and_others_are_told_from_a_typing_error() {
        for name in ProviderName::ALL {
            match provider(name.as_str()) {
                Ok(read) => assert!(read == *name && name.is_built_in()),
                Err(text) => assert!(
                    !name.is_built_in() && text.contains("is not built into this binary"),
                    "{text}"
                ),
            }
        }
        let text = provider("lokal").expect_err("no provider");
        assert!(
            text.starts_with("\"lokal\" is not a provider; write one of: local"),
            "{text}"
        );
    }

    #[test]
    fn a_store_is_a_file_of_this_machine_or_with_a_provider() {
        for (text, path) in [("file:/a/ring.json", "/a/ring.json"), ("file:///a", "///a")] {
            assert_eq!(store(text), Ok(Store::File(path.into())));
        }
        for text in [
            "file:ring",
            "file:./ring",
            "file:~/ring",
            "file:$HOME/ring",
            "file:@ring",
        ] {
            assert!(store(text).expect_err(text).contains("begins with /"), "{text}");
        }
        for (text, keeper) in [
            ("vault:secret/a", ProviderName::Vault),
            ("s3://b/k", ProviderName::AwsKms),
            ("gs://b/k", ProviderName::GcpKms),
            ("az://a/c/k", ProviderName::AzureKeyVault),
        ] {
            match store(text) {
                Ok(read) => assert_eq!(read, Store::With(keeper, text.to_owned())),
                Err(why) => assert!(!keeper.is_built_in() && why.contains(keeper.as_str()), "{why}"),
            }
        }
        for text in ["file:", "file://host/ring", "/a/ring.json", "floppy:a", ":"] {
            assert!(store(text).is_err(), "{text}");
        }
        assert!(store("k8s:a").expect_err("not yet").contains("not built"));
    }
}
