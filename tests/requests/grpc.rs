//! Envoy's check over gRPC, with any headers, including some that are not UTF-8.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use signet::grpc::envoy::{
    AttributeContext, CHECK, CheckRequest, CheckResponse, ClientHeader, HttpRequest, HttpResponse, Request as Asked,
};
use tokio::net::UnixStream;

use crate::harness::{AUDIENCE, Sidecar};
use crate::http2::over;
use crate::{sidecar, works};

/// The answer of the check: the code of `google.rpc.Status`, and the HTTP status and challenge of a denial.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) code: i32,
    pub(crate) status: Option<i32>,
    pub(crate) challenge: Option<String>,
}

/// Asks about a request with these headers, on a route with these context extensions.
pub(crate) async fn check(sidecar: &Sidecar, headers: &[(&[u8], &[u8])], extensions: &[(&str, &str)]) -> Verdict {
    let headers = headers.iter().map(|(key, value)| ClientHeader {
        key: key.to_vec(),
        value: value.to_vec(),
        raw_value: Vec::new(),
    });
    let extensions = extensions
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let http = HttpRequest {
        headers: headers.collect(),
        header_map: None,
    };
    let message = CheckRequest {
        attributes: Some(AttributeContext {
            request: Some(Asked { http: Some(http) }),
            context_extensions: extensions.collect(),
        }),
    }
    .encode_to_vec();
    let length = u32::try_from(message.len()).expect("short").to_be_bytes();
    let frame = [&[0][..], &length, &message].concat();
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("http://signet{CHECK}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(Bytes::from(frame)))
        .expect("a request");
    let path = sidecar.spec().socket_path();
    let mut sender = over(UnixStream::connect(path).await.expect("connected")).await;
    let response = sender.send_request(request).await.expect("an answer");
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("a body");
    let status = body.trailers().and_then(|trailers| trailers.get("grpc-status"));
    let status = status.or_else(|| parts.headers.get("grpc-status"));
    assert_eq!(status.expect("a status"), "0", "the call itself failed: {parts:?}");
    let body = body.to_bytes();
    let answer = CheckResponse::decode(&body[5..]).expect("an answer");
    let denied = match answer.http_response {
        Some(HttpResponse::Denied(denied)) => Some(denied),
        _ => None,
    };
    let challenge = denied.iter().flat_map(|denied| &denied.headers).find_map(|header| {
        let header = header.header.as_ref()?;
        (header.key == "www-authenticate").then(|| header.value.clone())
    });
    Verdict {
        code: answer.status.map_or(0, |status| status.code),
        status: denied.and_then(|denied| Some(denied.status?.code)),
        challenge,
    }
}

const GOOD: Verdict = Verdict {
    code: 0,
    status: None,
    challenge: None,
};
const REQUIRES: [(&str, &str); 1] = [("audience", AUDIENCE)];

/// envoyproxy/envoy#22996: before it, header values were passed on unchanged.
#[tokio::test]
async fn a_header_that_is_no_utf8_beside_a_good_token_is_no_reason_to_deny_it() {
    let sidecar = sidecar();
    let bearer = format!("Bearer {}", works(&sidecar, &mut sidecar.socket()).token);
    let authorization = (&b"authorization"[..], bearer.as_bytes());
    for other in [
        (&b"example-header"[..], &b"Espa\xf1a"[..]),
        (b"cookie", b"\xff\xfe\x00"),
        (b"x-\xff", b"a"),
    ] {
        assert_eq!(
            check(&sidecar, &[authorization, other], &REQUIRES).await,
            GOOD,
            "{other:?}"
        );
        assert_eq!(
            check(&sidecar, &[other, authorization], &REQUIRES).await,
            GOOD,
            "{other:?}"
        );
    }
    let broken = check(&sidecar, &[(b"authorization", b"Bearer \xff")], &REQUIRES).await;
    assert_eq!((broken.code, broken.status), (16, Some(400)), "{broken:?}");
}

/// A request without a bearer token gets a challenge without an error code (RFC 6750 §3.1).
#[tokio::test]
async fn who_brings_no_bearer_token_is_asked_for_one_without_an_error_code() {
    let sidecar = sidecar();
    let token = works(&sidecar, &mut sidecar.socket()).token;
    for value in ["", " ", "Negotiate", "Basic YTpi", "DPoP abc", &token] {
        let denied = check(&sidecar, &[(b"authorization", value.as_bytes())], &REQUIRES).await;
        let expected = Verdict {
            code: 16,
            status: Some(401),
            challenge: Some(r#"Bearer realm="api""#.to_owned()),
        };
        assert_eq!(denied, expected, "{value:?}");
    }
    let denied = check(&sidecar, &[], &REQUIRES).await;
    assert_eq!(denied.challenge.as_deref(), Some(r#"Bearer realm="api""#));
}
