//! HTTP/2 frames (RFC 9113), written without a library, as a misbehaving client sends them.

use std::io;

use crate::harness::http::Duplex;

const SETTINGS: u8 = 4;
const HEADERS: u8 = 1;
const DATA: u8 = 0;
const RST_STREAM: u8 = 3;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short");
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// The preface, and settings with this window for each stream. If the window is large, it also
/// applies to the connection.
pub(crate) fn hello(window: u32) -> Vec<u8> {
    let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let mut settings = vec![0, 4];
    settings.extend(window.to_be_bytes());
    hello.extend(frame(SETTINGS, 0, 0, &settings));
    if window > 65_535 {
        let more = 0x7fff_ffff_u32 - 65_535;
        hello.extend(frame(WINDOW_UPDATE, 0, 0, &more.to_be_bytes()));
    }
    hello
}

/// A header field without indexing (RFC 7541 §6.2.2), by the number of its name in the static table.
fn field(name: u8, value: &str) -> Vec<u8> {
    let mut field = vec![name, u8::try_from(value.len()).expect("short")];
    field.extend_from_slice(value.as_bytes());
    field
}

fn head(method: &str, path: &str) -> Vec<u8> {
    let mut head = match method {
        "GET" => vec![0x82],
        _ => vec![0x83],
    };
    head.push(0x86);
    head.extend(field(4, path));
    head.extend(field(1, "signet"));
    head
}

/// This many requests, each on its own stream, from stream 1 on. With a body, each is a POST that
/// announces more than it sends.
pub(crate) fn asks(path: &str, many: u32, body: &[u8]) -> Vec<u8> {
    let mut asks = Vec::new();
    for stream in (0..many).map(|n| 2 * n + 1) {
        if body.is_empty() {
            asks.extend(ask(path, stream));
        } else {
            asks.extend(frame(HEADERS, END_HEADERS, stream, &head("POST", path)));
            asks.extend(frame(DATA, 0, stream, body));
        }
    }
    asks
}

/// One request on this stream.
pub(crate) fn ask(path: &str, stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &head("GET", path))
}

/// A `:path`, by the first byte of its encoding.
pub(crate) fn path(written: u8, path: &str) -> Vec<u8> {
    field(written, path)
}

/// The field that carries a token.
pub(crate) fn bearer(token: &str) -> Vec<u8> {
    let value = format!("Bearer {token}");
    // `authorization`, never to be kept in a table, and a length of more than 7 bits.
    let more = value.len().checked_sub(127).expect("a token is longer");
    let mut field = vec![0x1f, 8, 0x7f];
    field.push(u8::try_from(more & 0x7f).expect("7 bits") | 0x80);
    field.push(u8::try_from(more >> 7).expect("short"));
    field.extend_from_slice(value.as_bytes());
    field
}

/// A request with these fields, of which the first is its `:path`.
pub(crate) fn ask_of_path(fields: &[u8], stream: u32) -> Vec<u8> {
    let head = [b"\x82\x86\x41\x06signet", fields].concat();
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &head)
}

/// The beginning of a head with this many short fields. It is incomplete.
pub(crate) fn unfinished_head(fields: usize) -> Vec<u8> {
    let mut head = head("GET", "/");
    for _ in 0..fields {
        head.extend([0, 1, b'x', 1, b'y']);
    }
    frame(HEADERS, END_STREAM, 1, &head)
}

/// This many requests that are cancelled at once, from stream 1 on (CVE-2023-44487).
pub(crate) fn asks_and_resets(path: &str, many: u32) -> Vec<u8> {
    let mut asks = Vec::new();
    for stream in (0..many).map(|n| 2 * n + 1) {
        asks.extend(ask(path, stream));
        asks.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    asks
}

/// A request on stream 1 with these hosts.
pub(crate) fn ask_of_hosts(path: &str, authority: Option<&str>, hosts: &[&str]) -> Vec<u8> {
    let mut head = vec![0x82, 0x86];
    head.extend(field(4, path));
    if let Some(authority) = authority {
        head.extend(field(1, authority));
    }
    for host in hosts {
        head.extend([0, 4]);
        head.extend_from_slice(b"host");
        head.push(u8::try_from(host.len()).expect("short"));
        head.extend_from_slice(host.as_bytes());
    }
    frame(HEADERS, END_HEADERS | END_STREAM, 1, &head)
}

/// Reads frames until an answer begins. Returns its status, which comes first, by its number in the static table.
pub(crate) fn status_of_an_answer(stream: &mut dyn Duplex) -> io::Result<u16> {
    loop {
        let (kind, payload) = read_frame(stream)?;
        if kind == HEADERS {
            return match payload.first() {
                Some(0x88) => Ok(200),
                Some(0x8c) => Ok(400),
                other => Err(io::Error::other(format!("another status: {other:?}"))),
            };
        }
        if kind == RST_STREAM {
            return Err(io::Error::other("the stream was reset"));
        }
    }
}

fn read_frame(stream: &mut dyn Duplex) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head)?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; usize::try_from(length).expect("short")];
    stream.read_exact(&mut payload)?;
    Ok((head[3], payload))
}

/// Reads frames until a stream is reset. Returns the reason.
pub(crate) fn reason_of_a_reset(stream: &mut dyn Duplex) -> io::Result<u32> {
    loop {
        let (kind, payload) = read_frame(stream)?;
        if let (RST_STREAM, Ok(code)) = (kind, payload.try_into()) {
            return Ok(u32::from_be_bytes(code));
        }
    }
}
