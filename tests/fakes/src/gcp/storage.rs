//! Cloud Storage over its XML API: objects, written under conditions.
//!
//! <https://cloud.google.com/storage/docs/xml-api/put-object-upload>

use super::Google;
use super::login::caller;
use super::routes::Route;
use super::state::{Object, State};
use super::wire::http_date;
use crate::server::{Request, Response};

pub(crate) fn answer(google: &Google, request: &Request, route: &Route) -> Response {
    let Some((bucket, name)) = route.resource.split_once('/') else {
        return problem(400, "InvalidURI", "Couldn't parse the specified URI.");
    };
    let (bucket, name) = (decoded(bucket), decoded(name));
    let mut state = google.state();
    let Some(open) = state.buckets.get(&bucket).copied() else {
        return problem(404, "NoSuchBucket", "The specified bucket does not exist.");
    };
    let who = match open {
        true => None,
        false => match caller(&mut state, request) {
            Ok(email) => Some(email),
            Err(_) => return problem(401, "AuthenticationRequired", "Authentication required."),
        },
    };
    let may = |state: &State, permission: &str| who.as_ref().is_none_or(|email| state.may(email, permission));
    let at = (bucket, name);
    let found = state.objects.get(&at).cloned();
    if route.operation != "PutObject" {
        return match found {
            _ if !may(&state, "storage.objects.get") => denied(who.as_deref(), "storage.objects.get"),
            Some(object) => shown(&object, Response::new(200, "application/octet-stream", object.body.clone())),
            None if !may(&state, "storage.objects.list") => denied(who.as_deref(), "storage.objects.list"),
            None => problem(404, "NoSuchKey", "The specified key does not exist."),
        };
    }
    if !may(&state, "storage.objects.create") {
        return denied(who.as_deref(), "storage.objects.create");
    }
    if found.is_some() && !may(&state, "storage.objects.delete") {
        return denied(who.as_deref(), "storage.objects.delete");
    }
    if let Some(condition) = request.header("x-goog-if-generation-match") {
        let Ok(wanted) = condition.parse::<u64>() else {
            return problem(400, "InvalidArgument", "Invalid argument.");
        };
        if wanted != found.map_or(0, |object| object.generation) {
            return problem(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold.");
        }
    }
    let stored = state.now();
    let object = Object {
        body: request.body.clone(),
        generation: stored,
        stored,
    };
    let response = shown(&object, Response::new(200, "text/html; charset=UTF-8", ""));
    state.objects.insert(at, object);
    response
}

fn shown(object: &Object, response: Response) -> Response {
    response
        .with("etag", &format!("\"{:08x}{:x}\"", crc32c::crc32c(&object.body), object.generation))
        .with("x-goog-generation", &object.generation.to_string())
        .with("x-goog-metageneration", "1")
        .with("last-modified", &http_date(object.stored))
}

fn problem(status: u16, code: &str, message: &str) -> Response {
    let text = format!("<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>{message}</Message></Error>");
    Response::new(status, "application/xml; charset=UTF-8", text)
}

fn denied(who: Option<&str>, permission: &str) -> Response {
    let who = who.unwrap_or("Anonymous caller");
    let message = format!("{who} does not have {permission} access to the Google Cloud Storage object.");
    problem(403, "AccessDenied", &message)
}

/// Takes percent-encoding off.
fn decoded(text: &str) -> String {
    let mut octets = Vec::new();
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        let pair = || -> Option<u8> {
            let (high, low) = (rest.next()?, rest.next()?);
            u8::from_str_radix(std::str::from_utf8(&[high, low]).ok()?, 16).ok()
        };
        let mut pair = pair;
        octets.push(if octet == b'%' { pair().unwrap_or(b'%') } else { octet });
    }
    String::from_utf8_lossy(&octets).into_owned()
}
