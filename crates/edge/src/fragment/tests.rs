//! Compares what [`super::Watch`] finds with what hyper reads. If they differed, a good request would get a 400.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use crate::answer::Response;
use crate::body::{Arriving, json, read};
use crate::crowd::Crowd;
use crate::handler::Handler;
use crate::serve::{ConnectionLimits, LONG_HEAD, serve};

/// Fields that frame no body, though some look like it.
const FIELDS: [&str; 13] = [
    "x: #",
    "#: GET /# HTTP/1.1",
    "referer: http://signet/#a",
    "c:",
    "T: chunked",
    "content: 9",
    "content-lengths: 9",
    "content-length-: 9",
    "transfer: chunked",
    "transfer-encodings: chunked",
    "connection: keep-alive",
    "expect: 100-continue",
    "upgrade: h2c",
];
const PIECES: [&str; 5] = [
    "#",
    "GET /# HTTP/1.1\r\n\r\n",
    "\r\n0\r\n\r\n",
    "0123456789abcdef#",
    "\n",
];

/// Reads the body of each request.
#[derive(Clone)]
struct Reader;

impl Handler for Reader {
    type Streamed = Full<Bytes>;

    async fn handle(&self, request: Request<Arriving>) -> Response<Full<Bytes>> {
        match read(request.into_body(), LONG_HEAD).await {
            Ok(_) => json("{}"),
            Err(problem) => problem.into_response(),
        }
    }
}

/// The fields that frame a body, and the body.
fn any_body() -> impl Strategy<Value = (Vec<String>, String)> {
    let field = select(vec!["content-length:", "Content-Length: ", "CONTENT-LENGTH: \t"]);
    let counted = (field, subsequence(PIECES.to_vec(), 0..4), 1..3_usize).prop_map(|(name, pieces, times)| {
        let body = pieces.concat();
        (vec![format!("{name}{} ", body.len()); times], body)
    });
    let extension = || select(vec!["", ";#", " ", "\t ;a=\"#\"", ";a;b=#"]);
    let size = |digits: &str, length: usize| match digits {
        "0" => format!("00{length:x}"),
        "A" => format!("{length:X}"),
        _ => format!("{length:x}"),
    };
    let chunk = (select(PIECES.to_vec()), select(vec!["0", "A", "a"]), extension());
    let chunk = chunk
        .prop_map(move |(data, digits, extension)| format!("{}{extension}\r\n{data}\r\n", size(digits, data.len())));
    let field = select(vec!["transfer-encoding: chunked", "Transfer-Encoding:Chunked "]);
    let trailers = subsequence(vec!["#: #\r\n", "a: \r\n", "content-length: 9\r\n"], 0..=3);
    let chunks = proptest::collection::vec(chunk, 0..4);
    let chunked = (field, chunks, select(vec!["0", "000"]), extension(), trailers);
    let chunked = chunked.prop_map(|(field, chunks, last, extension, trailers)| {
        let body = format!("{}{last}{extension}\r\n{}\r\n", chunks.concat(), trailers.concat());
        (vec![field.to_owned()], body)
    });
    prop_oneof![Just((Vec::new(), String::new())), counted, chunked]
}

fn any_request() -> impl Strategy<Value = String> {
    let line = (
        select(vec!["", "\r\n", "\n\r\n"]),
        select(vec!["GET", "POST", "HEAD", "OPTIONS", "X#Y"]),
        select(vec!["/", "/a?b=%23", "/a?b=c&d=%23&e", "http://signet/a", "*"]),
        select(vec!["\r\n", "\n"]),
    );
    let fields = subsequence(FIELDS.to_vec(), 0..FIELDS.len());
    (line, fields, any_body()).prop_flat_map(|((before, method, target, end), fields, (framing, body))| {
        let mut all: Vec<String> = fields.into_iter().map(str::to_owned).collect();
        all.push("host: signet".to_owned());
        all.extend(framing);
        Just(all).prop_shuffle().prop_map(move |fields| {
            let fields: String = fields.iter().map(|field| format!("{field}{end}")).collect();
            format!("{before}{method} {target} HTTP/1.1{end}{fields}{end}{body}")
        })
    })
}

/// The complete answer to these bytes, which arrive in pieces of these lengths.
async fn answered(octets: &[u8], lengths: &[usize]) -> String {
    let crowd = Crowd::new("test", 1, "max_connections");
    let (ours, theirs) = duplex(LONG_HEAD);
    let serving = tokio::spawn(async move {
        let member = crowd.admit().await;
        let limits = ConnectionLimits {
            header_timeout: Duration::from_secs(10),
            longest_head: LONG_HEAD,
        };
        serve(theirs, None, &Reader, &member, limits).await;
    });
    let (mut reader, mut writer) = tokio::io::split(ours);
    let send = async {
        let mut rest = octets;
        for length in lengths.iter().cycle() {
            let (piece, others) = rest.split_at(rest.len().min(*length));
            // After a refusal nobody reads the rest.
            if piece.is_empty() || writer.write_all(piece).await.is_err() {
                break;
            }
            rest = others;
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
        }
        let _ = writer.shutdown().await;
    };
    let mut answer = String::new();
    let (_, read) = tokio::join!(send, reader.read_to_string(&mut answer));
    read.expect("answers");
    serving.await.expect("no panic");
    answer
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn no_good_request_is_refused_and_the_one_with_a_number_sign_is(
        requests in proptest::collection::vec(any_request(), 0..6),
        lengths in proptest::collection::vec(prop_oneof![1..8_usize, 8..200_usize, Just(LONG_HEAD)], 1..20),
    ) {
        let last = "GET /a#b HTTP/1.1\r\nhost: signet\r\n\r\nGET / HTTP/1.1\r\nhost: signet\r\n\r\n";
        let octets = format!("{}{last}", requests.concat());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let answer = runtime.block_on(answered(octets.as_bytes(), &lengths));
        let count = |status: &str| answer.matches(&format!("HTTP/1.1 {status} ")).count();
        prop_assert_eq!((count("200"), count("400")), (requests.len(), 1), "{:?} got {:?}", octets, answer);
        prop_assert!(answer.contains("invalid_target"), "{}", answer);
    }
}
