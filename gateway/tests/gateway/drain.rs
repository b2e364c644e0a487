//! The end of the process: what is under way is finished within a bound, and nothing new begins.

use std::io::{BufRead as _, BufReader, Write as _};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};

use crate::certificates::{Authority, TlsClient, directory, path};
use crate::support::{Answer, Backend, Gateway, reply};

/// A backend that says when it is asked, and answers when it is told to.
fn slow() -> (Backend, Receiver<()>, Sender<()>) {
    let ((arrive, arrived), (release, released)) = (channel::<()>(), channel::<()>());
    let (arrive, released) = (Mutex::new(arrive), Mutex::new(released));
    let backend = Backend::start(move |asked, stream| {
        if asked.target == "/slow" {
            let _ = arrive.lock().expect("a lock").send(());
            let _ = released.lock().expect("a lock").recv();
        }
        reply(stream, 200, &[], "{\"a\":1}");
    });
    (backend, arrived, release)
}

fn file(backend: &Backend) -> Value {
    json!({"host": [backend.host()], "timeout": "60s", "max_shutdown_wait_time": "2s", "endpoints": [
        {"endpoint": "/slow", "backend": [{"url_pattern": "/slow"}]},
        {"endpoint": "/quick", "backend": [{"url_pattern": "/quick"}]}]})
}

#[test]
fn a_kept_connection_is_closed_with_its_last_answer() {
    let (backend, arrived, release) = slow();
    let mut gateway = Gateway::start(&file(&backend));
    let mut stream = BufReader::new(gateway.connect());
    let ask = |stream: &mut BufReader<std::net::TcpStream>, target: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n");
        stream.get_mut().write_all(request.as_bytes()).expect("sent");
    };
    ask(&mut stream, "/quick");
    let answer = Answer::read(&mut stream).expect("an answer");
    assert_eq!((answer.status, answer.header("connection")), (200, None));
    ask(&mut stream, "/slow");
    arrived.recv().expect("the backend was asked");
    gateway.signal("TERM");
    gateway.logs("stopping", 1);
    // The thread of the connection learns of it a moment later, which no line of the log shows.
    std::thread::sleep(Duration::from_millis(200));
    release.send(()).expect("said");
    let answer = Answer::read(&mut stream).expect("an answer");
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert!(stream.fill_buf().expect("the end").is_empty());
    assert_eq!(gateway.ends().code(), Some(0));
    assert!(!gateway.log().contains("aborted"), "{}", gateway.log());
}

#[test]
fn http_2_is_told_to_go_away_and_its_request_is_finished() {
    let authority = Authority::new();
    let (backend, arrived, release) = slow();
    let directory = directory(&authority);
    let mut file = file(&backend);
    file["tls"] = json!({"public_key": path(&directory, "server.crt"), "private_key": path(&directory, "server.key")});
    let mut gateway = Gateway::start_in(directory, &file);
    let client = TlsClient {
        protocols: vec!["h2"],
        ..TlsClient::of(&authority)
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let tcp = tokio::net::TcpStream::connect(gateway.address())
            .await
            .expect("a connection");
        let name = "gateway.test".try_into().expect("a name");
        let stream = tokio_rustls::TlsConnector::from(client.config())
            .connect(name, tcp)
            .await;
        let stream = TokioIo::new(stream.expect("a handshake"));
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.expect("HTTP/2");
        let ended = tokio::spawn(connection);
        let request = |target: &str| {
            let uri = format!("https://gateway.test{target}");
            Request::get(uri).body(Empty::<Bytes>::new()).expect("a request")
        };
        let under_way = tokio::spawn(sender.send_request(request("/slow")));
        tokio::task::spawn_blocking(move || arrived.recv().expect("the backend was asked"))
            .await
            .expect("asked");
        gateway.signal("TERM");
        gateway.logs("stopping", 1);
        // GOAWAY has come when the connection takes no more requests.
        while sender.ready().await.is_ok() && sender.send_request(request("/quick")).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        release.send(()).expect("said");
        let answer = under_way.await.expect("a task").expect("an answer");
        assert_eq!(answer.status(), 200);
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        assert_eq!(&body[..], b"{\"a\":1}");
        ended.await.expect("a task").expect("a good end");
    });
    assert_eq!(gateway.ends().code(), Some(0));
}

#[test]
fn a_request_that_does_not_end_delays_the_stop_by_the_bound_and_no_longer() {
    let (backend, arrived, _release) = slow();
    let mut gateway = Gateway::start(&file(&backend));
    let mut stream = gateway.connect();
    stream
        .write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n")
        .expect("sent");
    arrived.recv().expect("the backend was asked");
    let since = Instant::now();
    gateway.signal("TERM");
    assert_eq!(gateway.ends().code(), Some(0));
    let took = since.elapsed();
    assert!(
        took >= Duration::from_secs(2) && took < Duration::from_secs(10),
        "{took:?}"
    );
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let (backend, arrived, _release) = slow();
    let mut file = file(&backend);
    file["max_shutdown_wait_time"] = "1h".into();
    let mut gateway = Gateway::start(&file);
    let mut stream = gateway.connect();
    stream
        .write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n")
        .expect("sent");
    arrived.recv().expect("the backend was asked");
    gateway.signal("TERM");
    gateway.logs("stopping", 1);
    gateway.signal("INT");
    assert_eq!(gateway.ends().code(), Some(0));
    gateway.logs("a second signal", 1);
}
