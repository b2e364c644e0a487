//! A proxy between a handle and the server that holds back one request until the test releases it.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::server::shared;

type Held = Arc<Mutex<Option<(oneshot::Sender<()>, oneshot::Receiver<()>)>>>;

pub(crate) struct Relay {
    pub(crate) address: String,
    /// Completes when the request has arrived.
    pub(crate) arrived: oneshot::Receiver<()>,
    /// Releases the request.
    pub(crate) go_on: oneshot::Sender<()>,
}

impl Relay {
    /// Forwards everything unchanged, except the first `POST` to this path.
    pub(crate) async fn holding(path: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let (has_arrived, arrived) = oneshot::channel();
        let (go_on, may_go_on) = oneshot::channel();
        let held: Held = Arc::new(Mutex::new(Some((has_arrived, may_go_on))));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass_on(stream, path.clone(), Arc::clone(&held)));
            }
        });
        Self {
            address,
            arrived,
            go_on,
        }
    }
}

async fn pass_on(mut stream: TcpStream, hold: String, held: Held) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(octet) => head.push(octet),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).expect("a head");
    let field = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        let mut found = lines.filter(|(given, _)| given.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.to_owned())
    };
    let length = field("content-length").map_or(0, |length| length.parse().expect("a length"));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.expect("a body");
    let body: Option<Value> = serde_json::from_slice(&body).ok();
    let (method, rest) = head.split_once(' ').expect("a method");
    let path = rest.split(' ').next().expect("a path").trim_start_matches("/v1/");
    if method == "POST" && path == hold {
        let first = held.lock().expect("the lock").take();
        if let Some((arrived, go_on)) = first {
            arrived.send(()).expect("the test waits");
            go_on.await.expect("it lets it go on");
        }
    }
    let token = field("x-vault-token").unwrap_or_default();
    let (status, answer) = shared().request_as(&token, method, path, body).await;
    let answer = match answer {
        Value::Null => String::new(),
        answer => answer.to_string(),
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        answer.len()
    );
    // The client may have left.
    let _ = stream.write_all((head + &answer).as_bytes()).await;
}
