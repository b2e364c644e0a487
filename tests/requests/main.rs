//! Requests to the real sockets, most of them wrong. Each gets its status, problem and error code, and
//! the next good request works.

mod authorize;
mod batch;
mod claim_headers;
mod events;
mod grpc;
mod head;
mod http2;
mod introspect;
mod keys_events;
mod log;
mod public;
mod remembered;
mod requirements;
mod sign;
mod tokens;
mod transport;
mod unknown_keys;
mod verify;

use signet_harness as harness;

use harness::http::{Answer, Connection};
use harness::{AUDIENCE, Home, Sidecar, Signed, Spec};
use serde_json::json;

/// A sidecar with the default durations, so nothing rotates while these tests run.
fn sidecar() -> Sidecar {
    Spec::new(&Home::new()).start()
}

/// A good request, and its token.
fn works(sidecar: &Sidecar, connection: &mut Connection) -> Signed {
    let claims = json!({ "sub": "client", "aud": AUDIENCE, "scope": "read write" });
    sidecar.sign_over(connection, &json!({ "claims": claims }))
}

/// Compares an answer with the expected one, on one readable line.
fn expect(name: &str, answer: &Answer, status: u16, problem: &str) {
    let given = (answer.status, answer.problem());
    assert_eq!(given, (status, problem.to_owned()), "{name}: {}", answer.text());
}
