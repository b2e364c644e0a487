//! `signet token`: signs and verifies through the local socket, as a gateway does.

use std::io::Read as _;
use std::time::Duration;

use clap::ArgMatches;
use http::{Method, StatusCode};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use signet_core::token::Compact;

use super::client::send;
use crate::cli::{Failure, is_json, say, to_json};
use crate::settings::{Settings, duration};

/// The maximum number of bytes read from standard input.
const LONGEST_INPUT: u64 = 1024 * 1024;

pub(super) async fn token(settings: &Settings, verb: &str, args: &ArgMatches) -> Result<String, Failure> {
    match verb {
        "sign" => sign(settings, args).await,
        _ => verify(settings, args).await,
    }
}

async fn sign(settings: &Settings, args: &ArgMatches) -> Result<String, Failure> {
    let claims = input(args, "claims")?;
    // Pass the claims on unchanged, because numbers must keep their digits and the sidecar must see duplicate members.
    let claims: &RawValue =
        serde_json::from_str(&claims).map_err(|error| Failure::usage(format!("the claims are not JSON: {error}")))?;
    let mut request = format!(r#"{{"claims":{claims}"#);
    let ttl = args.get_one::<String>("ttl").map(|text| seconds(text)).transpose()?;
    if let Some(ttl) = ttl {
        request.push_str(&format!(r#","ttl":{ttl}"#));
    }
    if let Some(typ) = given(args, "typ")? {
        request.push_str(&format!(r#","typ":{}"#, Value::from(typ)));
    }
    request.push('}');
    let answer = ask(settings, "/v1/sign", request.into_bytes()).await?;
    if let Some((asked, life)) = ttl.zip(answer["ttl_capped_to"].as_u64()) {
        say(&format!(
            "signet: the token expires after {} instead of {}, because SIGNET_TOKEN_MAX_TTL of the sidecar allows no \
             more",
            span(life),
            span(asked)
        ));
    }
    if is_json(args) {
        return Ok(to_json(&answer));
    }
    Ok(answer["token"].as_str().unwrap_or_default().to_owned() + "\n")
}

async fn verify(settings: &Settings, args: &ArgMatches) -> Result<String, Failure> {
    if args.get_one::<String>("audience").is_some() && settings.audience.is_empty() {
        return Err(empty("audience"));
    }
    let mut request = json!({ "token": input(args, "token")? });
    if !settings.audience.is_empty() {
        request["audience"] = settings.audience.iter().map(signet_core::Audience::as_str).collect();
    }
    if let Some(issuers) = given(args, "accepted_issuers")? {
        request["issuer"] = issuers.split(',').map(str::trim).collect();
    }
    for name in ["scope", "typ"] {
        if let Some(value) = given(args, name)? {
            request[name] = value.into();
        }
    }
    let answer = ask(settings, "/v1/verify", request.to_string().into_bytes()).await?;
    let text = match is_json(args) {
        true => to_json(&answer),
        false => to_json(&answer["claims"]),
    };
    if answer["active"] == true {
        return Ok(text);
    }
    let word = |name: &str| answer[name].as_str().unwrap_or_default();
    Err(Failure {
        text: format!("the token is refused: {}: {}", word("error"), word("detail")),
        answer: if is_json(args) { text } else { String::new() },
        code: 1,
    })
}

pub(super) fn decode(args: &ArgMatches) -> Result<String, Failure> {
    let token = input(args, "token")?;
    let parts = Compact::parse(&token).map_err(|refusal| Failure {
        text: refusal.to_string(),
        answer: String::new(),
        code: 1,
    })?;
    let claims: Value = serde_json::from_str(&parts.payload).map_err(|error| Failure {
        text: format!("the claims are not JSON: {error}"),
        answer: String::new(),
        code: 1,
    })?;
    let header = json!({ "alg": parts.alg, "kid": parts.kid, "typ": parts.typ });
    let decoded = to_json(&json!({ "header": header, "claims": claims, "verified": false }));
    if is_json(args) {
        Ok(decoded)
    } else {
        Ok(format!("NOT VERIFIED: anybody can have made this token\n{decoded}"))
    }
}

/// A requirement, which must not be empty: an empty one would require nothing and accept every token.
fn given<'a>(args: &'a ArgMatches, name: &str) -> Result<Option<&'a str>, Failure> {
    let given = args.get_one::<String>(name).map(String::as_str);
    let is_empty = |text: &str| text.split(',').any(|item| item.trim().is_empty());
    match given {
        Some(text) if is_empty(text) => Err(empty(name.strip_prefix("accepted_issuers").map_or(name, |_| "issuer"))),
        given => Ok(given),
    }
}

fn empty(name: &str) -> Failure {
    Failure::usage(format!("--{name} is empty; write a value, or leave the flag out"))
}

/// A lifetime in whole seconds, such as `5m` or `300`.
fn seconds(text: &str) -> Result<u64, Failure> {
    let wrong = || {
        Failure::usage(format!(
            "--ttl: {text:?} is not a duration; write whole seconds, such as 300, or numbers with the units s, m, h, \
             d or w, such as 5m or 1h30m"
        ))
    };
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map_err(|_| wrong());
    }
    let span = duration(text).map_err(|_| wrong())?;
    match span.subsec_nanos() {
        0 => Ok(span.as_secs()),
        _ => Err(wrong()),
    }
}

fn span(seconds: u64) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(seconds))
}

fn input(args: &ArgMatches, name: &str) -> Result<String, Failure> {
    match args.get_one::<String>(name).map(String::as_str) {
        None | Some("-") => {
            let mut text = String::new();
            let read = std::io::stdin().lock().take(LONGEST_INPUT).read_to_string(&mut text);
            read.map_err(|error| Failure::usage(format!("standard input cannot be read: {error}")))?;
            Ok(text.trim().to_owned())
        }
        Some(text) => Ok(text.to_owned()),
    }
}

async fn ask(settings: &Settings, path: &str, body: Vec<u8>) -> Result<Value, Failure> {
    let (status, answer) = send(&settings.socket.path, Method::POST, path, body)
        .await
        .map_err(|error| Failure::new(69, &error))?;
    let answer: Value = serde_json::from_slice(&answer).map_err(|error| Failure::new(76, &error))?;
    if status == StatusCode::OK {
        return Ok(answer);
    }
    let text = answer["detail"]
        .as_str()
        .map_or_else(|| format!("the sidecar answered {status}"), str::to_owned);
    Err(Failure {
        text,
        answer: String::new(),
        code: if status.is_server_error() { 75 } else { 64 },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_in_seconds_or_has_a_unit() {
        for (text, expected) in [("300", 300), ("5m", 300), ("1h30m", 5400), ("0", 0), ("90s", 90)] {
            assert_eq!(seconds(text).expect("a life"), expected, "{text}");
        }
        for text in ["", "5 minuts", "5M", "-5m", "1.5", "1500ms", "99999999999999999999"] {
            let said = seconds(text).expect_err(text).text;
            assert!(said.contains("the units s, m, h, d or w"), "{said}");
        }
    }
}
