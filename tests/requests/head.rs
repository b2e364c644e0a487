//! `HEAD` wherever there is `GET` (RFC 9110 §9.1, §9.3.2): the same status and headers without a body,
//! in both versions of HTTP.

use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, Full};
use tokio::net::{TcpStream, UnixStream};

use crate::http2::over;
use crate::sidecar;

const SOCKET: [&str; 1] = ["/v1/ring"];
const ADMIN: [&str; 4] = ["/livez", "/readyz", "/metrics", "/"];
const PUBLIC: [&str; 3] = [
    "/.well-known/jwks.json",
    "/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server",
];

/// The headers that are the same in every answer.
fn lasting<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<(String, String)> {
    let changing = ["date", "x-request-id"];
    // The figures in the page and the metrics change.
    let mut lasting: Vec<_> = headers
        .filter(|(name, _)| !changing.contains(name))
        .map(|(name, value)| {
            (
                name.to_owned(),
                if name == "content-length" { "some" } else { value }.to_owned(),
            )
        })
        .collect();
    lasting.sort();
    lasting
}

#[test]
fn a_head_is_answered_as_a_get_without_its_body_over_http_1() {
    let sidecar = sidecar();
    for (mut connection, paths) in [
        (sidecar.socket(), &SOCKET[..]),
        (sidecar.admin(), &ADMIN),
        (sidecar.public(), &PUBLIC),
    ] {
        for path in paths {
            let get = connection.get(path).expect("an answer");
            let head = connection.request("HEAD", path, &[], None).expect("an answer");
            assert_eq!((get.status, head.status), (200, 200), "{path}");
            let named = |answer: &crate::harness::http::Answer| {
                lasting(
                    answer
                        .headers
                        .iter()
                        .map(|(name, value)| (name.as_str(), value.as_str())),
                )
            };
            assert_eq!(named(&head), named(&get), "{path}");
            // The method that the refusal of a POST names works.
            let post = connection.post(path, b"{}").expect("an answer");
            let allowed = post.header("allow").unwrap_or_default();
            assert!(
                post.status == 405 && allowed.starts_with("GET, HEAD"),
                "{path}: {allowed}"
            );
        }
    }
    let mut connection = sidecar.socket();
    for path in [
        "/v1/sign",
        "/v1/verify",
        "/v1/introspect",
        "/v1/sign/batch",
        "/v1/verify/batch",
    ] {
        let head = connection.request("HEAD", path, &[], None).expect("an answer");
        assert_eq!((head.status, head.header("allow")), (405, Some("POST")), "{path}");
    }
    let events = connection
        .request("HEAD", "/v1/ring/events", &[], None)
        .expect("an answer");
    assert_eq!(
        (events.status, events.header("content-type")),
        (200, Some("text/event-stream"))
    );
    assert_eq!(connection.get("/v1/ring").expect("the connection goes on").status, 200);
}

#[tokio::test]
async fn a_head_is_answered_without_a_body_over_http_2() {
    let sidecar = sidecar();
    let spec = sidecar.spec();
    let connections = [
        (
            over(UnixStream::connect(spec.socket_path()).await.expect("connected")).await,
            [&SOCKET[..], &["/v1/authorize", "/nothing"]].concat(),
        ),
        (
            over(TcpStream::connect(spec.admin_listen()).await.expect("connected")).await,
            [&ADMIN[..], &["/nothing"]].concat(),
        ),
        (
            over(TcpStream::connect(spec.listen()).await.expect("connected")).await,
            [&PUBLIC[..], &["/nothing"]].concat(),
        ),
    ];
    for (mut sender, paths) in connections {
        for path in paths {
            let mut answers = Vec::new();
            for method in [Method::GET, Method::HEAD] {
                let request = Request::builder()
                    .method(&method)
                    .uri(format!("http://signet{path}"))
                    .body(Full::default())
                    .expect("a request");
                let response = sender.send_request(request).await.expect("an answer");
                let (parts, body) = response.into_parts();
                let body = body.collect().await.expect("a body").to_bytes();
                answers.push((parts.status, named(&parts.headers), body.is_empty()));
            }
            let [get, head] = answers.try_into().expect("two");
            assert_eq!((get.0, get.1), (head.0, head.1), "{path}");
            assert_eq!((get.2, head.2), (false, true), "{path}");
        }
    }
}

fn named(headers: &HeaderMap) -> Vec<(String, String)> {
    let headers = headers.iter();
    lasting(headers.map(|(name, value)| (name.as_str(), value.to_str().unwrap_or_default())))
}
