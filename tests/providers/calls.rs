//! The number of calls that a replica makes, counted by the servers: idle, during a rotation, and for remote
//! signatures. `docs/providers/README.md` has the figures of this test and what they mean for a fleet.

use serde_json::json;

use crate::harness::time::wait_for;
use crate::harness::{AUDIENCE, Home, PATIENCE, Sidecar, Spec, say};
use crate::servers::{Aws, Azure, Counted, Gcp, Openbao};

const REFRESHES: u64 = 10;
const SIGNATURES: u64 = 100;
/// R of the default policy is 1 min, and a replica reads up to a tenth earlier.
const REFRESHES_AN_HOUR: f64 = 60.0 / 0.95;

/// How often this sidecar has read its ring.
fn refreshes(sidecar: &Sidecar) -> u64 {
    metric(sidecar, "signet_provider_calls_total", "operation=\"list\"")
}

fn metric(sidecar: &Sidecar, name: &str, label: &str) -> u64 {
    let text = sidecar.admin().get("/metrics").expect("an answer").text();
    let lines = text
        .lines()
        .filter(|line| line.starts_with(name) && line.contains(label));
    let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.fold(0, |sum, value| sum + value as u64)
}

/// The calls for one refresh, one rotation and one signature.
fn count(cloud: &dyn Counted) -> [f64; 3] {
    let home = Home::new();
    let spec = cloud.place("calls").configure(&Spec::new(&home), None);
    // One replica, because the quota does not allow this pace for more.
    let spec = spec.set("SIGNET_REFRESH_INTERVAL", "1s").set("SIGNET_REPLICAS", 1);
    // Four keys: the first, and those on request. A pending key is revoked, because otherwise no other can be created.
    for _ in 0..4 {
        let made = spec.run(&["keys", "rotate", "--json"]);
        if made.code != 0 {
            break;
        }
    }
    let sidecar = spec.start();
    let start = refreshes(&sidecar);
    wait_for("a refresh", PATIENCE, || (refreshes(&sidecar) > start).then_some(()));
    let (before, calls_before) = (refreshes(&sidecar), cloud.calls());
    wait_for("ten refreshes", PATIENCE, || {
        (refreshes(&sidecar) >= before + REFRESHES).then_some(())
    });
    let (after, calls_after) = (refreshes(&sidecar), cloud.calls());
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let per = |calls: u64, times: u64| calls as f64 / times as f64;
    let refresh = per(calls_after - calls_before, after - before);

    let (lists, calls) = (refreshes(&sidecar), cloud.calls());
    let mut socket = sidecar.socket();
    for number in 0..SIGNATURES {
        let claims = json!({ "sub": format!("client {number}"), "aud": AUDIENCE });
        sidecar.sign_over(&mut socket, &json!({ "claims": claims }));
    }
    let (lists, calls) = (refreshes(&sidecar) - lists, cloud.calls() - calls);
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let signature = (calls as f64 - lists as f64 * refresh) / SIGNATURES as f64;
    sidecar.stop();

    // A rotation by the command line: read, create, read.
    let calls = cloud.calls();
    let fresh = cloud.place("rotation").configure(&Spec::new(&home), None);
    assert_eq!(fresh.run(&["keys", "rotate"]).code, 0);
    [refresh, per(cloud.calls() - calls, 1), signature]
}

#[test]
fn calls_of_a_replica_are_few_and_as_the_documentation_says() {
    let clouds: [Box<dyn Counted>; 4] = [
        Box::new(Openbao::start()),
        Box::new(Aws::start()),
        Box::new(Azure::start()),
        Box::new(Gcp::start()),
    ];
    let page = include_str!("../../docs/providers/README.md");
    let mut missing = Vec::new();
    for cloud in clouds {
        let [refresh, rotation, signature] = count(&*cloud);
        let idle = refresh * REFRESHES_AN_HOUR;
        let row = format!(
            "| `{}` | {refresh:.1} | {rotation:.0} | {signature:.2} | {idle:.0} | {:.0} | {:.0} |",
            cloud.provider(),
            idle * 100.0,
            idle * 10_000.0,
        );
        say(&row);
        assert!(
            signature <= 1.01,
            "{}: {signature} calls for a signature",
            cloud.provider()
        );
        if !page.contains(&row) {
            missing.push(row);
        }
    }
    assert!(
        missing.is_empty(),
        "docs/providers/README.md lacks:\n{}",
        missing.join("\n")
    );
}
