//! Remote custody with the real binary: what a client of the socket sees when the provider fails, and that each
//! signature is one request.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use signet_fakes::{Fault, Response};

use crate::harness::time::{instant, wait_for};
use crate::harness::{AUDIENCE, Home, PATIENCE, Sidecar, Spec};
use crate::servers::{Aws, Counted as _, Openbao};

fn started(at: &crate::servers::Place) -> Sidecar {
    at.configure(&Spec::new(&Home::new()), None)
        .set("SIGNET_SIGN_TIMEOUT", "1s")
        .start()
}

fn request() -> Value {
    json!({ "claims": { "sub": "client", "aud": AUDIENCE } })
}

fn code(answer: &Value) -> &str {
    answer["type"]
        .as_str()
        .unwrap_or_default()
        .trim_start_matches("urn:signet:problem:")
}

#[test]
fn whatever_the_provider_does_a_client_gets_an_answer_in_time_and_the_rest_goes_on() {
    let aws = Aws::start();
    let sidecar = started(&aws.remote("faults"));
    let token = sidecar.sign_for("client").token;
    let broken = Arc::new(|answer: Response| {
        let mut json: Value = serde_json::from_slice(&answer.body).expect("JSON");
        // A signature with a valid form, but by no key.
        json["Signature"] =
            "MEUCIQDKZokqnCjrRtw5tni+2Ltvl/uYMM1EVkHHJjLQWU0cXAIgVc0jRQVyfDZPMhUrpPLaKDvyLZlm9MeKJ2Z/KZGDkFg=".into();
        Response {
            body: json.to_string().into(),
            ..answer
        }
    });
    let throttled = Response::json(
        400,
        &json!({ "__type": "ThrottlingException", "message": "Rate exceeded" }),
    );
    let denied = Response::json(
        400,
        &json!({ "__type": "AccessDeniedException", "message": "not allowed" }),
    );
    for (fault, times, status, word) in [
        (Fault::Answer(throttled), 4, 503, "provider_unavailable"),
        (Fault::Refused, 4, 503, "provider_unavailable"),
        (Fault::Hang, 1, 504, "provider_unavailable"),
        (Fault::Answer(denied), 1, 502, "provider_refused"),
        (Fault::Changed(broken), 1, 502, "provider_refused"),
    ] {
        for _ in 0..times {
            aws.script("Sign", fault.clone());
        }
        let start = instant();
        let answer = sidecar.post("/v1/sign", &request());
        assert!(
            start.elapsed() < Duration::from_millis(1500),
            "{fault:?} took {:?}",
            start.elapsed()
        );
        assert_eq!(
            (answer.status, code(&answer.json())),
            (status, word),
            "{fault:?}: {}",
            answer.text()
        );
        assert_eq!(answer.header("retry-after").is_some(), word == "provider_unavailable");
        // Clients must not see the provider's answer.
        assert!(!answer.text().contains("Rate exceeded") && !answer.text().contains("not allowed"));
        assert_eq!(sidecar.verify(&token)["active"], true);
        let (ready, conditions) = sidecar.readiness();
        assert_eq!(ready, 200);
        assert!(
            conditions.to_string().contains("provider_does_not_sign"),
            "{conditions}"
        );
        // The replica is ready, because requests would fail on any other replica too, but neither the page nor the
        // metric says that all is well.
        let (page, metrics) = (shown(&sidecar, "/"), shown(&sidecar, "/metrics"));
        assert!(
            page.contains("<title>✖ ready, but requests fail - Signet</title>"),
            "{page}"
        );
        assert!(metrics.contains("\nsignet_signing_available 0\n"), "{metrics}");
        assert!(
            metrics.contains("\nsignet_condition{state=\"provider_does_not_sign\"} 1\n"),
            "{metrics}"
        );
        aws.unscript();
        wait_for("signing to go on by itself", PATIENCE, || {
            (sidecar.post("/v1/sign", &request()).status == 200).then_some(())
        });
        assert!(shown(&sidecar, "/").contains("✔ Ready"));
        assert!(shown(&sidecar, "/metrics").contains("\nsignet_signing_available 1\n"));
    }
    assert_eq!(sidecar.logged("the provider signs again").len(), 5);
}

#[test]
fn a_key_that_did_not_sign_is_told_of_until_it_leaves_the_jwks_also_if_nobody_signs() {
    let aws = Aws::start();
    let sidecar = started(&aws.remote("gone"));
    let kid = sidecar.sign_for("client").kid;
    for _ in 0..4 {
        aws.script("Sign", Fault::Refused);
    }
    assert_eq!(sidecar.post("/v1/sign", &request()).status, 503);
    let state = || {
        let (_, readiness) = sidecar.readiness();
        readiness.to_string().contains("provider_does_not_sign")
    };
    assert!(state());
    aws.unscript();
    let ran = sidecar.spec().run(&["keys", "revoke", &kid]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    wait_for("the end of the state", PATIENCE, || (!state()).then_some(()));
}

/// The content of a path on the admin listener.
fn shown(sidecar: &Sidecar, path: &str) -> String {
    sidecar.admin().get(path).expect("an answer").text()
}

#[test]
fn with_the_provider_down_the_breaker_answers_at_once() {
    let aws = Aws::start();
    let sidecar = started(&aws.remote("breaker"));
    for _ in 0..500 {
        aws.script("Sign", Fault::Refused);
    }
    let calls = aws.calls();
    let mut socket = sidecar.socket();
    for _ in 0..200 {
        let answer = socket
            .post("/v1/sign", request().to_string().as_bytes())
            .expect("an answer");
        assert_eq!(answer.status, 503);
    }
    let asked = aws.calls() - calls;
    assert!(asked < 60, "200 requests made {asked} calls of a provider that is down");
    aws.unscript();
    wait_for("signing to go on by itself", PATIENCE, || {
        (sidecar.post("/v1/sign", &request()).status == 200).then_some(())
    });
}

#[test]
fn a_message_that_is_longer_than_the_provider_signs_is_refused_by_name() {
    let aws = Aws::start();
    let sidecar = aws
        .remote("long")
        .configure(&Spec::new(&Home::new()), None)
        .set("SIGNET_ALGORITHM", "EdDSA")
        .start();
    let claims = |length: usize| json!({ "claims": { "sub": "client", "aud": AUDIENCE, "x": "x".repeat(length) } });
    assert_eq!(sidecar.post("/v1/sign", &claims(2500)).status, 200);
    let answer = sidecar.post("/v1/sign", &claims(3500));
    assert_eq!(
        (answer.status, code(&answer.json())),
        (400, "token_too_long"),
        "{}",
        answer.text()
    );
    let batch = json!({ "items": [claims(10), claims(3500), claims(20)] });
    let items = sidecar.post("/v1/sign/batch", &batch).json();
    assert_eq!(code(&items["items"][1]), "token_too_long");
    assert!(items["items"][0]["token"].is_string() && items["items"][2]["token"].is_string());
}

#[test]
fn openbao_is_asked_once_for_each_signature() {
    const EACH: u64 = 50;
    let bao = Openbao::start();
    let sidecar = started(&bao.remote("once"));
    let signed = bao.signatures();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut socket = sidecar.socket();
                for _ in 0..EACH {
                    sidecar.sign_over(&mut socket, &request());
                }
            });
        }
    });
    assert_eq!(bao.signatures() - signed, 4 * EACH);
}
