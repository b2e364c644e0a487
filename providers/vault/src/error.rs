//! Refusals by Vault and failures of the connection: who must act, and the error text.
//!
//! A failure names the request, such as `POST transit/sign/signet.es256`, where other providers have a
//! `signet_api::Call`. The reason is that Vault's policies allow paths, and that one request serves several operations,
//! which only the caller of the client knows.
//!
//! Errors quote only the strings of the answer's `errors` array, shortened. The body of a successful
//! answer may contain a secret and is never quoted, not even through a parse error.

use std::time::Duration;

use signet_api::{ErrorKind, Failure};
use signet_base::{causes, quote};

/// The setting for the authorities to trust.
const AUTHORITIES: &str = "VAULT_CACERT";

/// What to do about a mount that does not exist.
pub(crate) const NO_MOUNT: &str = "`vault secrets list` shows what is mounted; correct VAULT_TRANSIT_MOUNT, VAULT_KV_MOUNT, \
    SIGNET_STORE or VAULT_NAMESPACE, or mount it with `vault secrets enable -path=<mount> transit` (or kv-v2)";

/// An answer of Vault that is not a success.
#[derive(Debug)]
pub(crate) struct Refused {
    /// The request, such as `POST transit/sign/signet.es256`.
    pub(crate) request: String,
    pub(crate) status: u16,
    /// The strings of the `errors` array.
    pub(crate) errors: Vec<String>,
    pub(crate) gone: Option<GoneVersion>,
    pub(crate) retry_after: Option<Duration>,
    /// The policy that allows the request.
    pub(crate) grant: String,
}

/// A deleted version of a secret in KV v2.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
pub(crate) struct GoneVersion {
    pub(crate) version: u64,
    /// Whether the version was destroyed permanently.
    pub(crate) destroyed: bool,
}

impl Refused {
    pub(crate) fn says(&self, words: &str) -> bool {
        self.errors.iter().any(|error| error.contains(words))
    }

    /// Whether the answer says that there is no engine, or one that does not know such paths.
    pub(crate) fn says_no_mount(&self) -> bool {
        self.says_one_of(&["no handler for route", "unsupported path"])
    }

    fn says_one_of(&self, words: &[&str]) -> bool {
        words.iter().any(|words| self.says(words))
    }

    /// Who must act, and what to do. The order matters: the server's words are more precise than its status, which is
    /// 500 for some refusals of transit.
    fn verdict(&self) -> (ErrorKind, String) {
        let fixed = |kind, advice: &str| (kind, advice.to_owned());
        if self.says_one_of(&[
            // 500
            "requested version for signing is less than the minimum encryption key version",
            // 500
            "requested version for signing is higher than the latest key version",
            // 400
            "does not support signing",
            // 400, for example "message encryption not supported for key type ed25519"
            "not supported for key type",
            // 400
            "ciphertext or signature version is disallowed by policy (too old)",
        ]) {
            return fixed(
                ErrorKind::KeyUnusable,
                "transit does not sign with this version of the key. If a newer key was revoked, this replica had \
                 not read that yet, and reads it now. If this lasts, check min_encryption_version, \
                 which only Signet should set, and the key's type with `vault read \
                 transit/keys/<name>`",
            );
        }
        if self.says_one_of(&[
            // 400
            "signing key not found",
            // 400
            "encryption key not found",
            // 400, of keys/<name>/rotate
            "key not found",
            // 400, of keys/<name>/trim
            "invalid key name",
            // 400, of keys/<name>/config
            "no existing key named",
        ]) {
            return fixed(ErrorKind::NotFound, "this transit key does not exist");
        }
        if self.says_one_of(&[
            // 400: another context, another key, or changed octets
            "cipher: message authentication failed",
            // 400: "invalid ciphertext: no prefix", "invalid ciphertext length", "invalid ciphertext: version is too new"
            "invalid ciphertext",
        ]) {
            return fixed(
                ErrorKind::BadAnswer,
                "this transit key did not make this ciphertext in this context. If nobody in your team changed the \
                 ring or replaced the transit key, treat it as an attack",
            );
        }
        match self.status {
            // "missing client token"
            400 if self.says("missing client token") => fixed(ErrorKind::Unauthenticated, "no token was sent"),
            // "invalid role or secret ID", "invalid role name"
            400 if self.request.ends_with("/login") => fixed(
                ErrorKind::Unauthenticated,
                "the login was refused: check the role, its credential, and VAULT_AUTH_MOUNT",
            ),
            // "Upgrading from non-versioned to versioned data. This backend will be unavailable for a brief period …"
            400 if self.says("Upgrading from non-versioned") => fixed(
                ErrorKind::Unavailable,
                "KV version 2 was mounted or upgraded a moment ago; Signet tries again",
            ),
            400 => fixed(ErrorKind::InvalidConfig, "Vault does not accept this request"),
            403 if self.request.ends_with("/login") => fixed(
                ErrorKind::Unauthenticated,
                "the login was refused: check the role, its credential, VAULT_AUTH_MOUNT and VAULT_NAMESPACE",
            ),
            // "permission denied"
            403 => (
                ErrorKind::PermissionDenied,
                format!(
                    "the token's policies lack: {}. Vault gives the same answer for a mount that does not exist, so \
                     check the path too",
                    self.grant
                ),
            ),
            // "no handler for route", "unsupported path"
            404 if self.says_no_mount() => (
                ErrorKind::InvalidConfig,
                format!("no secrets engine of the right kind is mounted there. {NO_MOUNT}"),
            ),
            404 => fixed(ErrorKind::NotFound, "nothing exists under this name"),
            // "unsupported operation"
            405 => fixed(
                ErrorKind::InvalidConfig,
                "the engine mounted there does not support this operation; check that it is transit, or KV version 2",
            ),
            // "required index state not present"
            412 => fixed(
                ErrorKind::Unavailable,
                "this node is behind the active one; Signet tries again",
            ),
            // "request body too large"
            413 => fixed(
                ErrorKind::InvalidConfig,
                "the request is larger than the listener's max_request_size",
            ),
            // "request path \"…\": rate limit quota exceeded", "lease count quota exceeded"
            429 => fixed(
                ErrorKind::Throttled,
                "a quota of the server was reached; Signet tries again. `vault list sys/quotas/rate-limit` shows the \
                 quotas",
            ),
            472 => fixed(
                ErrorKind::Unavailable,
                "this is a disaster recovery secondary, which answers no requests; set VAULT_ADDR to the primary",
            ),
            473 => fixed(
                ErrorKind::Unavailable,
                "this is a performance standby; set VAULT_ADDR to a load balancer or the active node",
            ),
            // "Vault is sealed", "OpenBao is sealed", or a load balancer without a healthy node behind it
            503 => fixed(
                ErrorKind::Unavailable,
                "the server is sealed, or it is a standby without an active node. Check it with `vault status`, and \
                 unseal it with `vault operator unseal`",
            ),
            // "put failed due to value being too large"
            500.. if self.says("too large") => fixed(
                ErrorKind::InvalidConfig,
                "the value is larger than the server's storage allows",
            ),
            500.. => fixed(
                ErrorKind::Unavailable,
                "the server failed; Signet tries again. See the log of the server",
            ),
            _ => fixed(
                ErrorKind::BadAnswer,
                "this is not an answer of Vault; check that VAULT_ADDR is the address of Vault itself",
            ),
        }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        let (kind, advice) = refused.verdict();
        let said = match quote(&refused.errors.join(" ")).as_str() {
            "" => refused.status.to_string(),
            said => format!("{} ({said:?})", refused.status),
        };
        Self {
            retry_after: refused.retry_after,
            ..Self::new(kind, format!("{} was answered {said}: {advice}", refused.request))
        }
    }
}

/// The failure of a request that did not reach the server or got no answer.
pub(crate) fn transport(request: &str, address: &str, within: Duration, error: &reqwest::Error) -> Failure {
    if let Some(mut failure) = Failure::on_the_way(error, AUTHORITIES) {
        if failure.text.contains("not valid for name") {
            failure
                .text
                .push_str(". The name must be the one in VAULT_ADDR, or VAULT_TLS_SERVER_NAME");
        }
        return failure.prefixed(format_args!("{request}: {address} cannot be reached"));
    }
    let causes = causes(error);
    // rustls: the alerts of RFC 8446 §6.2 with which a server refuses a client's certificate or its absence.
    let alerts = [
        "CertificateRequired",
        "BadCertificate",
        "UnknownCA",
        "CertificateExpired",
        "CertificateUnknown",
    ];
    let is_ours =
        |cause: &String| cause.contains("received fatal alert") && alerts.iter().any(|alert| cause.contains(alert));
    if let Some(alert) = causes.iter().find(|cause| is_ours(cause)) {
        let text = format!(
            "{request}: {address} requires a client certificate, or does not accept this one ({alert}); set \
             VAULT_CLIENT_CERT and VAULT_CLIENT_KEY to a certificate that the server's authority has \
             signed and that has not expired"
        );
        return Failure::new(ErrorKind::Unavailable, text);
    }
    if error.is_timeout() && error.is_connect() {
        return Failure::new(
            ErrorKind::TimedOut,
            format!(
                "{request}: no connection to {address} within {}. Signet tries again. Check VAULT_ADDR, and if it \
                 begins with https, that Vault serves TLS there",
                humantime::format_duration(within)
            ),
        );
    }
    if error.is_timeout() {
        return Failure::new(
            ErrorKind::TimedOut,
            format!(
                "{request}: {address} did not answer within {} (VAULT_CLIENT_TIMEOUT). Signet tries again",
                humantime::format_duration(within)
            ),
        );
    }
    let cause = causes.last().map_or("no cause given", String::as_str);
    Failure::new(
        ErrorKind::Unavailable,
        format!("{request}: {address} cannot be reached ({cause}). Signet tries again. Check VAULT_ADDR"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(status: u16, errors: &[&str]) -> Failure {
        Refused {
            request: "GET transit/keys/a".to_owned(),
            status,
            errors: errors.iter().map(|error| (*error).to_owned()).collect(),
            gone: None,
            retry_after: None,
            grant: "path \"transit/keys/a\" { capabilities = [\"read\"] }".to_owned(),
        }
        .into()
    }

    #[test]
    fn each_answer_of_the_vendor_has_its_kind() {
        let below =
            "1 error occurred:\n\t* requested version for signing is less than the minimum encryption key version";
        for (status, error, kind) in [
            (500, below, ErrorKind::KeyUnusable),
            (
                400,
                "key type aes256-gcm96 does not support signing",
                ErrorKind::KeyUnusable,
            ),
            (400, "signing key not found", ErrorKind::NotFound),
            (400, "cipher: message authentication failed", ErrorKind::BadAnswer),
            (400, "invalid ciphertext: no prefix", ErrorKind::BadAnswer),
            (400, "missing client token", ErrorKind::Unauthenticated),
            (400, "something else", ErrorKind::InvalidConfig),
            (
                400,
                "Upgrading from non-versioned to versioned data. This backend will be unavailable",
                ErrorKind::Unavailable,
            ),
            (403, "permission denied", ErrorKind::PermissionDenied),
            (404, "no handler for route \"nomount/keys/a\"", ErrorKind::InvalidConfig),
            (404, "", ErrorKind::NotFound),
            (405, "unsupported operation", ErrorKind::InvalidConfig),
            (412, "required index state not present", ErrorKind::Unavailable),
            (413, "request body too large", ErrorKind::InvalidConfig),
            (429, "rate limit quota exceeded", ErrorKind::Throttled),
            (472, "", ErrorKind::Unavailable),
            (473, "", ErrorKind::Unavailable),
            (500, "put failed due to value being too large", ErrorKind::InvalidConfig),
            (500, "internal error", ErrorKind::Unavailable),
            (502, "", ErrorKind::Unavailable),
            (503, "Vault is sealed", ErrorKind::Unavailable),
            (302, "", ErrorKind::BadAnswer),
        ] {
            let failure = failure(status, &[error]);
            assert_eq!(failure.kind, kind, "{status} {error}");
            assert!(failure.text.contains(&status.to_string()), "{}", failure.text);
        }
    }

    #[test]
    fn a_denial_names_the_line_that_the_policy_lacks() {
        let text = failure(403, &["1 error occurred:\n\t* permission denied\n\n"]).text;
        assert!(
            text.contains("path \"transit/keys/a\" { capabilities = [\"read\"] }"),
            "{text}"
        );
        assert!(!text.contains('\n'), "{text}");
    }

    #[test]
    fn the_words_of_the_server_are_quoted_in_one_line_and_not_at_length() {
        let text = failure(500, &["é\u{1b}[31m".repeat(1000).as_str()]).text;
        assert!(text.len() < 1000, "{}", text.len());
        assert!(!text.chars().any(char::is_control));
    }
}
