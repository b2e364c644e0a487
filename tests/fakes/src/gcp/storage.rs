//! Cloud Storage: objects with conditional writes, with its XML API and the parts of its JSON
//! API that Google's SDKs use.
//!
//! <https://cloud.google.com/storage/docs/xml-api/put-object-upload>,
//! <https://cloud.google.com/storage/docs/json_api/v1/objects>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use super::Google;
use super::login::caller;
use super::routes::Route;
use super::state::{Object, State};
use super::wire::{http_date, instant};
use crate::server::{Request, Response};

/// A refusal: the HTTP status, the code of the XML API, and the message.
struct Refusal(u16, &'static str, String);

fn refuse<T>(status: u16, code: &'static str, message: &str) -> Result<T, Refusal> {
    Err(Refusal(status, code, message.to_owned()))
}

/// A request for an object: its bucket and name, and the caller.
struct Wish {
    at: (String, String),
    who: Option<String>,
}

impl Wish {
    fn new(state: &mut State, request: &Request, bucket: &str, name: &str) -> Result<Self, Refusal> {
        let Some(open) = state.buckets.get(bucket).copied() else {
            return refuse(404, "NoSuchBucket", "The specified bucket does not exist.");
        };
        let who = match open {
            true => None,
            false => match caller(state, request) {
                Ok(email) => Some(email),
                Err(_) => return refuse(401, "AuthenticationRequired", "Authentication required."),
            },
        };
        let at = (bucket.to_owned(), name.to_owned());
        Ok(Self { at, who })
    }

    fn may(&self, state: &State, permission: &str) -> Result<(), Refusal> {
        if self.who.as_ref().is_none_or(|email| state.may(email, permission)) {
            return Ok(());
        }
        let who = self.who.as_deref().unwrap_or("Anonymous caller");
        let message = format!("{who} does not have {permission} access to the Google Cloud Storage object.");
        refuse(403, "AccessDenied", &message)
    }

    fn read(&self, state: &State) -> Result<Object, Refusal> {
        self.may(state, "storage.objects.get")?;
        match state.objects.get(&self.at) {
            Some(object) => Ok(object.clone()),
            None => {
                // Only callers who may list learn that the object is missing.
                self.may(state, "storage.objects.list")?;
                refuse(404, "NoSuchKey", "The specified key does not exist.")
            }
        }
    }

    fn write(&self, state: &mut State, body: Bytes, condition: Option<&str>) -> Result<Object, Refusal> {
        self.may(state, "storage.objects.create")?;
        let generation = state.objects.get(&self.at).map_or(0, |object| object.generation);
        if generation > 0 {
            self.may(state, "storage.objects.delete")?;
        }
        match condition.map(str::parse::<u64>) {
            Some(Err(_)) => return refuse(400, "InvalidArgument", "Invalid argument."),
            Some(Ok(wanted)) if wanted != generation => {
                let message = "At least one of the pre-conditions you specified did not hold.";
                return refuse(412, "PreconditionFailed", message);
            }
            _ => {}
        }
        let stored = state.now();
        let object = Object {
            body,
            generation: stored,
            stored,
        };
        state.objects.insert(self.at.clone(), object.clone());
        Ok(object)
    }
}

pub(crate) fn answer(google: &Google, request: &Request, route: &Route) -> Response {
    let done = match route.operation {
        "JsonUpload" | "JsonGet" | "JsonDownload" => return json_answer(google, request, route),
        _ => xml(google, request, route),
    };
    done.unwrap_or_else(|Refusal(status, code, message)| {
        let text = format!(
            "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
        );
        Response::new(status, "application/xml; charset=UTF-8", text)
    })
}

fn xml(google: &Google, request: &Request, route: &Route) -> Result<Response, Refusal> {
    let Some((bucket, name)) = route.resource.split_once('/') else {
        return refuse(400, "InvalidURI", "Couldn't parse the specified URI.");
    };
    let mut state = google.state();
    let wish = Wish::new(&mut state, request, &decoded(bucket), &decoded(name))?;
    if route.operation != "PutObject" {
        let object = wish.read(&state)?;
        return Ok(shown(
            &object,
            Response::new(200, "application/octet-stream", object.body.clone()),
        ));
    }
    let condition = request.header("x-goog-if-generation-match");
    let object = wish.write(&mut state, request.body.clone(), condition)?;
    Ok(shown(&object, Response::new(200, "text/html; charset=UTF-8", "")))
}

fn json_answer(google: &Google, request: &Request, route: &Route) -> Response {
    json_api(google, request, route).unwrap_or_else(|Refusal(status, code, message)| {
        let reason = json!({ "domain": "global", "reason": code, "message": message });
        Response::json(
            status,
            &json!({ "error": { "code": status, "message": message, "errors": [reason] } }),
        )
    })
}

fn json_api(google: &Google, request: &Request, route: &Route) -> Result<Response, Refusal> {
    let (bucket, rest) = route.resource.split_once("/o").unwrap_or((&route.resource, ""));
    let name = decoded(rest.trim_start_matches('/'));
    let mut state = google.state();
    if route.operation != "JsonUpload" {
        let wish = Wish::new(&mut state, request, bucket, &name)?;
        let object = wish.read(&state)?;
        return Ok(match request.parameter("alt") == Some("media") {
            true => shown(
                &object,
                Response::new(200, "application/octet-stream", object.body.clone()),
            ),
            false => Response::json(200, &metadata(&wish.at, &object)),
        });
    }
    let (fields, body) =
        parts(request).ok_or_else(|| Refusal(400, "invalid", "Malformed multipart body.".to_owned()))?;
    let name = fields["name"]
        .as_str()
        .or_else(|| request.parameter("name"))
        .unwrap_or_default();
    let wish = Wish::new(&mut state, request, bucket, name)?;
    let object = wish.write(&mut state, body, request.parameter("ifGenerationMatch"))?;
    Ok(Response::json(200, &metadata(&wish.at, &object)))
}

/// The two parts of a `multipart/related` body: the metadata of the object, and its content.
fn parts(request: &Request) -> Option<(Value, Bytes)> {
    let boundary = request
        .header("content-type")?
        .split_once("boundary=")?
        .1
        .trim_matches(['"', '\'']);
    let marker = format!("--{boundary}");
    let find = |from: usize, what: &[u8]| {
        let rest = request.body.get(from..)?;
        rest.windows(what.len())
            .position(|window| window == what)
            .map(|at| from + at)
    };
    let blank = b"\r\n\r\n";
    let first = find(find(0, marker.as_bytes())?, blank)? + blank.len();
    let end = find(first, marker.as_bytes())?;
    let second = find(end, blank)? + blank.len();
    let last = find(second, format!("\r\n{marker}").as_bytes())?;
    let fields = serde_json::from_slice(&request.body[first..end]).ok()?;
    Some((fields, request.body.slice(second..last)))
}

fn metadata((bucket, name): &(String, String), object: &Object) -> Value {
    json!({
        "kind": "storage#object",
        "id": format!("{bucket}/{name}/{}", object.generation),
        "bucket": bucket,
        "name": name,
        "generation": object.generation.to_string(),
        "metageneration": "1",
        "size": object.body.len().to_string(),
        "crc32c": checksum(object),
        "etag": etag(object),
        "timeCreated": instant(object.stored),
        "updated": instant(object.stored),
        "storageClass": "STANDARD",
    })
}

fn checksum(object: &Object) -> String {
    STANDARD.encode(crc32c::crc32c(&object.body).to_be_bytes())
}

fn etag(object: &Object) -> String {
    format!("{:08x}{:x}", crc32c::crc32c(&object.body), object.generation)
}

fn shown(object: &Object, response: Response) -> Response {
    response
        .with("etag", &format!("\"{}\"", etag(object)))
        .with("x-goog-generation", &object.generation.to_string())
        .with("x-goog-metageneration", "1")
        .with("x-goog-hash", &format!("crc32c={}", checksum(object)))
        .with("last-modified", &http_date(object.stored))
}

/// Decodes the percent-encoding of a text.
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
