//! A switch from `local` to Vault to AWS KMS by the runbook of docs/operations.md, while tokens
//! are used. None is refused.

use std::time::Duration;

use crate::harness::time::instant;
use crate::harness::{Home, Sidecar, Spec, say};
use crate::servers::{Aws, Openbao, Place};
use crate::traffic::Traffic;
use crate::verifier::{Keep, Verifier};

/// Compressed durations, except S, because the clouds report times in whole seconds.
const POLICY: &[(&str, &str)] = &[
    ("SIGNET_ROTATION_PERIOD", "1h"),
    ("SIGNET_PUBLISH_LEAD", "5s"),
    ("SIGNET_REFRESH_INTERVAL", "300ms"),
    ("SIGNET_JWKS_MAX_AGE", "1s"),
    ("SIGNET_VERIFIER_CACHE", "1s"),
    ("SIGNET_CLOCK_SKEW", "1s"),
    ("SIGNET_TOKEN_TTL", "1s"),
    ("SIGNET_TOKEN_MAX_TTL", "2s"),
];
const LIMIT: Duration = Duration::from_secs(60);

/// Two replicas, each with its place.
struct Fleet {
    specs: [Spec; 2],
    running: Vec<Sidecar>,
    verifiers: Vec<Verifier>,
    alive: Vec<crate::harness::Signed>,
    signers: Vec<crate::traffic::Signer>,
    tokens: usize,
    checks: usize,
}

impl Fleet {
    fn start(home: &Home, at: &Place) -> Self {
        let specs = [(); 2].map(|()| Spec::new(home).set_all(POLICY));
        let running: Vec<Sidecar> = specs.iter().map(|spec| at.configure(spec, None).start()).collect();
        let verifiers = (0..4_u32).map(|n| {
            let keep = match n % 2 {
                0 => Keep::AsTold,
                _ => Keep::For(Duration::from_secs(1)),
            };
            let address = specs[n as usize / 2].listen();
            Verifier::new(address, keep, Duration::from_millis(170) * n)
        });
        Self {
            verifiers: verifiers.collect(),
            specs,
            running,
            alive: Vec::new(),
            signers: Vec::new(),
            tokens: 0,
            checks: 0,
        }
    }

    /// Lets tokens be used for this time, and until the condition holds.
    fn run(&mut self, span: Duration, mut done: impl FnMut(&Traffic<'_>) -> bool) {
        let sidecars: Vec<&Sidecar> = self.running.iter().collect();
        let (verifiers, alive) = (std::mem::take(&mut self.verifiers), std::mem::take(&mut self.alive));
        let mut traffic = Traffic::resumed(&sidecars, verifiers, alive, std::mem::take(&mut self.signers));
        let start = instant();
        traffic.run_until(LIMIT + span, |traffic| start.elapsed() >= span && done(traffic));
        self.tokens += traffic.tokens;
        self.checks += traffic.checks;
        (self.alive, self.verifiers, self.signers) = traffic.into_parts();
    }

    /// Rolls out a configuration, one replica after the other, while tokens are used.
    fn roll_out(&mut self, at: &Place, also: Option<&Place>) {
        for index in 0..self.specs.len() {
            let spec = at.configure(&self.specs[index], also);
            let gone = self.running.remove(index);
            gone.stop();
            self.running.insert(index, spec.start());
            self.run(Duration::from_millis(700), |_| true);
        }
    }

    /// Performs a switch, with the waiting times of `signet schedule --live`.
    fn switch(&mut self, from: &Place, to: &Place) {
        let spec = to.configure(&self.specs[0], None);
        let made = spec.run(&["keys", "rotate", "--reason", "a switch"]);
        assert_eq!(made.code, 0, "{}", made.stderr);
        assert_eq!(to.configure(&self.specs[0], None).run(&["check"]).code, 0);

        self.roll_out(from, Some(to));
        let told = from
            .configure(&self.specs[0], Some(to))
            .run(&["schedule", "--live", "--json"]);
        assert_eq!(told.code, 0, "{}", told.stderr);
        let step = told.json()["switches"][0].clone();
        assert_eq!(step["has_keys"], true, "{step}");
        let span = |name: &str| Duration::from_millis(step[name].as_u64().expect("a span"));
        self.run(span("publish_for_ms"), |_| true);

        let before = self.signers.len();
        self.roll_out(to, Some(from));
        self.run(span("keep_for_ms"), |traffic| traffic.signers.len() > before);

        let former = self.signers[before - 1].kid.clone();
        assert!(
            !self
                .alive
                .iter()
                .any(|signed| signed.kid == former && signed.is_alive())
        );
        self.roll_out(to, None);
        self.run(Duration::from_secs(1), |_| true);
        assert!(
            !self.running[0].jwks_kids().contains(&former),
            "the former ring is gone from the JWKS"
        );
    }
}

#[test]
fn from_local_to_vault_to_aws_kms_no_token_is_refused() {
    let (bao, aws) = (Openbao::start(), Aws::start());
    let home = Home::new();
    let places = [Place::local(), bao.remote("switch"), aws.remote("switch")];
    let mut fleet = Fleet::start(&home, &places[0]);
    fleet.run(Duration::from_secs(1), |_| true);
    for step in places.windows(2) {
        fleet.switch(&step[0], &step[1]);
    }
    assert_eq!(fleet.signers.len(), 3, "one key of each ring has signed");
    say(format!(
        "local, vault, aws-kms: {} tokens checked {} times by {} verifiers and 2 sidecars through 2 switches in 6 rollouts, none refused",
        fleet.tokens,
        fleet.checks,
        fleet.verifiers.len(),
    ));
}
