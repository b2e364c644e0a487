//! A replica that is stopped for longer than a rotation takes, like a sleeping machine, and then continues.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::http::Connection;
use crate::time::{instant, wait_for};
use crate::{AUDIENCE, FAST, PATIENCE, Sidecar, Spec, kids, say};

/// How many clients wait for each answer.
const CLIENTS: usize = 4;

/// The durations of [`FAST`], but keys rotate only on request.
pub fn still(spec: Spec) -> Spec {
    spec.set_all(FAST).set("SIGNET_ROTATION_PERIOD", "1h")
}

fn queued(connections: &mut [Connection], method: &str, path: &str, body: Option<&Value>) {
    let body = body.map_or_else(String::new, Value::to_string);
    let length = body.len();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: signet\r\ncontent-length: {length}\r\n\r\n{body}");
    for connection in connections {
        connection.send(request.as_bytes()).expect("sent");
    }
}

/// Stops one replica until the key that it knows has left the JWKS of the other. As soon as it continues, it answers
/// the requests that arrived in the meantime, either correctly or with "not yet".
pub fn wakes_with_the_truth(sleeper: &Sidecar, other: &Sidecar) {
    let former = sleeper.sign_for("client").kid;
    let open = || [(); CLIENTS].map(|()| sleeper.socket());
    let (mut signs, mut verifies) = (open(), open());
    let mut reads = [(); CLIENTS].map(|()| sleeper.public());
    for connection in signs.iter_mut().chain(&mut verifies) {
        assert_eq!(connection.get("/v1/ring").expect("an answer").status, 200);
    }
    for connection in &mut reads {
        let answer = connection.get("/.well-known/jwks.json").expect("an answer");
        assert_eq!(kids(&answer.json()), [former.as_str()]);
    }

    sleeper.signal(Signal::STOP);
    let made = other.spec().run(&["keys", "rotate"]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    wait_for("the former key to leave the JWKS", PATIENCE, || {
        (!other.jwks_kids().contains(&former)).then_some(())
    });
    let request = json!({ "claims": { "sub": "client", "aud": AUDIENCE }, "ttl": 2 });
    // On a busy machine, the other replica may have waited too long for this policy. It then says so and reads its
    // ring.
    wait_for("the other one to sign", PATIENCE, || {
        (other.post("/v1/sign", &request).status == 200).then_some(())
    });
    let good = other.sign_over(&mut other.socket(), &request);
    assert_ne!(good.kid, former);
    queued(&mut signs, "POST", "/v1/sign", Some(&request));
    let question = json!({ "token": good.token, "audience": [AUDIENCE] });
    queued(&mut verifies, "POST", "/v1/verify", Some(&question));
    queued(&mut reads, "GET", "/.well-known/jwks.json", None);

    sleeper.signal(Signal::CONT);
    let woken = instant();
    let mut late = 0;
    let mut answers = |connection: &mut Connection, method: &str, problems: &[&str]| {
        let answer = connection.answer(method).expect("an answer");
        if answer.status == 503 {
            assert!(problems.contains(&answer.problem().as_str()), "{}", answer.text());
            assert!(answer.header("retry-after").is_some());
            late += 1;
            return None;
        }
        assert_eq!(answer.status, 200, "{}", answer.text());
        Some(answer.json())
    };
    for connection in &mut reads {
        if let Some(set) = answers(connection, "GET", &["asleep"]) {
            assert_eq!(kids(&set), [good.kid.as_str()], "a JWKS from before it was stopped");
        }
    }
    for connection in &mut signs {
        if let Some(signed) = answers(connection, "POST", &["asleep", "signing_unavailable"]) {
            sleeper.remember(signed["token"].as_str().expect("a token"));
            assert_eq!(signed["kid"], good.kid.as_str(), "a key signed that nobody publishes");
        }
    }
    for connection in &mut verifies {
        if let Some(verdict) = answers(connection, "POST", &["asleep"]) {
            let is_right = verdict["active"] == true || verdict["error"] == "expired";
            assert!(is_right, "a good token was refused: {verdict}");
        }
    }
    wait_for("it to sign with the key of all", PATIENCE, || {
        let answer = sleeper.post("/v1/sign", &request);
        let signed = (answer.status == 200).then(|| answer.json())?;
        sleeper.remember(signed["token"].as_str().expect("a token"));
        assert_eq!(signed["kid"], good.kid.as_str());
        Some(())
    });
    assert_eq!(sleeper.jwks_kids(), [good.kid.as_str()]);
    let took = woken.elapsed();
    assert!(took < Duration::from_secs(5), "awake after {took:?}");
    say(format!(
        "{late} of {} waiting requests were told to come again, and all was right {took:.1?} after it went on",
        3 * CLIENTS
    ));
}
