//! The words that name a choice.

use std::fmt;

macro_rules! providers {
    ($($(#[$doc:meta])* $variant:ident = $word:literal, $custody:literal;)+) => {
        /// A provider that is built into this binary. Its one word is also its folder, crate, feature and metric label.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ProviderName {
            $($(#[$doc])* $variant,)+
        }

        impl ProviderName {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// The custody that it has unless another is asked for.
            pub(super) const fn default_custody(self) -> &'static str {
                match self {
                    $(Self::$variant => $custody,)+
                }
            }
        }
    };
}

providers! {
    /// Keys on this machine's disk.
    Local = "local", "sealed";
}

/// The providers of Signet, built in or not: who names one that is not deserves another answer than who mistypes.
const PROVIDERS: [&str; 5] = ["local", "vault", "aws-kms", "azure-key-vault", "gcp-kms"];
/// The stores of Signet, likewise.
const STORES: [&str; 6] = ["file", "vault", "s3", "gs", "az", "k8s"];

impl fmt::Display for ProviderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a sealed ring is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// A file on this machine.
    File(std::path::PathBuf),
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines, one JSON object per line.
    Json,
}

impl LogFormat {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

pub(super) fn provider(text: &str) -> Result<ProviderName, String> {
    let built_in = ProviderName::ALL.iter().map(|name| name.as_str()).collect::<Vec<_>>();
    ProviderName::ALL
        .iter()
        .copied()
        .find(|name| name.as_str() == text)
        .ok_or_else(|| {
            let wrong = if PROVIDERS.contains(&text) {
                "is not built into this binary"
            } else {
                "is not a provider"
            };
            format!("{text:?} {wrong}; write one of: {}", built_in.join(", "))
        })
}

pub(super) fn store(text: &str) -> Result<Store, String> {
    let example = "write for example file:/var/lib/signet/ring.json";
    let Some((scheme, rest)) = text.split_once(':') else {
        return Err(format!("{text:?} is not a store; {example}"));
    };
    match scheme {
        // `file://host/path` would name a file of another machine.
        "file" if rest.is_empty() || (rest.starts_with("//") && !rest.starts_with("///")) => {
            Err(format!("{text:?} names no file of this machine; {example}"))
        }
        "file" => Ok(Store::File(rest.into())),
        _ if STORES.contains(&scheme) => Err(format!(
            "{text:?} is a store that is not built into this binary; {example}"
        )),
        _ => Err(format!("{text:?} is not a store; {example}")),
    }
}

/// One of a few words.
pub(super) fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    choices
        .iter()
        .find(|(word, _)| *word == text)
        .map(|(_, value)| *value)
        .ok_or_else(|| {
            let words = choices.iter().map(|(word, _)| *word).collect::<Vec<_>>();
            format!("{text:?} is not known; write one of: {}", words.join(", "))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_provider_that_is_built_in_reads_back() {
        for name in ProviderName::ALL {
            assert_eq!(provider(name.as_str()), Ok(*name));
            assert!(PROVIDERS.contains(&name.as_str()), "{name}");
        }
    }

    #[test]
    fn a_provider_that_is_not_built_in_is_told_from_a_typing_error() {
        for name in ["vault", "aws-kms", "azure-key-vault", "gcp-kms"] {
            let text = provider(name).expect_err(name);
            assert_eq!(
                text,
                format!("{name:?} is not built into this binary; write one of: local")
            );
        }
        let text = provider("lokal").expect_err("no provider");
        assert_eq!(text, "\"lokal\" is not a provider; write one of: local");
    }

    #[test]
    fn only_files_of_this_machine_are_stores_so_far() {
        for (text, path) in [
            ("file:/a/ring.json", "/a/ring.json"),
            ("file:///a", "///a"),
            ("file:ring", "ring"),
        ] {
            assert_eq!(store(text), Ok(Store::File(path.into())));
        }
        for text in ["file:", "file://host/ring", "/a/ring.json", "floppy:a", ":", "s3://b/k"] {
            assert!(store(text).is_err(), "{text}");
        }
        assert!(store("s3://b/k").expect_err("not yet").contains("not built"));
    }
}
