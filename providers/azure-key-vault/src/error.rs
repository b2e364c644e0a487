//! Converts Azure's errors to kinds, with what the operator must do.
//!
//! Vault: <https://learn.microsoft.com/azure/key-vault/general/rest-error-codes>. Entra:
//! <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>. Only `Display` of the SDK's errors is
//! used, because their `Debug` contains backtraces and whole answers.

use std::time::Duration;

use azure_core::http::RawResponse;
use azure_core::http::headers::HeaderName;
use serde::Deserialize;
use signet_api::{Call, ErrorKind, Failure, Operation, ProviderError};
use signet_base::{causes, quote};

use crate::NAME;
use crate::credential_source::CredentialSource;

/// The setting for the authorities to trust.
const AUTHORITIES: &str = "SSL_CERT_FILE";
const VERSION_DISABLED: &str =
    "The version is disabled. If it is good, enable it in the vault; if it leaked, run signet keys revoke";

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    error: Detail,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail {
    code: Option<String>,
    message: Option<String>,
    innererror: Option<Box<Detail>>,
}

/// The error of a call that the vault refused or that did not reach it.
pub(crate) fn failed(call: Call<'_>, error: &azure_core::Error) -> ProviderError {
    if let Some(no_token) = error.downcast_ref::<Failure>() {
        return call.failed(no_token.clone());
    }
    match error.kind() {
        azure_core::error::ErrorKind::HttpResponse {
            status, raw_response, ..
        } => call.failed(answered(call, u16::from(*status), raw_response.as_deref())),
        azure_core::error::ErrorKind::Connection | azure_core::error::ErrorKind::Io => call.failed(unreached(error)),
        // "challenge resource '…' doesn't match the requested domain": the vault demands a token for another domain.
        azure_core::error::ErrorKind::Other if error.to_string().contains("challenge resource") => call.error(
            ErrorKind::BadAnswer,
            "the server asks for a token that is not for its own domain, so Signet sends none. Check the host in \
             SIGNET_KEY",
        ),
        _ => call.bad_answer(format_args!("the answer cannot be read: {}", quote(&error.to_string()))),
    }
}

fn unreached(error: &azure_core::Error) -> Failure {
    Failure::on_the_way(error, AUTHORITIES).unwrap_or_else(|| {
        let causes = deepest(error);
        let advice = "Check that this machine can reach the vault: name resolution, network policy, proxy, firewall";
        let text = format!("{causes}. {advice}");
        match causes.contains("timed out") {
            true => Failure::timed_out(text),
            false => Failure::new(ErrorKind::Unavailable, text),
        }
    })
}

fn answered(call: Call<'_>, status: u16, response: Option<&RawResponse>) -> Failure {
    let body: Body = response
        .and_then(|response| serde_json::from_slice(response.body().as_ref()).ok())
        .unwrap_or_default();
    let code = body.error.code.as_deref().unwrap_or_default();
    let inner = body.error.innererror.as_ref().and_then(|inner| inner.code.as_deref());
    let message = body.error.message.as_deref().unwrap_or_default();
    let (kind, advice) = meaning(call, status, code, inner.unwrap_or_default(), message);
    let mut text = format!("the vault answered {status}");
    for part in [code, inner.unwrap_or_default()] {
        if !part.is_empty() {
            text.push(' ');
            text.push_str(&quote(part));
        }
    }
    if !message.is_empty() {
        text.push_str(&format!(" ({})", quote(message)));
    }
    Failure {
        retry_after: response.and_then(retry_after),
        ..Failure::new(kind, format!("{text}. {advice}"))
    }
}

/// Who must act, and how. Each arm quotes the vendor's code.
fn meaning(call: Call<'_>, status: u16, code: &str, inner: &str, message: &str) -> (ErrorKind, String) {
    let action = call.permission;
    match (status, code, inner) {
        (401, ..) => (
            ErrorKind::Unauthenticated,
            "The token was refused. Check that the identity belongs to the vault's tenant (AZURE_TENANT_ID)".to_owned(),
        ),
        (403, _, "KeyDisabled") => (ErrorKind::KeyUnusable, VERSION_DISABLED.to_owned()),
        (403, _, "KeyNotYetValidOrExpired") => (
            ErrorKind::KeyUnusable,
            "The validity of the version (nbf or exp) does not allow its use now. Remove these two attributes from \
             the version in the vault, but keep the key. Signet retires keys by itself"
                .to_owned(),
        ),
        (403, _, "KeyOperationForbidden") => (
            ErrorKind::KeyUnusable,
            "The key does not allow the operation; add it to the key's operations (key_ops)".to_owned(),
        ),
        // Older vaults have no inner code for this.
        (403, ..) if message.contains("disabled key") => (ErrorKind::KeyUnusable, VERSION_DISABLED.to_owned()),
        (403, _, "ForbiddenByConnection" | "ForbiddenByFirewall") => (
            ErrorKind::PermissionDenied,
            "The vault's network rules do not allow this machine; allow its network or use a private endpoint"
                .to_owned(),
        ),
        (403, _, "ForbiddenByPolicy" | "AccessDenied") => (
            ErrorKind::PermissionDenied,
            format!(
                "Give the identity the permission for {action} in the vault's access policy, or correct the Azure \
                 Policy that denies it"
            ),
        ),
        // ForbiddenByRbac
        (403, ..) => (
            ErrorKind::PermissionDenied,
            format!(
                "Assign the identity a role with the data action {action} on the vault or the key (a new assignment \
                 takes minutes to work)"
            ),
        ),
        (404, ..) => (
            ErrorKind::NotFound,
            "Check the vault and the key in SIGNET_KEY, and that nobody deleted the key".to_owned(),
        ),
        (409, _, "ObjectIsDeletedButRecoverable" | "ObjectIsBeingDeleted") => (
            ErrorKind::KeyUnusable,
            "The key was deleted; recover it (az keyvault key recover). Do not purge it: every version would be \
             lost, and every token refused"
                .to_owned(),
        ),
        (409, ..) => (ErrorKind::Unavailable, "Signet tries again".to_owned()),
        (429, ..) => (
            ErrorKind::Throttled,
            "All users of the vault share its limits; spread the load over several vaults".to_owned(),
        ),
        (408 | 504, ..) => (ErrorKind::TimedOut, "Signet tries again".to_owned()),
        (500.., ..) => (ErrorKind::Unavailable, "Signet tries again".to_owned()),
        // BadParameter
        (400, ..) => (
            ErrorKind::InvalidConfig,
            "The vault does not accept the request; check that the key in SIGNET_KEY has a type that supports it"
                .to_owned(),
        ),
        _ => (ErrorKind::BadAnswer, "Check the host in SIGNET_KEY".to_owned()),
    }
}

/// Why there is no token, as an error of the SDK: [`failed`] and [`without_token`] find it again.
pub(crate) fn credential_error(failure: Failure) -> azure_core::Error {
    azure_core::Error::new(azure_core::error::ErrorKind::Credential, failure)
}

/// The reason why the object store's client got no token, as an error that the store's error parser understands.
pub(crate) fn without_token(error: &azure_core::Error) -> ProviderError {
    let failure = error.downcast_ref::<Failure>().cloned();
    let failure = failure.unwrap_or_else(|| Failure::new(ErrorKind::Unauthenticated, quote(&error.to_string())));
    failure.at(NAME, Operation::Open)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct EntraError {
    error_codes: Vec<u64>,
}

/// No token arrived within this time.
pub(crate) fn token_timed_out(source: &CredentialSource, within: Duration) -> Failure {
    let text = format!(
        "no token by {} within {} s. {}",
        source.describe(),
        within.as_secs(),
        whereabouts(source)
    );
    source.timed_out(text)
}

/// Why there is no token. The text quotes nothing of the request and the answer but Entra's error number.
pub(crate) fn no_token(source: &CredentialSource, error: &azure_core::Error) -> Failure {
    let failure = match response(error) {
        Some((status, raw)) => {
            let body: EntraError = raw
                .and_then(|raw| serde_json::from_slice(raw.body().as_ref()).ok())
                .unwrap_or_default();
            let (kind, why) = match body.error_codes.first() {
                Some(code) => entra(*code, status),
                None => unnumbered(status),
            };
            Failure {
                retry_after: raw.and_then(retry_after),
                ..Failure::new(kind, why)
            }
        }
        None => Failure::on_the_way(error, AUTHORITIES).unwrap_or_else(|| {
            let causes = deepest(error);
            let text = format!("{causes}. {}", whereabouts(source));
            match causes.contains("timed out") {
                true => source.timed_out(text),
                // The token file cannot be read. The operator must act; waiting does not help.
                false if causes.contains("federated token") => Failure::new(ErrorKind::Unauthenticated, text),
                false => Failure::new(ErrorKind::Unavailable, text),
            }
        }),
    };
    failure.prefixed(format_args!("no token by {}", source.describe()))
}

impl CredentialSource {
    /// The failure if no token came in time. For a managed identity it names no proxy, because the request goes to this
    /// machine or its link.
    fn timed_out(&self, text: String) -> Failure {
        match self {
            Self::Managed { .. } => Failure::new(ErrorKind::TimedOut, text),
            _ => Failure::timed_out(text),
        }
    }
}

fn whereabouts(source: &CredentialSource) -> &'static str {
    match source {
        CredentialSource::Managed { .. } => {
            "Check that the machine or pod has a managed identity (IDENTITY_ENDPOINT, or the metadata service at \
             169.254.169.254), or set AZURE_FEDERATED_TOKEN_FILE or AZURE_CLIENT_SECRET"
        }
        _ => "Check that this machine can reach Entra (AZURE_AUTHORITY_HOST)",
    }
}

fn unnumbered(status: u16) -> (ErrorKind, String) {
    match status {
        429 => (ErrorKind::Throttled, "too many requests (429)".to_owned()),
        400 => (
            ErrorKind::Unauthenticated,
            "the identity is not assigned to this machine (400); assign it, or correct AZURE_CLIENT_ID".to_owned(),
        ),
        500.. => (
            ErrorKind::Unavailable,
            format!("the source of tokens answered {status}"),
        ),
        _ => (
            ErrorKind::Unauthenticated,
            format!("the source of tokens answered {status}"),
        ),
    }
}

/// The meaning of Entra's error numbers, each with the setting that causes it.
fn entra(code: u64, status: u16) -> (ErrorKind, String) {
    let refused = |advice: &str| {
        (
            ErrorKind::Unauthenticated,
            format!("Entra answered AADSTS{code}: {advice}"),
        )
    };
    match code {
        7_000_215 => refused("the secret is wrong. Set AZURE_CLIENT_SECRET to the secret's value, not its id"),
        7_000_222 => refused("the secret has expired. Create a new one and set AZURE_CLIENT_SECRET"),
        700_016 => refused("the tenant does not have this application. Correct AZURE_CLIENT_ID or AZURE_TENANT_ID"),
        90_002 | 900_023 => refused("this tenant does not exist. Correct AZURE_TENANT_ID or AZURE_AUTHORITY_HOST"),
        70_021 | 700_211..=700_213 => refused(
            "no federated credential of the application matches the token in AZURE_FEDERATED_TOKEN_FILE. Add one \
             with the pod's issuer, and with system:serviceaccount:<namespace>:<name> as subject",
        ),
        700_024 => {
            refused("the token in AZURE_FEDERATED_TOKEN_FILE has expired. Check that the kubelet renews the file")
        }
        500_011 => refused("the tenant does not know the vault's resource. Check the host in SIGNET_KEY"),
        _ if status == 429 => (
            ErrorKind::Throttled,
            format!("Entra answered AADSTS{code}: too many requests"),
        ),
        _ if status >= 500 => (ErrorKind::Unavailable, format!("Entra answered {status} AADSTS{code}")),
        _ => refused("look the number up at https://login.microsoftonline.com/error"),
    }
}

/// The answer inside the SDK's error. The credentials wrap it.
fn response(error: &azure_core::Error) -> Option<(u16, Option<&RawResponse>)> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(azure) = error.downcast_ref::<azure_core::Error>()
            && let azure_core::error::ErrorKind::HttpResponse {
                status, raw_response, ..
            } = azure.kind()
        {
            return Some((u16::from(*status), raw_response.as_deref()));
        }
        next = error.source();
    }
    None
}

/// The deepest causes of a failed connection, without the SDK's wrappers.
fn deepest(error: &azure_core::Error) -> String {
    let texts = causes(error);
    match texts.len() {
        0 => quote(&error.to_string()),
        len => texts[len.saturating_sub(2)..].join(": "),
    }
}

/// How long to wait before a retry. Some services say it in milliseconds, others in seconds.
fn retry_after(response: &RawResponse) -> Option<Duration> {
    let field = |name: &'static str| {
        let text = response.headers().get_optional_str(&HeaderName::from_static(name))?;
        text.trim().parse::<u64>().ok()
    };
    field("retry-after-ms")
        .or_else(|| field("x-ms-retry-after-ms"))
        .map(Duration::from_millis)
        .or_else(|| field("retry-after").map(Duration::from_secs))
}
