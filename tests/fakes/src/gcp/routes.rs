//! Recognises the call that a request makes.

use http::Method;

use crate::server::Request;

/// The vendor's name for the call, and its resource.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) operation: &'static str,
    pub(crate) resource: String,
    /// The IAM permission that the call needs. Empty if it needs none.
    pub(crate) permission: &'static str,
}

impl Route {
    pub(crate) fn of(request: &Request) -> Self {
        let path = request.path.as_str();
        let fixed = |operation| Self {
            operation,
            resource: String::new(),
            permission: "",
        };
        match path {
            "/v1/token" => return fixed("ExchangeToken"),
            "/token" => return fixed("OauthToken"),
            "/computeMetadata/v1/instance/service-accounts/default/token" => return fixed("MetadataToken"),
            _ => {}
        }
        if let Some(name) = path.strip_prefix("/v1/projects/") {
            return kms(&request.method, &format!("projects/{name}")).unwrap_or_else(|| fixed("Unknown"));
        }
        for (prefix, method, operation) in [
            ("/upload/storage/v1/b/", Method::POST, "JsonUpload"),
            ("/storage/v1/b/", Method::GET, "JsonGet"),
            ("/download/storage/v1/b/", Method::GET, "JsonDownload"),
        ] {
            if let (Some(resource), true) = (path.strip_prefix(prefix), request.method == method) {
                let resource = resource.to_owned();
                return Self {
                    resource,
                    ..fixed(operation)
                };
            }
        }
        let operation = match request.method {
            Method::GET => "GetObject",
            Method::PUT => "PutObject",
            Method::HEAD => "HeadObject",
            _ => "Unknown",
        };
        Self {
            resource: path.trim_start_matches('/').to_owned(),
            ..fixed(operation)
        }
    }
}

fn kms(method: &Method, path: &str) -> Option<Route> {
    let (path, verb) = match path.rsplit_once(':') {
        Some((path, verb)) if !verb.contains('/') => (path, verb),
        _ => (path, ""),
    };
    let parts: Vec<&str> = path.split('/').collect();
    let depth = parts.len();
    let last = *parts.last()?;
    let parent = || parts[..depth - 1].join("/");
    let (operation, permission, resource) = match (method.as_str(), depth, last, verb) {
        ("POST", 6 | 8, _, "testIamPermissions") => ("TestIamPermissions", "", path.to_owned()),
        ("GET", 5, "keyRings", "") => ("ListKeyRings", "cloudkms.keyRings.list", parent()),
        ("POST", 5, "keyRings", "") => ("CreateKeyRing", "cloudkms.keyRings.create", parent()),
        ("GET", 6, _, "") => ("GetKeyRing", "cloudkms.keyRings.get", path.to_owned()),
        ("GET", 7, "cryptoKeys", "") => ("ListCryptoKeys", "cloudkms.cryptoKeys.list", parent()),
        ("POST", 7, "cryptoKeys", "") => ("CreateCryptoKey", "cloudkms.cryptoKeys.create", parent()),
        ("GET", 8, _, "") => ("GetCryptoKey", "cloudkms.cryptoKeys.get", path.to_owned()),
        ("PATCH", 8, _, "") => ("UpdateCryptoKey", "cloudkms.cryptoKeys.update", path.to_owned()),
        ("POST", 8, _, "encrypt") => ("Encrypt", "cloudkms.cryptoKeyVersions.useToEncrypt", path.to_owned()),
        ("POST", 8, _, "decrypt") => ("Decrypt", "cloudkms.cryptoKeyVersions.useToDecrypt", path.to_owned()),
        ("GET", 9, "cryptoKeyVersions", "") => ("ListCryptoKeyVersions", "cloudkms.cryptoKeyVersions.list", parent()),
        ("POST", 9, "cryptoKeyVersions", "") => {
            ("CreateCryptoKeyVersion", "cloudkms.cryptoKeyVersions.create", parent())
        }
        ("GET", 10, _, "") => ("GetCryptoKeyVersion", "cloudkms.cryptoKeyVersions.get", path.to_owned()),
        ("PATCH", 10, _, "") => (
            "UpdateCryptoKeyVersion",
            "cloudkms.cryptoKeyVersions.update",
            path.to_owned(),
        ),
        ("POST", 10, _, "destroy") => (
            "DestroyCryptoKeyVersion",
            "cloudkms.cryptoKeyVersions.destroy",
            path.to_owned(),
        ),
        ("POST", 10, _, "restore") => (
            "RestoreCryptoKeyVersion",
            "cloudkms.cryptoKeyVersions.restore",
            path.to_owned(),
        ),
        ("POST", 10, _, "asymmetricSign") => (
            "AsymmetricSign",
            "cloudkms.cryptoKeyVersions.useToSign",
            path.to_owned(),
        ),
        ("GET", 11, "publicKey", "") => ("GetPublicKey", "cloudkms.cryptoKeyVersions.viewPublicKey", parent()),
        _ => return None,
    };
    Some(Route {
        operation,
        resource,
        permission,
    })
}
