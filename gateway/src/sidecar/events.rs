//! Reads the stream of accepted keys from the sidecar's socket (`GET /v1/keys/events`).

use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use signet_issuers::accepted::{AcceptedKeys, FORMAT, HEARTBEAT_EVENT, KEYS_EVENT};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::connect::{ConnectError, connect};
use crate::sidecar_settings::SidecarSettings;

/// If nothing arrives on the stream for this time, the stream counts as lost. A heartbeat is due every 5 s.
pub const SILENCE: Duration = Duration::from_secs(15);
/// The maximum size of an event in bytes: a dozen issuers with as many keys as are allowed.
const LONGEST: usize = 8 * 1024 * 1024;

/// Why there is no stream, or why it ended.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The socket cannot be used.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection broke.
    #[error(
        "the connection to the sidecar broke; if its log says that this user may not use the socket, add the user to its \
         SIGNET_SOCKET_ALLOW_UIDS"
    )]
    Broken(#[from] hyper::Error),
    /// The answer is not a stream of keys.
    #[error("the sidecar answered {0} to GET /v1/keys/events; update it to the version of this gateway")]
    Status(StatusCode),
    /// The sidecar closed the stream.
    #[error("the sidecar closed the stream of keys")]
    Closed,
    /// Nothing arrived for too long.
    #[error("the sidecar is silent: it sent no heartbeat for {} s", SILENCE.as_secs())]
    Silent,
    /// An event cannot be read.
    #[error("the sidecar sent an event that cannot be read: {0}")]
    Unreadable(String),
}

impl StreamError {
    /// Whether there is no socket at all.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Connect(error) if error.is_absent())
    }
}

/// An event of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysEvent {
    /// Every accepted key. They replace all keys of earlier events.
    Keys(AcceptedKeys),
    /// The sidecar is alive.
    Heartbeat,
}

/// An open stream.
#[derive(Debug)]
pub struct KeysStream {
    body: Incoming,
    parser: Parser,
    connection: AbortHandle,
}

impl Drop for KeysStream {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl KeysStream {
    /// Connects, and requests the stream.
    ///
    /// # Errors
    /// [`StreamError`], if there is no stream.
    pub async fn open(settings: &SidecarSettings) -> Result<Self, StreamError> {
        let stream = connect(settings).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection).abort_handle();
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.uri_mut() = Uri::from_static("/v1/keys/events");
        request.headers_mut().insert(HOST, HeaderValue::from_static("signet"));
        let Ok(answer) = timeout(SILENCE, sender.send_request(request)).await else {
            connection.abort();
            return Err(StreamError::Silent);
        };
        let answer = answer?;
        match answer.status() {
            StatusCode::OK => Ok(Self {
                body: answer.into_body(),
                parser: Parser::default(),
                connection,
            }),
            status => {
                connection.abort();
                Err(StreamError::Status(status))
            }
        }
    }

    /// Waits for the next event.
    ///
    /// # Errors
    /// [`StreamError`], if the stream ended or is silent. After that, it cannot be used any longer.
    pub async fn next(&mut self) -> Result<KeysEvent, StreamError> {
        timeout(SILENCE, self.read()).await.unwrap_or(Err(StreamError::Silent))
    }

    async fn read(&mut self) -> Result<KeysEvent, StreamError> {
        loop {
            while let Some((name, data)) = self.parser.next()? {
                // A newer sidecar may send more kinds of events.
                if let Some(event) = event(&name, &data)? {
                    return Ok(event);
                }
            }
            let frame = self.body.frame().await.ok_or(StreamError::Closed)??;
            if let Ok(octets) = frame.into_data() {
                self.parser.push(&octets);
            }
        }
    }
}

fn event(name: &str, data: &str) -> Result<Option<KeysEvent>, StreamError> {
    match name {
        HEARTBEAT_EVENT => Ok(Some(KeysEvent::Heartbeat)),
        KEYS_EVENT => {
            let keys: AcceptedKeys =
                serde_json::from_str(data).map_err(|error| StreamError::Unreadable(error.to_string()))?;
            match keys.format == FORMAT {
                true => Ok(Some(KeysEvent::Keys(keys))),
                false => {
                    let text = format!("its format is {:?}, and this gateway reads {FORMAT}", keys.format);
                    Err(StreamError::Unreadable(text))
                }
            }
        }
        _ => Ok(None),
    }
}

/// Splits a stream into events (HTML Living Standard, section 9.2.6).
#[derive(Debug, Default)]
struct Parser {
    buffer: Vec<u8>,
    /// How much of the buffer was searched for the end of an event.
    searched: usize,
}

impl Parser {
    fn push(&mut self, octets: &[u8]) {
        self.buffer.extend_from_slice(octets);
    }

    /// The name and the data of the next complete event.
    fn next(&mut self) -> Result<Option<(String, String)>, StreamError> {
        let from = self.searched.saturating_sub(1);
        let found = self.buffer[from..].windows(2).position(|pair| pair == b"\n\n");
        let Some(end) = found.map(|at| from + at) else {
            self.searched = self.buffer.len();
            if self.buffer.len() > LONGEST {
                let text = format!("it is longer than {} MiB", LONGEST / (1024 * 1024));
                return Err(StreamError::Unreadable(text));
            }
            return Ok(None);
        };
        let octets: Vec<u8> = self.buffer.drain(..end + 2).collect();
        self.searched = 0;
        let text = String::from_utf8(octets).map_err(|_| StreamError::Unreadable("it is not UTF-8".to_owned()))?;
        let (mut name, mut data) = (String::new(), Vec::new());
        for line in text.lines() {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => name = value.to_owned(),
                "data" => data.push(value),
                // Comments, and fields that are not used.
                _ => {}
            }
        }
        Ok(Some((name, data.join("\n"))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(chunks: &[&str]) -> Vec<(String, String)> {
        let (mut parser, mut events) = (Parser::default(), Vec::new());
        for chunk in chunks {
            parser.push(chunk.as_bytes());
            while let Some(event) = parser.next().expect("readable") {
                events.push(event);
            }
        }
        events
    }

    #[test]
    fn events_are_found_however_they_are_cut() {
        let stream = ":comment\n\nevent:a\ndata:1\ndata: 2\n\nevent: b\ndata:{}\n\nevent:c\ndata:";
        let whole = parsed(&[stream]);
        let pair = |name: &str, data: &str| (name.to_owned(), data.to_owned());
        assert_eq!(whole, [pair("", ""), pair("a", "1\n2"), pair("b", "{}")]);
        for at in 0..stream.len() {
            let (one, other) = stream.split_at(at);
            assert_eq!(parsed(&[one, other]), whole, "cut at {at}");
        }
    }

    #[test]
    fn an_event_without_end_and_a_document_of_another_format_are_refused() {
        let mut parser = Parser::default();
        parser.push(&vec![b'a'; LONGEST + 1]);
        assert!(parser.next().is_err());
        assert!(event("keys", r#"{"format":"signet-accepted-keys/2","issuers":[]}"#).is_err());
        assert!(event("keys", "{").is_err());
        assert_eq!(event("other", "{").ok(), Some(None));
    }
}
