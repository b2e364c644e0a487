//! Authenticates callers: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.

use aws_lc_rs::hmac;
use sha2::{Digest as _, Sha256};

use super::REGION;
use super::state::State;
use crate::server::Request;

/// The code and the message of a refusal.
pub(crate) type Refused = (&'static str, String);

/// The access key of the caller, if its secret has signed the request.
pub(crate) fn caller(state: &State, request: &Request, service: &str) -> Result<String, Refused> {
    let refuse = |code: &'static str, text: &str| Err((code, text.to_owned()));
    let Some(authorization) = request.header("authorization") else {
        return refuse("MissingAuthenticationTokenException", "Missing Authentication Token");
    };
    let Some(fields) = authorization.strip_prefix("AWS4-HMAC-SHA256 ") else {
        return refuse("IncompleteSignature", "Authorization header requires AWS4-HMAC-SHA256.");
    };
    let field = |name: &str| {
        let mut all = fields.split(',').map(str::trim);
        all.find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
    };
    let (Some(credential), Some(signed), Some(signature)) =
        (field("Credential"), field("SignedHeaders"), field("Signature"))
    else {
        return refuse(
            "IncompleteSignature",
            "Authorization header requires Credential, SignedHeaders, Signature.",
        );
    };
    let parts: Vec<&str> = credential.split('/').collect();
    let &[access_key, date, region, scope_service, "aws4_request"] = parts.as_slice() else {
        return refuse("IncompleteSignature", "Credential must have 5 parts.");
    };
    let Some(known) = state.callers.get(access_key) else {
        return refuse(
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        );
    };
    if known.expired {
        return refuse(
            "ExpiredTokenException",
            "The security token included in the request is expired",
        );
    }
    if known.token.as_deref() != request.header("x-amz-security-token") {
        return refuse(
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        );
    }
    if region != REGION || scope_service != service {
        return refuse(
            "InvalidSignatureException",
            "Credential should be scoped to a valid region and service.",
        );
    }
    let Some(instant) = request.header("x-amz-date").filter(|instant| instant.starts_with(date)) else {
        return refuse("InvalidSignatureException", "Date in Credential scope does not match.");
    };
    let must: &[&str] = if service == "s3" {
        &["host", "x-amz-content-sha256"]
    } else {
        &["host", "x-amz-date"]
    };
    if must.iter().any(|name| !signed.split(';').any(|signed| signed == *name)) {
        return refuse("InvalidSignatureException", "A header that must be signed is not.");
    }
    let body = hex(&Sha256::digest(&request.body));
    let payload = match request.header("x-amz-content-sha256") {
        Some(declared) if declared != "UNSIGNED-PAYLOAD" && declared != body => {
            return refuse(
                "XAmzContentSHA256Mismatch",
                "The provided header does not match what was computed.",
            );
        }
        Some(declared) => declared.to_owned(),
        None => body,
    };
    let mut canonical = format!("{}\n{}\n{}\n", request.method, request.path, canonical_query(request));
    for name in signed.split(';') {
        let value = request.header(name).unwrap_or_default();
        canonical.push_str(&format!(
            "{name}:{}\n",
            value.split_whitespace().collect::<Vec<_>>().join(" ")
        ));
    }
    canonical.push_str(&format!("\n{signed}\n{payload}"));
    let scope = format!("{date}/{region}/{service}/aws4_request");
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{instant}\n{scope}\n{}",
        hex(&Sha256::digest(canonical))
    );
    let mut key = format!("AWS4{}", known.secret).into_bytes();
    for part in [date, region, service, "aws4_request", &to_sign] {
        key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), part.as_bytes())
            .as_ref()
            .to_vec();
    }
    if hex(&key) == signature {
        return Ok(access_key.to_owned());
    }
    refuse(
        "InvalidSignatureException",
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key \
         and signing method.",
    )
}

fn canonical_query(request: &Request) -> String {
    let mut pairs: Vec<(String, String)> = request
        .query
        .iter()
        .map(|(name, value)| (encoded(name), encoded(value)))
        .collect();
    pairs.sort();
    pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect::<Vec<_>>()
        .join("&")
}

fn encoded(text: &str) -> String {
    let mut out = String::new();
    for octet in text.bytes() {
        match octet {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(octet)),
            _ => out.push_str(&format!("%{octet:02X}")),
        }
    }
    out
}

pub(crate) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
