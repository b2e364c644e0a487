//! HTTP/2 without negotiation, on the socket and on TCP, beside HTTP/1.1 on the same listeners.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::{TcpStream, UnixStream};

use crate::harness::{AUDIENCE, Signed};
use crate::sidecar;

pub(crate) type Sender = SendRequest<Full<Bytes>>;

pub(crate) async fn over<S>(stream: S) -> Sender
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .expect("HTTP/2");
    tokio::spawn(connection);
    sender
}

async fn send(sender: &mut Sender, method: Method, path: &str, authorization: &str, body: String) -> (u16, Vec<u8>) {
    let request = Request::builder()
        .method(method)
        .uri(format!("http://signet{path}"))
        .header("authorization", authorization)
        .body(Full::from(body))
        .expect("a request");
    let response = sender.send_request(request).await.expect("an answer");
    let status = response.status().as_u16();
    (
        status,
        response
            .into_body()
            .collect()
            .await
            .expect("a body")
            .to_bytes()
            .to_vec(),
    )
}

#[tokio::test]
async fn the_socket_speaks_http2_by_prior_knowledge_with_many_streams_at_once() {
    let sidecar = sidecar();
    let sender = over(
        UnixStream::connect(sidecar.spec().socket_path())
            .await
            .expect("connected"),
    )
    .await;
    let streams: Vec<_> = (0..50)
        .map(|n| {
            let mut sender = sender.clone();
            tokio::spawn(async move {
                let claims = json!({ "claims": { "sub": format!("client {n}"), "aud": AUDIENCE } });
                let (status, body) = send(&mut sender, Method::POST, "/v1/sign", "", claims.to_string()).await;
                assert_eq!(status, 200);
                let signed = Signed::from_json(&serde_json::from_slice(&body).expect("JSON"));
                let path = format!("/v1/authorize?audience={AUDIENCE}");
                let bearer = format!("Bearer {}", signed.token);
                let (status, _) = send(&mut sender, Method::GET, &path, &bearer, String::new()).await;
                assert_eq!(status, 200);
                let ask = json!({ "token": signed.token, "audience": AUDIENCE }).to_string();
                let (_, body) = send(&mut sender, Method::POST, "/v1/verify", "", ask).await;
                let answer: Value = serde_json::from_slice(&body).expect("JSON");
                assert_eq!(answer["claims"]["sub"], format!("client {n}"));
                signed.token
            })
        })
        .collect();
    for stream in streams {
        sidecar.remember(&stream.await.expect("no panic"));
    }
    let mut sender = sender;
    let (status, _) = send(&mut sender, Method::POST, "/v1/sign", "", "nonsense".to_owned()).await;
    assert_eq!(status, 400);
    let (status, _) = send(&mut sender, Method::POST, "/v1/sign", "", " ".repeat(64 * 1024 + 1)).await;
    assert_eq!(status, 413);
    let (status, ring) = send(&mut sender, Method::GET, "/v1/ring", "", String::new()).await;
    assert_eq!((status, ring.is_empty()), (200, false));
}

#[tokio::test]
async fn the_tcp_listeners_speak_http2_by_prior_knowledge() {
    let sidecar = sidecar();
    for (address, path) in [
        (sidecar.spec().listen(), "/.well-known/jwks.json"),
        (sidecar.spec().admin_listen(), "/readyz"),
    ] {
        let mut sender = over(TcpStream::connect(address).await.expect("connected")).await;
        for _ in 0..3 {
            let (status, body) = send(&mut sender, Method::GET, path, "", String::new()).await;
            assert_eq!(status, 200);
            serde_json::from_slice::<Value>(&body).expect("JSON");
        }
    }
}
