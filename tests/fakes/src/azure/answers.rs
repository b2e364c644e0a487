//! The vendor's error bodies: <https://learn.microsoft.com/azure/key-vault/general/rest-error-codes>.

use serde_json::{Value, json};

use super::TENANT;
use crate::server::Response;

pub(super) fn error(status: u16, code: &str, inner: Option<&str>, message: &str) -> Response {
    let mut error = json!({ "code": code, "message": message });
    if let Some(inner) = inner {
        error["innererror"] = json!({ "code": inner });
    }
    Response::json(status, &json!({ "error": error }))
        .with("x-ms-keyvault-region", "westeurope")
        .with("x-ms-request-id", "00000000-0000-0000-0000-000000000000")
}

pub(super) fn challenge(base: &str, message: &str) -> Response {
    let header = format!("Bearer authorization=\"{base}/{TENANT}\", resource=\"https://vault.azure.net\"");
    error(401, "Unauthorized", None, message).with("www-authenticate", &header)
}

pub(super) fn bad_parameter(message: &str) -> Response {
    error(400, "BadParameter", None, message)
}

pub(super) fn not_found(message: &str) -> Response {
    error(404, "NotFound", None, message)
}

pub(super) fn key_not_found(name: &str, version: &str) -> Response {
    let id = [name, version].join("/");
    let message = format!(
        "A key with (name/id) {} was not found in this key vault. If you recently deleted this key you may be able to \
         recover it using the correct recovery command.",
        id.trim_end_matches('/')
    );
    error(404, "KeyNotFound", None, &message)
}

pub(super) fn no_permission(caller: &str, action: &str, name: &str) -> Response {
    let message = format!(
        "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or role \
         definitions were changed recently, please observe propagation time.\r\nCaller: appid={caller};oid={caller}\r\n\
         Action: '{action}'\r\nResource: '/subscriptions/0/resourcegroups/rg/providers/microsoft.keyvault/vaults/fake/\
         keys/{name}'\r\nAssignment: (not found)\r\nVault: fake;location=westeurope\r\n"
    );
    error(403, "Forbidden", Some("ForbiddenByRbac"), &message)
}

/// A refusal with one of the vendor's inner codes: `ForbiddenByPolicy`, `ForbiddenByConnection`, `ForbiddenByFirewall`.
#[must_use]
pub fn forbidden(inner: &str) -> Response {
    let message = match inner {
        "ForbiddenByConnection" => "Public network access is disabled and request is not from a trusted service.",
        "ForbiddenByFirewall" => "Client address is not authorized and caller is not a trusted service.",
        _ => "The user, group or application does not have keys permission on key vault 'fake;location=westeurope'.",
    };
    error(403, "Forbidden", Some(inner), message)
}

/// The answer of a vault that is throttling: <https://learn.microsoft.com/azure/key-vault/general/overview-throttling>.
#[must_use]
pub fn throttled(seconds: u64) -> Response {
    let message =
        "Request was not processed because too many requests were received. Reason: VaultRequestTypeLimitReached";
    error(429, "Throttled", None, message).with("retry-after", &seconds.to_string())
}

/// A required member of the body that must be a string.
pub(super) fn text<'a>(body: &'a Value, name: &str) -> Result<&'a str, Response> {
    body.get(name)
        .and_then(Value::as_str)
        .ok_or_else(|| bad_parameter(&format!("Property {name} is missing or has an invalid value")))
}
