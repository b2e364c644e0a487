//! Google's JSON, and its errors.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::state::Micros;
use crate::server::{Request, Response};

/// Enumerations by name and number. The client chooses which it gets.
const NUMBERS: &[(&str, i64)] = &[
    ("ENABLED", 1),
    ("DISABLED", 2),
    ("DESTROYED", 3),
    ("DESTROY_SCHEDULED", 4),
    ("PENDING_GENERATION", 5),
    ("GENERATION_FAILED", 8),
    ("ENCRYPT_DECRYPT", 1),
    ("ASYMMETRIC_SIGN", 5),
    ("SOFTWARE", 1),
    ("HSM", 2),
    ("PEM", 1),
    ("GOOGLE_SYMMETRIC_ENCRYPTION", 1),
    ("RSA_SIGN_PSS_2048_SHA256", 2),
    ("RSA_SIGN_PSS_3072_SHA256", 3),
    ("RSA_SIGN_PSS_4096_SHA256", 4),
    ("RSA_SIGN_PSS_4096_SHA512", 15),
    ("RSA_SIGN_PKCS1_2048_SHA256", 5),
    ("RSA_SIGN_PKCS1_3072_SHA256", 6),
    ("RSA_SIGN_PKCS1_4096_SHA256", 7),
    ("RSA_SIGN_PKCS1_4096_SHA512", 16),
    ("EC_SIGN_P256_SHA256", 12),
    ("EC_SIGN_P384_SHA384", 13),
    ("EC_SIGN_SECP256K1_SHA256", 31),
    ("EC_SIGN_ED25519", 40),
];

pub(crate) const STATES: &[&str] = &["ENABLED", "DISABLED"];
pub(crate) const PURPOSES: &[&str] = &["ENCRYPT_DECRYPT", "ASYMMETRIC_SIGN"];
pub(crate) const LEVELS: &[&str] = &["SOFTWARE", "HSM"];
pub(crate) const SYMMETRIC: &str = "GOOGLE_SYMMETRIC_ENCRYPTION";

pub(crate) fn algorithms() -> Vec<&'static str> {
    let signs = |name: &str| name.contains("_SIGN_") || name == SYMMETRIC;
    NUMBERS
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| signs(name) && !name.starts_with("ASYMMETRIC"))
        .collect()
}

/// An enumeration in an answer: a number if the client asked for numbers, or else the name.
pub(crate) fn symbol(request: &Request, name: &str) -> Value {
    let asked = request.parameter("$alt").unwrap_or_default();
    match asked.contains("enum-encoding=int") {
        true => json!(NUMBERS.iter().find(|(known, _)| *known == name).unwrap().1),
        false => json!(name),
    }
}

/// An enumeration in a request, by name or number, if it is one of the allowed ones.
pub(crate) fn chosen(value: &Value, among: &[&'static str]) -> Result<&'static str, Problem> {
    let of = |name: &&str| {
        value.as_str() == Some(name)
            || value.as_i64()
                == NUMBERS
                    .iter()
                    .find(|(known, _)| known == name)
                    .map(|(_, number)| *number)
    };
    among
        .iter()
        .find(|name| of(name))
        .copied()
        .ok_or_else(|| Problem::invalid(&format!("Invalid value: {value}")))
}

/// The object in the body, if it has only these fields.
pub(crate) fn body(request: &Request, known: &[&str]) -> Result<Value, Problem> {
    let value = match request.body.is_empty() {
        true => json!({}),
        false => serde_json::from_slice(&request.body)
            .map_err(|_| Problem::invalid("Invalid JSON payload received. Unexpected token."))?,
    };
    only(&value, known)?;
    Ok(value)
}

pub(crate) fn only(value: &Value, known: &[&str]) -> Result<(), Problem> {
    let Some(object) = value.as_object() else {
        return Err(Problem::invalid(
            "Invalid JSON payload received. Root element must be a message.",
        ));
    };
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(unknown) => Err(Problem::invalid(&format!(
            "Invalid JSON payload received. Unknown name \"{unknown}\": Cannot find field."
        ))),
        None => Ok(()),
    }
}

pub(crate) fn octets(value: &Value) -> Result<Vec<u8>, Problem> {
    let text = value.as_str().unwrap_or_default();
    STANDARD
        .decode(text)
        .map_err(|_| Problem::invalid("Invalid value (TYPE_BYTES), Base64 decoding failed"))
}

pub(crate) fn base64(octets: &[u8]) -> Value {
    json!(STANDARD.encode(octets))
}

/// A checksum in an answer: 64-bit numbers are strings in Google's JSON.
pub(crate) fn crc(octets: &[u8]) -> Value {
    json!(crc32c::crc32c(octets).to_string())
}

/// Checks the checksum in a request. `false` if it has none.
pub(crate) fn verified(value: &Value, octets: &[u8], what: &str) -> Result<bool, Problem> {
    let given = match value {
        Value::Null => return Ok(false),
        Value::String(text) => text.parse().ok(),
        number => number.as_i64(),
    };
    match given == Some(i64::from(crc32c::crc32c(octets))) {
        true => Ok(true),
        false => Err(Problem::invalid(&format!(
            "The checksum in field {what} did not match the data in field"
        ))),
    }
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len())
        .step_by(64)
        .map(|at| &text[at..text.len().min(at + 64)])
        .collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

pub(crate) fn unpem(text: &str) -> Vec<u8> {
    let lines: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(lines).unwrap()
}

/// RFC 3339 with microseconds, in UTC.
pub(crate) fn instant(at: Micros) -> String {
    let (date, time, micros) = civil(at);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{micros:06}Z",
        date[0], date[1], date[2], time[0], time[1], time[2]
    )
}

/// Year, month, day; hour, minute, second; microseconds.
fn civil(at: Micros) -> ([u64; 3], [u64; 3], u64) {
    let (seconds, micros) = (at / 1_000_000, at % 1_000_000);
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // The days since the era that begins in March of the year 0.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    (
        [year, month, of_month],
        [rest / 3600, rest / 60 % 60, rest % 60],
        micros,
    )
}

/// A date in the format of HTTP.
pub(crate) fn http_date(at: Micros) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let ([year, month, day], [hour, minute, second], _) = civil(at);
    let week = DAYS[usize::try_from(at / 86_400_000_000 % 7).unwrap()];
    let month = MONTHS[usize::try_from(month - 1).unwrap()];
    format!("{week}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT")
}

/// An error of Google: <https://cloud.google.com/apis/design/errors>.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) http: u16,
    pub(crate) status: &'static str,
    pub(crate) message: String,
    pub(crate) details: Vec<Value>,
}

impl Problem {
    pub(crate) fn new(http: u16, status: &'static str, message: &str) -> Self {
        Self {
            http,
            status,
            message: message.to_owned(),
            details: Vec::new(),
        }
    }

    pub(crate) fn invalid(message: &str) -> Self {
        Self::new(400, "INVALID_ARGUMENT", message)
    }

    pub(crate) fn not_found(name: &str) -> Self {
        Self::new(404, "NOT_FOUND", &format!("{name} not found."))
    }

    pub(crate) fn unauthenticated() -> Self {
        let mut problem = Self::new(
            401,
            "UNAUTHENTICATED",
            "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid \
             authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.",
        );
        problem.details.push(json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "ACCESS_TOKEN_TYPE_UNSUPPORTED",
            "domain": "googleapis.com",
        }));
        problem
    }

    pub(crate) fn denied(permission: &str, resource: &str) -> Self {
        let message = format!("Permission '{permission}' denied on resource '{resource}' (or it may not exist).");
        let mut problem = Self::new(403, "PERMISSION_DENIED", &message);
        problem.details.push(json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "IAM_PERMISSION_DENIED",
            "domain": "cloudkms.googleapis.com",
            "metadata": { "permission": permission, "resource": resource },
        }));
        problem
    }

    pub(crate) fn state(name: &str, state: &str) -> Self {
        let message = format!("{name} is not enabled, current state is: {state}.");
        let mut problem = Self::new(400, "FAILED_PRECONDITION", &message);
        problem.details.push(json!({
            "@type": "type.googleapis.com/google.rpc.PreconditionFailure",
            "violations": [{ "type": format!("KEY_{state}"), "subject": name }],
        }));
        problem
    }

    pub(crate) fn response(&self) -> Response {
        let mut error = json!({ "code": self.http, "message": self.message, "status": self.status });
        if !self.details.is_empty() {
            error["details"] = json!(self.details);
        }
        Response::json(self.http, &json!({ "error": error }))
    }
}

/// Google's answer when a quota is used up, with the time to retry.
#[must_use]
pub fn exhausted(seconds: u64) -> Response {
    let mut problem = Problem::new(
        429,
        "RESOURCE_EXHAUSTED",
        "Quota exceeded for quota metric 'Read requests' and limit 'Read requests per minute' of service \
         'cloudkms.googleapis.com' for consumer 'project_number:1'.",
    );
    problem.details.push(json!({
        "@type": "type.googleapis.com/google.rpc.RetryInfo",
        "retryDelay": format!("{seconds}s"),
    }));
    problem.response()
}

/// An error with this code, for scripted faults.
#[must_use]
pub fn problem(http: u16, status: &'static str, message: &str) -> Response {
    Problem::new(http, status, message).response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_those_of_the_calendar() {
        assert_eq!(instant(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(instant(951_782_400_000_001), "2000-02-29T00:00:00.000001Z");
        assert_eq!(instant(1_767_225_599_999_999), "2025-12-31T23:59:59.999999Z");
        assert_eq!(http_date(1_767_225_600_000_000), "Thu, 01 Jan 2026 00:00:00 GMT");
    }
}
