//! On all routes, a requirement that is present must have a value: an empty template variable
//! must not accept every token.

use serde_json::{Value, json};

use crate::grpc::check;
use crate::harness::{AUDIENCE, Home, Spec};
use crate::{expect, works};

const FORM: [(&str, &str); 1] = [("content-type", "application/x-www-form-urlencoded")];

/// Texts that require nothing.
const BLANK: [&str; 4] = ["", " ", "   ", "\t"];

/// Wrong names for requirements, each with the right name.
const LOOKALIKES: [(&str, &str); 9] = [
    ("Scope", "scope"),
    ("scopes", "scope"),
    ("scp", "scope"),
    ("aud", "audience"),
    ("audiences", "audience"),
    ("iss", "issuer"),
    ("Issuer", "issuer"),
    ("type", "typ"),
    ("tpy", "typ"),
];

#[tokio::test]
async fn a_requirement_under_another_name_is_refused_at_every_door() {
    let sidecar = Spec::new(&Home::new()).set("SIGNET_AUDIENCE", AUDIENCE).start();
    let mut connection = sidecar.socket();
    let token = works(&sidecar, &mut connection).token;
    let bearer = format!("Bearer {token}");
    for (name, right) in LOOKALIKES {
        let names_it = |answer: &crate::harness::http::Answer| {
            let detail = answer.json()["detail"].as_str().expect("a detail").to_owned();
            assert!(detail.contains(right), "{name}: {detail}");
        };
        let request = json!({ "token": token, name: "no-token-has-this" });
        let answer = sidecar.post("/v1/verify", &request);
        expect(&format!("verify {name}"), &answer, 400, "invalid_request");
        names_it(&answer);
        let batch = sidecar.post("/v1/verify/batch", &json!({ "items": [request] })).json();
        assert_eq!(batch["items"][0]["status"], 400, "{batch}");

        let form = format!("token={token}&{name}=no-token-has-this");
        let answer = connection
            .request("POST", "/v1/introspect", &FORM, Some(form.as_bytes()))
            .expect("an answer");
        expect(&format!("introspect {name}"), &answer, 400, "invalid_request");
        names_it(&answer);

        let headers = [("authorization", bearer.as_str())];
        let path = format!("/v1/authorize?{name}=no-token-has-this");
        let answer = connection.request("GET", &path, &headers, None).expect("an answer");
        expect(&path, &answer, 400, "invalid_request");
        let verdict = check(
            &sidecar,
            &[(b"authorization", bearer.as_bytes())],
            &[(name, "no-token-has-this")],
        )
        .await;
        assert_eq!((verdict.code, verdict.status), (13, Some(500)), "check {name}");
    }
    // Introspection applies requirements under their right names, and ignores parameters that require nothing.
    for (form, active) in [
        (
            "typ=JWT&client_id=gateway&client_secret=x&token_type_hint=access_token",
            true,
        ),
        ("typ=at%2Bjwt", false),
        ("scope=write+read&issuer=http%3A%2F%2Fother", false),
    ] {
        let form = format!("token={token}&{form}");
        let answer = connection
            .request("POST", "/v1/introspect", &FORM, Some(form.as_bytes()))
            .expect("an answer");
        assert_eq!(
            (answer.status, &answer.json()["active"]),
            (200, &json!(active)),
            "{form}"
        );
    }
}

#[tokio::test]
async fn a_requirement_without_a_value_is_refused_at_every_door() {
    let sidecar = Spec::new(&Home::new()).set("SIGNET_AUDIENCE", AUDIENCE).start();
    let mut connection = sidecar.socket();
    let token = works(&sidecar, &mut connection).token;
    let bearer = format!("Bearer {token}");

    let mut bodies: Vec<(&str, Value)> = Vec::new();
    for blank in BLANK {
        bodies.extend(["scope", "typ", "audience", "issuer"].map(|name| (name, json!(blank))));
        bodies.extend(["audience", "issuer"].map(|name| (name, json!([blank]))));
        bodies.extend(["audience", "issuer"].map(|name| (name, json!([AUDIENCE, blank]))));
    }
    bodies.extend(["audience", "issuer"].map(|name| (name, json!([]))));
    for (name, value) in bodies {
        let request = json!({ "token": token, name: value });
        let answer = connection
            .post("/v1/verify", request.to_string().as_bytes())
            .expect("an answer");
        expect(&format!("verify {name} {value}"), &answer, 400, "invalid_request");
        assert!(
            answer.json()["detail"]
                .as_str()
                .is_some_and(|detail| detail.contains(name))
        );

        // The other items of the batch are judged on their own.
        let batch = json!({ "items": [{ "token": token }, request] });
        let answer = connection
            .post("/v1/verify/batch", batch.to_string().as_bytes())
            .expect("an answer");
        let items = &answer.json()["items"];
        assert_eq!(items[0]["active"], true, "{items}");
        assert_eq!(
            (&items[1]["status"], &items[1]["type"], &items[1]["active"]),
            (&json!(400), &json!("urn:signet:problem:invalid_request"), &Value::Null),
            "batch {name} {value}"
        );
    }

    // It is also refused in a place where nobody would read it.
    let request = json!({ "token": token }).to_string();
    for (path, headers, body) in [
        ("/v1/verify", &[][..], request.clone()),
        ("/v1/introspect", &FORM[..], format!("token={token}")),
    ] {
        for query in ["scope=write", "audience=https://other", "scope="] {
            let answer = connection
                .request("POST", &format!("{path}?{query}"), headers, Some(body.as_bytes()))
                .expect("an answer");
            expect(&format!("{path}?{query}"), &answer, 400, "invalid_request");
        }
    }

    for blank in BLANK {
        for name in ["scope", "audience", "issuer"] {
            let query = form_urlencoded::Serializer::new(String::new())
                .append_pair(name, blank)
                .finish();
            let headers = [("authorization", bearer.as_str())];
            let answer = connection
                .request("GET", &format!("/v1/authorize?{query}"), &headers, None)
                .expect("an answer");
            expect(&format!("authorize {query}"), &answer, 400, "invalid_request");
            let form = format!("token={token}&{query}");
            let answer = connection
                .request("POST", "/v1/introspect", &FORM, Some(form.as_bytes()))
                .expect("an answer");
            expect(&format!("introspect {query}"), &answer, 400, "invalid_request");
        }
        for name in ["scope", "audience", "issuer", "typ"] {
            let verdict = check(&sidecar, &[(b"authorization", bearer.as_bytes())], &[(name, blank)]).await;
            assert_eq!(
                (verdict.code, verdict.status),
                (16, Some(400)),
                "check {name} {blank:?}"
            );
        }
    }

    // With a value, each of them accepts the token.
    let good = json!({ "token": token, "scope": "read", "audience": [AUDIENCE], "typ": "JWT" });
    assert_eq!(sidecar.post("/v1/verify", &good).json()["active"], true);
    let verdict = check(&sidecar, &[(b"authorization", bearer.as_bytes())], &[("scope", "read")]).await;
    assert_eq!(verdict.code, 0, "{verdict:?}");
}
