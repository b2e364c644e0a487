//! Files, and the reports about them.

use crate::file::{Document, Report, Strictness};
use crate::plan::Plan;

fn read(text: &str) -> (Option<Plan>, Report) {
    let mut report = Report::default();
    let document = Document::parse(text, &[], Strictness::Strict, &mut report);
    let plan = document.and_then(|document| Plan::read(&document, &mut report));
    (plan, report)
}

fn problems(text: &str) -> Vec<String> {
    let (plan, report) = read(text);
    assert_eq!(plan.is_none(), !report.is_good());
    report.problems().iter().map(ToString::to_string).collect()
}

/// A file with this endpoint, whose backend has these keys.
fn file(endpoint: &str, backend: &str) -> String {
    format!(
        r#"{{"version":3,"host":["http://a"],"endpoints":[{{"endpoint":"/x/{{id}}"{endpoint},"backend":[{{"url_pattern":"/y"{backend}}}]}}]}}"#
    )
}

#[test]
fn a_small_file_is_a_plan() {
    let (plan, report) = read(&file("", ""));
    let plan = plan.unwrap_or_else(|| panic!("{}", report.to_text("file")));
    assert!(report.warnings().is_empty());
    assert_eq!(
        plan.endpoints[0].to_string(),
        "GET /x/{id} -> GET http://a/y json -> json, as it came in 2s; headers content-type"
    );
    assert_eq!(plan.listen.port(), 8080);
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_place() {
    for (endpoint, backend, says) in [
        (r#","method":"HEAD""#, "", "endpoints[0].method: \"HEAD\" is not one of"),
        (r#","timeout":"2""#, "", "endpoints[0].timeout: \"2\" has no unit"),
        (
            r#","timeout":"0s""#,
            "",
            "endpoints[0].timeout: no backend can answer in 0 s",
        ),
        (r#","output_encoding":"xml""#, "", "not supported by this version"),
        (
            r#","output_encoding":"no-op""#,
            r#","allow":["a"]"#,
            "cannot be filtered; remove allow",
        ),
        (
            r#","input_headers":["a b"]"#,
            "",
            "endpoints[0].input_headers[0]: \"a b\" is not a header name",
        ),
        (
            r#","concurrent_calls":17"#,
            "",
            "concurrent_calls: 17 is not a whole number from 1 to 16",
        ),
        ("", r#","encoding":"xml""#, "reading XML and RSS is not supported"),
        (
            "",
            r#","encoding":"no-op""#,
            "only if output_encoding of the endpoint is no-op",
        ),
        ("", r#","sd":"dns""#, "service discovery is not supported"),
        (
            "",
            r#","host":["http://a/b"]"#,
            "backend[0].host[0]: \"http://a/b\" has a path",
        ),
        ("", r#","host":["http://u:p@a"]"#, "has a user name"),
        ("", r#","mapping":{"a":1}"#, "backend[0].mapping.a: this is a number"),
        (
            "",
            r#","extra_config":{"auth/client-credentials":{}}"#,
            "not supported by this version",
        ),
        (r#","extra_config":{"auth/api-keys":{}}"#, "", "Enterprise"),
        (r#","extra_config":{"proxy":{"strategy":"fallback"}}"#, "", "Enterprise"),
        (
            r#","extra_config":{"proxy":{"static":{"strategy":"never","data":{}}}}"#,
            "",
            "is not one of always",
        ),
    ] {
        let told = problems(&file(endpoint, backend));
        assert!(
            told.len() == 1 && told[0].contains(says),
            "{endpoint}{backend}: {told:?}"
        );
    }
}

#[test]
fn paths_that_cannot_be_routed_are_refused() {
    for (path, says) in [
        ("x", "does not begin with a slash"),
        ("/a/*", "a wildcard"),
        ("/:id", "a wildcard"),
        ("/{a}/{a}", "two parameters of one name"),
        ("/{}", "a parameter whose name"),
        ("/a.{ext}", "not a whole segment"),
        ("/a//b", "an empty segment"),
        ("/a/../b", "a segment . or .."),
        ("/a?b", "a query or a fragment"),
        ("/a%2", "a percent sign"),
        ("/__debug/x", "belong to the gateway"),
        ("/__health/x", "belong to the gateway"),
    ] {
        let text = file("", "").replace("/x/{id}", path);
        let told = problems(&text);
        assert!(told.len() == 1 && told[0].contains(says), "{path}: {told:?}");
    }
}

#[test]
fn a_proxy_that_cannot_be_read_is_refused() {
    let router = |keys: &str| {
        file("", "").replace(
            "\"version\":3,",
            &format!(r#""version":3,"extra_config":{{"router":{{{keys}}}}},"#),
        )
    };
    assert!(problems(&router(r#""trusted_proxies":["10.0.0.0/33"]"#))[0].contains("neither an address nor a network"));
    assert!(problems(&router(r#""remote_ip_headers":["X Real IP"]"#))[0].contains("is not a header name"));
    let proxies = |text: &str| read(text).0.expect("a plan").rules.proxies;
    let named = proxies(&router(r#""trusted_proxies":["10.0.0.0/8"]"#));
    assert!(named.have("10.1.2.3".parse().expect("an address")));
    let off = proxies(&router(
        r#""trusted_proxies":["10.0.0.0/8"],"forwarded_by_client_ip":false"#,
    ));
    assert!(!off.have("10.1.2.3".parse().expect("an address")));
}

#[test]
fn conflicting_routes_are_refused_with_both_lines() {
    let text = "{\"version\":3,\"host\":[\"a\"],\"endpoints\":[\n{\"endpoint\":\"/a/{x}\",\"backend\":[{\"url_pattern\":\"/\"}]},\n\
                {\"endpoint\":\"/a/{y}\",\"backend\":[{\"url_pattern\":\"/\"}]}]}";
    assert_eq!(
        problems(text),
        ["line 3: endpoints[1].endpoint: GET /a/{y} answers the same requests as /a/{x} in line 2; remove one of them"]
    );
}

#[test]
fn all_problems_are_told_at_once() {
    let text = r#"{"version":2,"port":0,"listen_ip":"here","timeout":"soon","endpoints":[{"endpoint":"/a","backend":[]},
        {"backend":[{"hosst":["a"]}]}],"extra_config":{"router":{"health_path":"x","error_body":{"500":1}},
        "telemetry/logging":{"level":"LOUD"}}}"#;
    let told = problems(text);
    assert_eq!(told.len(), 12, "{told:#?}");
}

#[test]
fn a_validator_that_would_protect_less_than_it_says_is_refused() {
    let validator = |keys: &str| file(&format!(r#","extra_config":{{"auth/validator":{{{keys}}}}}"#), "");
    for (keys, says) in [
        (r#""jwk_url":"https://a/k""#, "alg is missing"),
        (r#""alg":"HS256","jwk_url":"https://a/k""#, "HS256 is not supported"),
        (r#""alg":"none","jwk_url":"https://a/k""#, "is not one of"),
        (r#""alg":"RS256""#, "jwk_url is missing"),
        (r#""alg":"RS256","jwk_url":"http://a/k""#, "is not https"),
        (r#""alg":"RS256","issuer":"http://a""#, "is not https"),
        (
            r#""alg":"RS256","jwk_url":"https://a/k","scopes":["a"]"#,
            "scopes_key is missing",
        ),
        (
            r#""alg":"RS256","jwk_url":"https://a/k","propagate_claims":[["sub"]]"#,
            "not a pair of a claim and a header",
        ),
        (
            r#""alg":"RS256","jwk_url":"https://a/k","propagate_claims":[["sub","Host"]]"#,
            "cannot be set from a claim",
        ),
        (
            r#""alg":"RS256","jwk_url":"https://a/k","key_identify_strategy":"x5t""#,
            "keys are found by kid",
        ),
        (
            r#""alg":"RS256","jwk_url":"https://a/k","audiences":["a"]"#,
            "is audience meant?",
        ),
        (
            r#""alg":"RS256","jwk_local_path":"/k","jwk_url":"https://a/k""#,
            "keys in a file are not supported",
        ),
        (
            r#""alg":"RS256","jwk_url":"https://a/k","require_exp":false"#,
            "tokens without exp",
        ),
    ] {
        let told = problems(&validator(keys));
        assert!(told.iter().any(|problem| problem.contains(says)), "{keys}: {told:?}");
    }
    let (plan, report) = read(&validator(
        r#""alg":"RS256","jwk_url":"http://a/k","disable_jwk_security":true"#,
    ));
    let plan = plan.unwrap_or_else(|| panic!("{}", report.to_text("file")));
    assert_eq!(
        (plan.validators.len(), report.warnings().len()),
        (1, 3),
        "http, no issuer, no audience"
    );
    assert!(plan.endpoints[0].to_string().contains("-> token -> GET"));
}

#[test]
fn endpoints_that_want_the_same_tokens_share_a_validator() {
    let text = r#"{"version":3,"host":["http://a"],"endpoints":[
        {"endpoint":"/a","backend":[{"url_pattern":"/"}],"extra_config":{"auth/validator":{"alg":"RS256","jwk_url":"https://a/k"}}},
        {"endpoint":"/b","backend":[{"url_pattern":"/"}],"extra_config":{"auth/validator":{"alg":"RS256","jwk_url":"https://a/k"}}},
        {"endpoint":"/c","backend":[{"url_pattern":"/{JWT.sub}"}],
         "extra_config":{"auth/validator":{"alg":"RS256","jwk_url":"https://a/k","roles":["x"]}}}]}"#;
    let (plan, report) = read(text);
    let plan = plan.unwrap_or_else(|| panic!("{}", report.to_text("file")));
    let numbers: Vec<Option<usize>> = plan.endpoints.iter().map(|endpoint| endpoint.validator).collect();
    assert_eq!((numbers, plan.validators.len()), (vec![Some(0), Some(0), Some(1)], 2));
    let without = text.replace("auth/validator", "_auth/validator");
    assert!(problems(&without)[0].contains("needs a namespace auth/validator"));
}

#[test]
fn values_come_only_from_where_they_can_be() {
    let chain = r#"{"version":3,"host":["http://a"],"endpoints":[{"endpoint":"/x","extra_config":{"proxy":{"sequential":true}},
        "backend":[{"url_pattern":"/y"},{"url_pattern":"/z/{resp0_a.b}"}]}]}"#;
    let (plan, report) = read(chain);
    let plan = plan.unwrap_or_else(|| panic!("{}", report.to_text("file")));
    assert!(
        plan.endpoints[0]
            .to_string()
            .contains("chain (GET http://a/y json, then GET http://a/z/{resp0_a.b} json)")
    );
    let merge = chain.replace("true", "false");
    assert!(problems(&merge)[0].contains("only a backend of a sequential endpoint"));
    let itself = chain.replace("resp0", "resp1");
    assert!(problems(&itself)[0].contains("has not answered yet"));
}
