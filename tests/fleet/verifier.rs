//! The verifiers: Python processes with PyJWT. All they know of Signet is the addresses of the replicas.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{AUDIENCE, ISSUER, say};
use crate::seats::Seats;

/// The Python in `SIGNET_TEST_PYJWT`. `None` if it is not set, which is reported; in CI, `tests/run.sh` fails then.
#[expect(clippy::disallowed_methods, reason = "where a test finds its verifiers")]
pub(crate) fn python() -> Option<String> {
    let python = std::env::var("SIGNET_TEST_PYJWT").ok();
    if python.is_none() {
        say(
            "LEFT OUT: a fleet before verifiers that are not ours; set SIGNET_TEST_PYJWT to the python of a virtual \
             environment with tests/interop/requirements.txt",
        );
    }
    python
}

/// A verifier's process. Dropping it kills it.
pub(crate) struct Verifier {
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    pub(crate) fetches: u64,
}

impl Verifier {
    pub(crate) fn start(python: &str, seats: &Seats, keeps: Duration, seed: u64) -> Self {
        let replicas: Vec<Value> = seats
            .iter()
            .map(|seat| {
                json!({
                    "jwks": format!("http://{}/.well-known/jwks.json", seat.spec.listen()),
                    "ready": format!("http://{}/readyz", seat.spec.admin_listen()),
                })
            })
            .collect();
        let configuration = json!({
            "issuer": ISSUER, "audience": AUDIENCE, "algorithm": "ES256", "lifespan": keeps.as_secs_f64(), "seed": seed,
            "replicas": replicas,
        });
        let mut process = Command::new(python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fleet/verifier.py"))
            .arg(configuration.to_string())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("SIGNET_TEST_PYJWT names a python");
        Self {
            requests: process.stdin.take().expect("piped"),
            answers: BufReader::new(process.stdout.take().expect("piped")),
            process,
            fetches: 0,
        }
    }

    /// Checks a token, and says why it is refused.
    pub(crate) fn verify(&mut self, token: &str) -> Result<(), String> {
        let mut line = String::new();
        writeln!(self.requests, "{token}").expect("the verifier runs; its own words are above");
        self.answers.read_line(&mut line).expect("UTF-8");
        let answer: Value = serde_json::from_str(&line).expect("the verifier answers; its own words are above");
        self.fetches = answer["fetches"].as_u64().expect("a count");
        let why = || format!("{}, in a JWKS of {} s ago", answer["why"], answer["age"]);
        match answer["good"].as_bool() {
            Some(true) => Ok(()),
            Some(false) => Err(why()),
            None => panic!("promise 5 is broken: {}", why()),
        }
    }
}

impl Drop for Verifier {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
