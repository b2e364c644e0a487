//! A request whose end two servers could see in different places must not reach a backend.

use serde_json::json;

use crate::support::{Backend, Gateway};

#[test]
fn a_request_whose_end_is_not_clear_reaches_no_backend() {
    let backend = Backend::echo();
    let gateway = Gateway::start(&json!({"host": [backend.host()], "endpoints": [
        {"endpoint": "/x", "method": "POST", "output_encoding": "no-op", "input_headers": ["*"],
         "backend": [{"url_pattern": "/x"}]},
        {"endpoint": "/inner", "backend": [{"url_pattern": "/inner"}]}]}));
    let inner = "GET /inner HTTP/1.1\r\nhost: a\r\n\r\n";
    let before = |headers: &str, body: &str| format!("POST /x HTTP/1.1\r\nhost: a\r\n{headers}\r\n{body}{inner}");
    for (name, octets) in [
        ("two lengths", before("content-length: 0\r\ncontent-length: 35\r\n", "")),
        ("a list of lengths", before("content-length: 0, 35\r\n", "")),
        ("a signed length", before("content-length: +0\r\n", "")),
        ("another coding", before("transfer-encoding: xchunked\r\n", "")),
        (
            "chunked twice",
            before("transfer-encoding: chunked, chunked\r\n", "0\r\n\r\n"),
        ),
        (
            "a coding behind chunked",
            before("transfer-encoding: chunked, identity\r\n", "0\r\n\r\n"),
        ),
        (
            "a folded header",
            before("x-a: b\r\n transfer-encoding: chunked\r\n", "0\r\n\r\n"),
        ),
        (
            "a blank before the colon",
            before("transfer-encoding : chunked\r\n", "0\r\n\r\n"),
        ),
        (
            "no host",
            format!("POST /x HTTP/1.1\r\ncontent-length: 0\r\n\r\n{inner}"),
        ),
        (
            "a length of a chunk that is none",
            before("transfer-encoding: chunked\r\n", "0x0\r\n\r\n"),
        ),
        ("a nul in a header", before("x-a: \0\r\n", "")),
    ] {
        let answer = gateway.raw(&octets);
        let asked: Vec<String> = backend.asked().into_iter().map(|asked| asked.target).collect();
        assert!(!asked.contains(&"/inner".to_owned()), "{name}: {answer}");
        assert!(!answer.starts_with("HTTP/1.1 2"), "{name}: {answer}");
    }
}

#[test]
fn a_length_beside_chunks_reaches_the_backend_as_neither() {
    let backend = Backend::echo();
    let gateway = Gateway::start(&json!({"host": [backend.host()], "endpoints": [
        {"endpoint": "/x", "method": "POST", "output_encoding": "no-op", "input_headers": ["*"],
         "backend": [{"url_pattern": "/x"}]}]}));
    for headers in [
        "transfer-encoding: chunked\r\ncontent-length: 4\r\n",
        "content-length: 4\r\ntransfer-encoding: chunked\r\n",
    ] {
        let answer = gateway.raw(&format!(
            "POST /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\r\n5\r\nhello\r\n0\r\n\r\n"
        ));
        let status = answer.get(9..12).unwrap_or_default();
        // Either the gateway refused the request, or it has written the framing itself.
        for asked in backend.asked() {
            assert_eq!(asked.body, "hello");
            let framings = [asked.header("content-length"), asked.header("transfer-encoding")];
            assert_eq!(framings.iter().flatten().count(), 1, "{asked:?}");
        }
        assert!(status == "200" || status == "400", "{answer}");
    }
}
