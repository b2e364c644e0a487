//! `signet token`: through the local socket, as a gateway would.

use std::io::Read as _;

use clap::ArgMatches;
use http::{Method, StatusCode};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use signet_core::token::Compact;

use crate::cli::{Failure, is_json, to_json};
use crate::http::client::send;
use crate::settings::Settings;

/// Nothing longer is read from standard input.
const LONGEST_INPUT: u64 = 1024 * 1024;

pub(super) async fn token(settings: &Settings, verb: &str, args: &ArgMatches) -> Result<String, Failure> {
    match verb {
        "sign" => sign(settings, args).await,
        "verify" => verify(settings, args).await,
        _ => decode(args),
    }
}

async fn sign(settings: &Settings, args: &ArgMatches) -> Result<String, Failure> {
    let claims = input(args, "claims")?;
    // As they were written: a number keeps its digits, and the sidecar sees a duplicate member.
    let claims: &RawValue =
        serde_json::from_str(&claims).map_err(|error| Failure::usage(format!("the claims are not JSON: {error}")))?;
    let mut request = format!(r#"{{"claims":{claims}"#);
    if let Some(ttl) = args.get_one::<String>("ttl") {
        let ttl: u64 = ttl
            .parse()
            .map_err(|_| Failure::usage("--ttl takes a whole number of seconds"))?;
        request.push_str(&format!(r#","ttl":{ttl}"#));
    }
    if let Some(typ) = args.get_one::<String>("typ") {
        request.push_str(&format!(r#","typ":{}"#, Value::from(typ.as_str())));
    }
    request.push('}');
    let answer = ask(settings, "/v1/sign", request.into_bytes()).await?;
    if is_json(args) {
        return Ok(to_json(&answer));
    }
    Ok(answer["token"].as_str().unwrap_or_default().to_owned() + "\n")
}

async fn verify(settings: &Settings, args: &ArgMatches) -> Result<String, Failure> {
    let mut request = json!({ "token": input(args, "token")? });
    if !settings.audience.is_empty() {
        request["audience"] = settings.audience.iter().map(signet_core::Audience::as_str).collect();
    }
    for name in ["scope", "typ"] {
        if let Some(value) = args.get_one::<String>(name) {
            request[name] = value.as_str().into();
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
        text: format!("not good: {}: {}", word("error"), word("detail")),
        answer: if is_json(args) { text } else { String::new() },
        code: 1,
    })
}

fn decode(args: &ArgMatches) -> Result<String, Failure> {
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
        Ok(format!("NOT VERIFIED: anybody can have written this\n{decoded}"))
    }
}

fn input(args: &ArgMatches, name: &str) -> Result<String, Failure> {
    match args.get_one::<String>(name).map(String::as_str) {
        None | Some("-") => {
            let mut text = String::new();
            let read = std::io::stdin().lock().take(LONGEST_INPUT).read_to_string(&mut text);
            read.map_err(|error| Failure::usage(format!("reading standard input failed: {error}")))?;
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
