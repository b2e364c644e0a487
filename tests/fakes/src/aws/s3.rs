//! One object with conditional writes: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>.
//! Only path-style addresses work.

use http::Method;
use sha2::{Digest as _, Sha256};

use super::sigv4::{caller, hex};
use super::state::{Object, State};
use crate::server::{Request, Response};

pub(crate) fn operation(request: &Request) -> &'static str {
    match request.method {
        Method::GET => "GetObject",
        Method::HEAD => "HeadObject",
        Method::PUT => "PutObject",
        Method::DELETE => "DeleteObject",
        _ => "Unknown",
    }
}

pub(crate) fn answer(state: &mut State, request: &Request) -> Response {
    let who = match caller(state, request, "s3") {
        Ok(who) => who,
        Err((code, message)) => {
            // S3 has its own codes for these errors.
            let code = match code {
                "InvalidSignatureException" => "SignatureDoesNotMatch",
                "UnrecognizedClientException" => "InvalidAccessKeyId",
                "ExpiredTokenException" => "ExpiredToken",
                "MissingAuthenticationTokenException" => "AccessDenied",
                other => other,
            };
            let status = if code == "ExpiredToken" || code == "XAmzContentSHA256Mismatch" {
                400
            } else {
                403
            };
            return problem(status, code, &message);
        }
    };
    let may = |state: &State, action: &str| {
        let allowed = &state.callers[&who].allowed;
        allowed.as_ref().is_none_or(|allowed| allowed.contains(action))
    };
    let Some((bucket, key)) = request.path.trim_start_matches('/').split_once('/') else {
        return problem(
            501,
            "NotImplemented",
            "A header you provided implies functionality that is not implemented",
        );
    };
    let (bucket, key) = (bucket.to_owned(), key.to_owned());
    if !state.buckets.contains_key(&bucket) {
        return problem(404, "NoSuchBucket", "The specified bucket does not exist");
    }
    let denied = |action: &str| problem(403, "AccessDenied", &format!("not authorized to perform: {action}"));
    match request.method {
        Method::GET | Method::HEAD => {
            if !may(state, "s3:GetObject") {
                return denied("s3:GetObject");
            }
            match state.buckets[&bucket].get(&key) {
                Some(object) => found(object),
                // A caller who may not list must not learn that the object is missing.
                None if !may(state, "s3:ListBucket") => denied("s3:ListBucket"),
                None => problem(404, "NoSuchKey", "The specified key does not exist."),
            }
        }
        Method::PUT => {
            if !may(state, "s3:PutObject") {
                return denied("s3:PutObject");
            }
            put(state, request, &bucket, key)
        }
        _ => problem(
            501,
            "NotImplemented",
            "A header you provided implies functionality that is not implemented",
        ),
    }
}

fn put(state: &mut State, request: &Request, bucket: &str, key: String) -> Response {
    let before = state.buckets[bucket].get(&key).map(|object| object.e_tag.clone());
    let failed = || {
        problem(
            412,
            "PreconditionFailed",
            "At least one of the pre-conditions you specified did not hold",
        )
    };
    match (request.header("if-none-match"), request.header("if-match")) {
        (Some("*"), None) if before.is_some() => return failed(),
        (Some("*"), None) | (None, None) => {}
        (None, Some(e_tag)) => match before {
            None => return problem(404, "NoSuchKey", "The specified key does not exist."),
            Some(before) if before != e_tag => return failed(),
            Some(_) => {}
        },
        _ => {
            return problem(
                501,
                "NotImplemented",
                "A header you provided implies functionality that is not implemented",
            );
        }
    }
    // As in S3, two objects with the same content have the same tag.
    let e_tag = format!("\"{}\"", &hex(&Sha256::digest(&request.body))[..32]);
    let object = Object {
        bytes: request.body.to_vec(),
        e_tag: e_tag.clone(),
    };
    state.buckets.get_mut(bucket).unwrap().insert(key, object);
    Response::new(200, "application/xml", "").with("etag", &e_tag)
}

fn found(object: &Object) -> Response {
    Response::new(200, "application/octet-stream", object.bytes.clone())
        .with("etag", &object.e_tag)
        .with("last-modified", "Tue, 24 Nov 2026 12:00:00 GMT")
        .with("content-length", &object.bytes.len().to_string())
}

fn problem(status: u16, code: &str, message: &str) -> Response {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    Response::new(status, "application/xml", body)
}
