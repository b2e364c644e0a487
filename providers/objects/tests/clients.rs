//! The real clients of the three vendors with canned answers, to test that their errors are understood.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use signet_api::{ErrorKind, ProviderError};
use signet_objects::{Dated, Grants, NamingRegions, ObjectRing, client_options, no_retries};
use signet_sealed::{RingStore, Swap, Version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// The method and the conditions of a request.
type Seen = String;

/// A server that returns these answers, one for each request, and reports the requests.
async fn server(answers: Vec<String>) -> (String, UnboundedReceiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let (tell, seen) = unbounded_channel();
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = Vec::new();
            // The bodies here have at most one byte.
            loop {
                let mut buffer = [0; 4096];
                let count = stream.read(&mut buffer).await.expect("reads");
                request.extend_from_slice(&buffer[..count]);
                let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
                let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
                    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                    body.len() == length.map_or(0, |length| length.parse().expect("a number"))
                });
                if whole || count == 0 {
                    let conditions = ["if-match", "if-none-match", "x-goog-if-generation-match"];
                    let mut words = vec![text.split(' ').next().unwrap_or_default().to_owned()];
                    for name in conditions {
                        let field = text.lines().find(|line| line.starts_with(&format!("{name}: ")));
                        words.extend(field.map(str::to_owned));
                    }
                    drop(tell.send(words.join(" ")));
                    break;
                }
            }
            stream.write_all(answer.as_bytes()).await.expect("writes");
        }
    });
    (address, seen)
}

fn answer(status: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{fields}\r\n{body}")
}

fn refusal(status: &str, code: &str) -> String {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>says the vendor</Message></Error>");
    answer(status, "", &body)
}

fn client(vendor: &str, address: &str) -> Arc<dyn ObjectStore> {
    let options = client_options().with_allow_http(true);
    match vendor {
        "s3" => Arc::new(
            AmazonS3Builder::new()
                .with_client_options(options)
                .with_http_connector(NamingRegions::new("s3"))
                .with_retry(no_retries())
                .with_endpoint(address)
                .with_region("eu-central-1")
                .with_bucket_name("rings")
                .with_access_key_id("AKID")
                .with_secret_access_key("HUSH")
                .build()
                .expect("a client"),
        ),
        "az" => Arc::new(
            MicrosoftAzureBuilder::new()
                .with_client_options(options)
                .with_http_connector(Dated::new("az"))
                .with_retry(no_retries())
                .with_endpoint(address.to_owned())
                .with_account("acme")
                .with_container_name("rings")
                .with_access_key("SFVTSA==")
                .build()
                .expect("a client"),
        ),
        _ => {
            let key = format!(
                r#"{{"gcs_base_url":"{address}","disable_oauth":true,"client_email":"","private_key":"","private_key_id":""}}"#
            );
            Arc::new(
                GoogleCloudStorageBuilder::new()
                    .with_client_options(options)
                    .with_http_connector(Dated::new("gs"))
                    .with_retry(no_retries())
                    .with_bucket_name("rings")
                    .with_service_account_key(key)
                    .build()
                    .expect("a client"),
            )
        }
    }
}

async fn ring(vendor: &str, answers: Vec<String>) -> (ObjectRing, UnboundedReceiver<Seen>) {
    let (address, seen) = server(answers).await;
    let location = format!("{vendor}://rings/ring");
    let ring = ObjectRing::new(client(vendor, &address), "ring", location, Grants::default());
    (ring.expect("a ring"), seen)
}

#[tokio::test]
async fn the_clock_of_each_store_is_handed_on_with_good_answers_and_refusals() {
    let (tell, heard) = std::sync::mpsc::channel();
    let told = std::sync::Mutex::new(tell);
    let listens = signet_api::dates::listen(move |provider, date| {
        drop(told.lock().expect("the listener").send(format!("{provider} {date}")));
    });
    assert!(listens, "nobody else does in this process");
    for (hour, vendor) in ["s3", "az", "gs"].into_iter().enumerate() {
        for (minute, status) in ["200 OK", "403 Forbidden"].into_iter().enumerate() {
            let date = format!("Tue, 06 Jan 2026 0{hour}:0{minute}:00 GMT");
            let (ring, _) = ring(vendor, vec![answer(status, &format!("Date: {date}\r\n"), "")]).await;
            let _ = ring.load().await;
            // Answers of other tests in this process are reported too, but they have no Date.
            assert_eq!(heard.try_recv().as_deref(), Ok(format!("{vendor} {date}").as_str()));
        }
    }
}

fn text(error: &ProviderError) -> String {
    error.source.to_string()
}

const TAGS: &str =
    "ETag: \"0x8D\"\r\nx-goog-generation: 1732464000000000\r\nLast-Modified: Tue, 24 Nov 2026 16:00:00 GMT\r\n";

#[tokio::test]
async fn each_vendor_is_asked_to_write_on_the_right_condition() {
    let table = [
        (
            "s3",
            "412 Precondition Failed",
            "PreconditionFailed",
            "if-none-match: *",
            "if-match: \"0x0\"",
            "if-match: \"0x8d\"",
        ),
        (
            "az",
            "409 Conflict",
            "BlobAlreadyExists",
            "if-none-match: *",
            "if-match: \"0x0\"",
            "if-match: \"0x8d\"",
        ),
        (
            "gs",
            "412 Precondition Failed",
            "PreconditionFailed",
            "x-goog-if-generation-match: 0",
            "x-goog-if-generation-match: 1",
            "x-goog-if-generation-match: 1732464000000000",
        ),
    ];
    for (vendor, taken, code, create, impossible, update) in table {
        let stale = refusal("412 Precondition Failed", "ConditionNotMet");
        let stored = answer("201 Created", TAGS, "");
        let answers = vec![
            stored.clone(),
            refusal(taken, code),
            stale.clone(),
            stored,
            stale,
            refusal(taken, code),
        ];
        let (ring, mut seen) = ring(vendor, answers).await;
        let Swap::Stored(version) = ring.compare_and_swap(None, b"1").await.expect("swaps") else {
            panic!("stored");
        };
        let second = ring.compare_and_swap(Some(&version), b"2").await.expect("swaps");
        assert_eq!(second, Swap::Stored(version.clone()), "{vendor}");
        assert_eq!(
            ring.compare_and_swap(Some(&version), b"3").await.expect("swaps"),
            Swap::Lost,
            "{vendor}"
        );
        assert_eq!(
            ring.compare_and_swap(None, b"4").await.expect("swaps"),
            Swap::Lost,
            "{vendor}"
        );
        for condition in [create, create, impossible, update, update, create] {
            assert_eq!(
                seen.recv().await.expect("a request"),
                format!("put {condition}"),
                "{vendor}"
            );
        }
    }
}

#[tokio::test]
async fn each_vendors_refusals_are_understood() {
    use ErrorKind::{NotFound, PermissionDenied, Throttled, Unauthenticated, Unavailable};
    for (vendor, status, code, kind) in [
        ("s3", "403 Forbidden", "AccessDenied", PermissionDenied),
        ("s3", "403 Forbidden", "InvalidAccessKeyId", Unauthenticated),
        ("s3", "400 Bad Request", "ExpiredToken", Unauthenticated),
        ("s3", "404 Not Found", "NoSuchBucket", NotFound),
        ("s3", "503 Slow Down", "SlowDown", Throttled),
        ("s3", "500 Internal Server Error", "InternalError", Unavailable),
        (
            "az",
            "403 Forbidden",
            "AuthorizationPermissionMismatch",
            PermissionDenied,
        ),
        ("az", "403 Forbidden", "AuthenticationFailed", Unauthenticated),
        ("az", "404 Not Found", "ContainerNotFound", NotFound),
        ("az", "503 Server Busy", "ServerBusy", Throttled),
        ("gs", "403 Forbidden", "AccessDenied", PermissionDenied),
        ("gs", "401 Unauthorized", "AuthenticationRequired", Unauthenticated),
        ("gs", "404 Not Found", "NoSuchBucket", NotFound),
        ("gs", "429 Too Many Requests", "SlowDown", Throttled),
    ] {
        let (ring, mut seen) = ring(vendor, vec![refusal(status, code); 2]).await;
        let version = Version::new("etag \"0x8D\"\nversion 1732464000000000");
        for error in [
            ring.load().await.expect_err(code),
            ring.compare_and_swap(Some(&version), b"1").await.expect_err(code),
        ] {
            assert_eq!(error.kind, kind, "{vendor} {status} {code}: {}", text(&error));
            let says = format!("the store answered {} {code} (says the vendor)", &status[..3]);
            assert!(text(&error).contains(&says), "{}", text(&error));
            assert!(
                !text(&error).contains("127.0.0.1"),
                "no URL of the client: {}",
                text(&error)
            );
        }
        assert_eq!(seen.recv().await.as_deref(), Some("get"));
        assert!(seen.recv().await.is_some_and(|request| request.starts_with("put")));
        assert!(seen.try_recv().is_err(), "{vendor} {code}: one request for one call");
    }
}

#[tokio::test]
async fn a_missing_object_is_an_empty_place_and_a_conflict_a_lost_race() {
    for vendor in ["s3", "az", "gs"] {
        let code = if vendor == "az" { "BlobNotFound" } else { "NoSuchKey" };
        let (ring, _seen) = ring(vendor, vec![refusal("404 Not Found", code)]).await;
        assert_eq!(ring.load().await.expect("loads"), None, "{vendor}");
    }
    let conflict = refusal("409 Conflict", "ConditionalRequestConflict");
    let (ring, _seen) = ring("s3", vec![conflict.clone(), conflict]).await;
    assert_eq!(ring.compare_and_swap(None, b"1").await.expect("swaps"), Swap::Lost);
    let version = Version::new("etag \"0x8D\"");
    assert_eq!(
        ring.compare_and_swap(Some(&version), b"1").await.expect("swaps"),
        Swap::Lost
    );
}

/// For a bucket in another region, S3 sends a redirect without an address, or a body which says
/// that the signature is wrong.
#[tokio::test]
async fn a_bucket_in_another_region_is_an_error_that_names_the_region() {
    let redirect = answer("301 Moved Permanently", "x-amz-bucket-region: eu-west-1\r\n", "");
    let body = "<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region 'eu-central-1' is wrong</Message>\
                <Region>eu-west-1</Region></Error>";
    for refused in [redirect, answer("400 Bad Request", "", body)] {
        let (ring, _seen) = ring("s3", vec![refused; 2]).await;
        for error in [
            ring.load().await.expect_err("elsewhere"),
            ring.compare_and_swap(None, b"1").await.expect_err("elsewhere"),
        ] {
            assert_eq!(error.kind, ErrorKind::InvalidConfig, "{}", text(&error));
            assert!(text(&error).contains("set AWS_REGION=eu-west-1"), "{}", text(&error));
        }
    }
    // A value that is not a region is not repeated.
    let strange = answer("301 Moved Permanently", "x-amz-bucket-region: a b\r\n", "");
    let (ring, _seen) = ring("s3", vec![strange]).await;
    let error = ring.load().await.expect_err("elsewhere");
    assert!(!text(&error).contains("a b"), "{}", text(&error));
}

#[tokio::test]
async fn a_missing_bucket_that_nobody_names_is_no_proof_of_anything() {
    for vendor in ["s3", "az", "gs"] {
        let bare = answer("404 Not Found", "", "Not Found");
        let (ring, mut seen) = ring(vendor, vec![bare; 4]).await;
        // Perhaps only the object is missing, so the ring reads as empty. But nothing can be written.
        assert_eq!(ring.load().await.expect("reads as empty"), None, "{vendor}");
        let version = Version::new("etag \"0x8D\"\nversion 1732464000000000");
        for error in [
            ring.compare_and_swap(None, b"1").await.expect_err("no bucket"),
            ring.compare_and_swap(Some(&version), b"1")
                .await
                .expect_err("no bucket"),
        ] {
            assert_eq!(error.kind, ErrorKind::NotFound, "{vendor}: {}", text(&error));
            assert!(
                text(&error).contains("probably the bucket or container"),
                "{}",
                text(&error)
            );
        }
        for request in ["get", "put", "put"] {
            assert!(
                seen.recv().await.is_some_and(|seen| seen.starts_with(request)),
                "{vendor}"
            );
        }
    }
}

#[tokio::test]
async fn an_answer_without_an_entity_tag_and_a_server_that_is_not_there_are_errors() {
    for vendor in ["s3", "az", "gs"] {
        let bare = answer("200 OK", "Last-Modified: Tue, 24 Nov 2026 16:00:00 GMT\r\n", "x");
        let stored = answer("201 Created", "", "");
        let (ring, _seen) = ring(vendor, vec![bare, stored]).await;
        for error in [
            ring.load().await.expect_err("no tag"),
            ring.compare_and_swap(None, b"1").await.expect_err("no tag"),
        ] {
            assert_eq!(error.kind, ErrorKind::BadAnswer, "{vendor}: {}", text(&error));
        }
        let error = ring.load().await.expect_err("nobody listens");
        assert_eq!(error.kind, ErrorKind::Unavailable, "{vendor}");
        assert!(text(&error).contains("refused"), "{}", text(&error));
        assert!(
            text(&error).contains("Check that this machine can reach the store"),
            "{}",
            text(&error)
        );
    }
}
