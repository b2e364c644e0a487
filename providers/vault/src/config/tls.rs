//! The authorities that are trusted, and the client certificate, for TLS connections.

use std::error::Error as _;
use std::path::Path;

use reqwest::{Certificate, Identity};
use signet_base::causes;
use signet_files::{Rule, no_authorities};
use zeroize::Zeroizing;

use super::Reader;

impl Reader<'_> {
    /// The authorities in `VAULT_CACERT` or `VAULT_CACERT_BYTES`. Empty if neither is set.
    pub(super) fn authorities(&mut self) -> Vec<Certificate> {
        let (path, text) = (
            self.variables.get("VAULT_CACERT"),
            self.variables.get("VAULT_CACERT_BYTES"),
        );
        let (pem, name) = match (path, text) {
            (None, None) => return Vec::new(),
            (Some(_), Some(_)) => {
                self.problem("VAULT_CACERT and VAULT_CACERT_BYTES are both set: remove one of them");
                return Vec::new();
            }
            (None, Some(text)) => (
                Zeroizing::new(text.as_bytes().to_vec()),
                "VAULT_CACERT_BYTES is a text that".to_owned(),
            ),
            (Some(path), None) => match Rule::Trusted.read(Path::new(path)) {
                Ok(pem) => (pem, format!("VAULT_CACERT is {path}, which")),
                Err(error) => {
                    self.problem(format!("VAULT_CACERT cannot be used: {error}"));
                    return Vec::new();
                }
            },
        };
        if let Some(problem) = no_authorities(&pem) {
            self.problem(format!("{name} {problem}"));
            return Vec::new();
        }
        let read = Certificate::from_pem_bundle(&pem).and_then(|authorities| {
            // The content of a certificate is checked only when a client is made with it.
            let client = reqwest::Client::builder().tls_certs_only(authorities.iter().cloned());
            client.build().map(|_| authorities)
        });
        read.unwrap_or_else(|error| {
            let cause = reason(&error);
            self.problem(format!(
                "{name} has a certificate that cannot be used ({cause}); it may be damaged"
            ));
            Vec::new()
        })
    }

    /// The certificate in `VAULT_CLIENT_CERT` with the key in `VAULT_CLIENT_KEY`, for a server that requires one.
    pub(super) fn identity(&mut self) -> Option<Identity> {
        let certificate = self.variables.get("VAULT_CLIENT_CERT");
        let key = self.variables.get("VAULT_CLIENT_KEY");
        let (certificate, key) = match (certificate, key) {
            (None, None) => return None,
            (Some(certificate), Some(key)) => (certificate, key),
            (Some(_), None) => {
                self.problem(
                    "VAULT_CLIENT_CERT is set without VAULT_CLIENT_KEY: write the file of its private key there",
                );
                return None;
            }
            (None, Some(_)) => {
                self.problem(
                    "VAULT_CLIENT_KEY is set without VAULT_CLIENT_CERT: write the file of its certificate there",
                );
                return None;
            }
        };
        if self
            .variables
            .get("VAULT_ADDR")
            .is_some_and(|address| address.starts_with("http:"))
        {
            self.problem("VAULT_CLIENT_CERT is not used, because VAULT_ADDR begins with http://. Remove it");
            return None;
        }
        let certificate = self.part("VAULT_CLIENT_CERT", certificate, "CERTIFICATE-----", "a certificate");
        let key = self.part("VAULT_CLIENT_KEY", key, "PRIVATE KEY-----", "a private key");
        let (certificate, key) = (certificate?, key?);
        let both = Zeroizing::new([certificate.as_slice(), b"\n", key.as_slice()].concat());
        let read = Identity::from_pem(&both).and_then(|identity| {
            let client = reqwest::Client::builder().identity(identity.clone());
            client.build().map(|_| identity)
        });
        match read {
            Ok(identity) => Some(identity),
            Err(error) => {
                let cause = reason(&error);
                self.problem(format!(
                    "VAULT_CLIENT_CERT and VAULT_CLIENT_KEY cannot be used together ({cause}); check that the key \
                     belongs to the certificate and that no file is damaged"
                ));
                None
            }
        }
    }

    /// The file of this variable, if it contains this section of PEM.
    fn part(&mut self, name: &str, path: &str, section: &str, what: &str) -> Option<Zeroizing<Vec<u8>>> {
        // An agent may write both files, as it does with a token.
        let content = match Rule::Secret.read(Path::new(path)) {
            Ok(content) => content,
            Err(error) => {
                self.problem(format!("{name} cannot be used: {error}"));
                return None;
            }
        };
        let has = |text: &str| content.windows(text.len()).any(|part| part == text.as_bytes());
        if has("ENCRYPTED PRIVATE KEY-----") {
            self.problem(format!(
                "{name} is {path}, which has an encrypted key; write the path of an unencrypted one, as `openssl \
                 pkey -in {path}` prints it"
            ));
            return None;
        }
        if !has(section) {
            self.problem(format!(
                "{name} is {path}, which does not have {what} in PEM; write the path of a file that does"
            ));
            return None;
        }
        Some(content)
    }
}

/// The deepest cause, because the client's own text says only "builder error".
fn reason(error: &reqwest::Error) -> String {
    let deepest = causes(error).pop();
    deepest.unwrap_or_else(|| error.source().map_or_else(|| error.to_string(), ToString::to_string))
}
