//! The discovery documents, and the paths at which clients look for them.

use serde_json::json;
use signet_core::{Algorithm, Issuer};

/// The path of the JWKS below an issuer.
pub const JWKS: &str = "/.well-known/jwks.json";
/// The path of the OpenID Connect discovery document below an issuer.
pub const OPENID: &str = "/.well-known/openid-configuration";
const OAUTH: &str = "/.well-known/oauth-authorization-server";

/// The document for both OpenID Connect Discovery 1.0 §3 and RFC 8414 §2.
///
/// The issuer has keys and no endpoints, as in the documents of Kubernetes and Vault. Empty members are left out (RFC
/// 8414 §3.2), so grants are not mentioned. There is at least one algorithm, and during a switch there are several.
#[must_use]
pub fn document(issuer: &str, algorithms: &[Algorithm]) -> Vec<u8> {
    let base = issuer.trim_end_matches('/');
    let algorithms: Vec<&str> = algorithms.iter().map(|algorithm| algorithm.as_str()).collect();
    let document = json!({
        "issuer": issuer,
        "jwks_uri": format!("{base}{JWKS}"),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algorithms,
    });
    document.to_string().into_bytes()
}

/// The document at a path of the public listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentKind {
    /// The JWKS with the keys.
    Jwks,
    /// A discovery document.
    Discovery,
}

/// The paths of an issuer's documents.
///
/// An issuer with a path has them below that path (OpenID Connect Discovery 1.0 §4) and with the path after the
/// well-known part (RFC 8414 §3.1). The plain paths serve gateways that strip the path.
#[derive(Clone, Debug)]
pub struct Paths(Vec<(String, DocumentKind)>);

impl Paths {
    /// The paths of this issuer's documents.
    #[must_use]
    pub fn new(issuer: &Issuer) -> Self {
        let below = issuer
            .as_str()
            .trim_end_matches('/')
            .splitn(4, '/')
            .nth(3)
            .map_or(String::new(), |path| format!("/{path}"));
        let mut paths = vec![
            (JWKS.to_owned(), DocumentKind::Jwks),
            (OPENID.to_owned(), DocumentKind::Discovery),
            (OAUTH.to_owned(), DocumentKind::Discovery),
        ];
        if !below.is_empty() {
            paths.push((format!("{below}{JWKS}"), DocumentKind::Jwks));
            paths.push((format!("{below}{OPENID}"), DocumentKind::Discovery));
            paths.push((format!("{OAUTH}{below}"), DocumentKind::Discovery));
        }
        Self(paths)
    }

    /// The document at this path, if there is one.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<DocumentKind> {
        self.0.iter().find(|(known, _)| known == path).map(|(_, which)| *which)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_with_a_path_is_found_where_each_specification_looks() {
        let paths = Paths::new(&Issuer::new("https://auth.example.com/tenant/a/"));
        for (path, which) in [
            ("/.well-known/jwks.json", Some(DocumentKind::Jwks)),
            ("/tenant/a/.well-known/jwks.json", Some(DocumentKind::Jwks)),
            (
                "/tenant/a/.well-known/openid-configuration",
                Some(DocumentKind::Discovery),
            ),
            (
                "/.well-known/oauth-authorization-server/tenant/a",
                Some(DocumentKind::Discovery),
            ),
            ("/.well-known/openid-configuration", Some(DocumentKind::Discovery)),
            ("/tenant/.well-known/jwks.json", None),
            ("/tenant/a/.well-known/oauth-authorization-server", None),
            ("/", None),
        ] {
            assert_eq!(paths.find(path), which, "{path}");
        }
    }

    #[test]
    fn an_issuer_without_a_path_has_the_plain_paths_only() {
        let paths = Paths::new(&Issuer::new("http://localhost:8080"));
        assert_eq!(paths.find("/.well-known/jwks.json"), Some(DocumentKind::Jwks));
        assert_eq!(paths.0.len(), 3);
    }

    #[test]
    fn the_document_leads_to_the_keys_of_the_issuer() {
        let document: serde_json::Value =
            serde_json::from_slice(&document("https://a.example/t", &[Algorithm::ES256, Algorithm::EdDSA]))
                .expect("JSON");
        assert_eq!(document["jwks_uri"], "https://a.example/t/.well-known/jwks.json");
        assert_eq!(document["issuer"], "https://a.example/t");
        assert_eq!(
            document["id_token_signing_alg_values_supported"],
            json!(["ES256", "EdDSA"])
        );
        assert_eq!(document["response_types_supported"], json!(["id_token"]));
        assert_eq!(document["subject_types_supported"], json!(["public"]));
        for (name, value) in document.as_object().expect("an object") {
            assert!(!value.is_null() && *value != json!([]) && *value != json!(""), "{name}");
        }
    }
}
