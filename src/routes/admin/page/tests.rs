use signet_core::{Algorithm, Durations};

use super::*;
use crate::conditions::{CLOCK, ISSUERS, JWKS, RING, SIGNING, SOCKET};
use crate::ring_view::{AlsoView, RevokedView};

/// A reason for a revocation that attacks the page.
const HOSTILE: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>&amp;\u{202e}";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + seconds)
}

fn key(kid: &str, phase: Phase, signs_from: i64) -> KeyView {
    let is_over = matches!(phase, Phase::Retiring | Phase::Expired);
    KeyView {
        kid: kid.to_owned(),
        alg: "ES256",
        phase,
        created_at: rfc3339(at(signs_from - 3600)),
        activates_at: Some(rfc3339(at(signs_from))),
        superseded_at: is_over.then(|| rfc3339(at(-600))),
        expires_at: is_over.then(|| rfc3339(at(3000))),
        revoked: None,
    }
}

fn ring() -> RingView {
    let mut revoked = key("revoked-key", Phase::Revoked, -7200);
    revoked.revoked = Some(RevokedView {
        at: rfc3339(at(-60)),
        reason: HOSTILE.to_owned(),
    });
    let mut active = key("active-key", Phase::Active, -600);
    active.superseded_at = Some(rfc3339(at(1800)));
    active.expires_at = Some(rfc3339(at(5580)));
    RingView {
        issuer: format!("https://issuer.test/{HOSTILE}"),
        origin: Some("vault remote signet".to_owned()),
        algorithm: "ES256",
        keys: vec![
            revoked,
            key("retiring-key", Phase::Retiring, -80_000),
            active,
            key("pending-key", Phase::Pending, 1800),
        ],
        also: vec![AlsoView {
            provider: "local",
            keys: vec![key("another-ring", Phase::Active, -900)],
        }],
        next_change_at: None,
    }
}

fn condition(name: &'static str, ok: bool) -> Condition {
    let lost = match name {
        RING => State::RingTooOld,
        SIGNING => State::SigningWithoutKey,
        JWKS => State::JwksEmpty,
        _ => State::SocketGone,
    };
    Condition {
        name,
        ok,
        state: if ok { State::Good } else { lost },
        since: at(-242),
        failing_since: None,
        detail: format!("the detail of {name}"),
    }
}

fn report(bad: &[&str]) -> Report {
    Report {
        ready: bad.is_empty(),
        since: at(-242),
        conditions: [RING, SIGNING, JWKS, SOCKET]
            .map(|name| condition(name, !bad.contains(&name)))
            .into(),
    }
}

fn page(ring: &RingView, report: &Report) -> String {
    let policy = Policy::new(Durations::default(), Algorithm::ES256).expect("safe");
    let page = Page {
        provider: "vault",
        ring,
        report,
        policy: &policy,
        now: at(0),
    };
    page.to_html()
}

#[test]
fn a_hostile_reason_is_text_and_nothing_runs() {
    let mut report = report(&[SIGNING]);
    report.conditions[1].detail = HOSTILE.to_owned();
    let html = page(&ring(), &report);
    let escaped = "&quot;&#39;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&lt;img src=x onerror=alert(2)&gt;&amp;amp;";
    assert_eq!(html.matches(escaped).count(), 3, "reason, issuer and detail: {html}");
    assert!(html.contains("<bdi>&quot;"), "{html}");
    for evil in ["<script", "<img", "javascript:", "@import", "url("] {
        assert!(!html.contains(evil), "{evil} in {html}");
    }
    // There is no event handler and no source, and all links stay on this listener.
    for tag in html
        .split('<')
        .skip(1)
        .map(|rest| rest.split('>').next().unwrap_or_default())
    {
        assert!(!tag.contains(" on") && !tag.contains("src="), "<{tag}>");
        if let Some(link) = tag.split("href='").nth(1) {
            assert!(["readyz'", "metrics'"].contains(&link), "<{tag}>");
        }
    }
}

#[test]
fn every_phase_is_in_the_picture_and_in_the_table_beside_it() {
    let html = page(&ring(), &report(&[]));
    let (picture, table) = html.split_once("<table>").expect("a table");
    for phase in ["pending", "active", "retiring", "revoked"] {
        assert!(
            picture.contains(&format!("<div class='row {phase}'>")),
            "{phase}: {picture}"
        );
        assert!(
            table.contains(&format!("<tr class={phase}><td>{phase}</td>")),
            "{phase}: {table}"
        );
    }
    for phase in ["pending", "active", "retiring"] {
        assert!(
            picture.contains(&format!("class='stretch {phase}'")),
            "{phase}: {picture}"
        );
    }
    assert!(picture.contains("<div class='row planned'>"), "what comes: {picture}");
    assert!(picture.contains("role=img aria-label='Timeline"), "{picture}");
    assert!(
        picture.contains("Next: <b>in 30m, pending- signs, active-k retires</b>"),
        "{picture}"
    );
    assert!(
        table.contains("Also published and accepted: the keys of local"),
        "{table}"
    );
    assert!(
        table.contains("<small>in 30m</small>") && table.contains("<small>10m ago</small>"),
        "{table}"
    );
}

#[test]
fn a_good_page_says_so_first_and_nothing_of_what_to_do() {
    let html = page(&ring(), &report(&[]));
    assert!(html.contains("<title>✔ ready - Signet</title>"), "{html}");
    assert!(
        html.contains("<header class='banner good'><h1>✔ Ready <small>for 4m 2s</small></h1>"),
        "{html}"
    );
    assert!(html.contains("Key <code>active-k</code> signs"), "{html}");
    assert!(!html.contains("What to do"), "{html}");
    assert_eq!(html.matches("<li class=good>").count(), 4);
}

#[test]
fn a_red_page_says_what_is_lost_since_when_what_still_works_and_what_to_do() {
    let html = page(&ring(), &report(&[SIGNING]));
    for text in [
        "<title>✖ NOT READY - Signet</title>",
        "<h1>✖ NOT READY <small>for 4m 2s</small></h1>",
        "<b>No key can sign</b>, since 2027-01-15T07:55:58Z. Still good: ring, jwks, socket.",
        "<strong>✖ signing: lost</strong><span>since 2027-01-15T07:55:58Z (4m 2s)</span>",
        "<h2>What to do about signing: No key can sign</h2>",
        "<dt>Why</dt><dd>the detail of signing</dd>",
        "Validation of this issuer&#39;s tokens, validation of trusted issuers&#39; tokens, the JWKS and new connections",
        "docs/operations.md, section “SigningUnavailable”",
    ] {
        assert!(html.contains(text), "no {text:?} in {html}");
    }
    assert_eq!(html.matches("<section class='todo").count(), 1);
}

#[test]
fn a_page_of_a_start_says_so_and_nothing_of_keys_that_nobody_has_read() {
    let nothing = RingView {
        keys: Vec::new(),
        also: Vec::new(),
        ..ring()
    };
    let html = page(&nothing, &Report::starting("vault", at(-7)));
    for text in [
        "<title>✖ NOT READY - Signet</title>",
        "<h1>✖ NOT READY <small>for 7s</small></h1>",
        "<b>The sidecar is starting</b>, since 2027-01-15T07:59:53Z. Nothing else is known yet.",
        "<dt>Why</dt><dd>the ring of vault is being read for the first time",
        "section “NotStarted”",
    ] {
        assert!(html.contains(text), "no {text:?} in {html}");
    }
    assert!(!html.contains("next key") && !html.contains("<table>"), "{html}");
}

#[test]
fn what_is_lost_is_told_before_what_merely_fails() {
    let mut report = report(&[SOCKET]);
    report.conditions[0].failing_since = Some(at(-30));
    report.conditions[0].state = State::RingUnread;
    let html = page(&ring(), &report);
    let place = |text| html.find(text).expect(text);
    assert!(place("What to do about socket") < place("What to do about ring"));
    report.ready = true;
    report.conditions[3].ok = true;
    report.conditions[3].state = State::Good;
    let html = page(&ring(), &report);
    assert!(html.contains("banner warn"), "{html}");
    assert!(
        html.contains("<b>The provider cannot be read</b>, since 2027-01-15T07:59:30Z. Requests may fail because of it, here or elsewhere"),
        "{html}"
    );
    assert!(
        html.contains("<li class=warn><strong>! ring: warning</strong>"),
        "{html}"
    );
}

#[test]
fn the_banner_tells_how_long_the_failure_lasts_and_not_how_long_this_replica_is_ready() {
    let mut report = report(&[]);
    report.since = at(-12 * 60);
    report.conditions[0].failing_since = Some(at(-60));
    report.conditions[0].state = State::RingWorkUndone;
    let html = page(&ring(), &report);
    assert!(
        html.contains("<header class='banner warn'><h1>! Ready, with a warning <small>for 1m</small></h1>"),
        "{html}"
    );
}

#[test]
fn what_fails_on_every_replica_is_red_though_this_one_stays_ready() {
    for (index, name, state) in [
        (1, SIGNING, State::ProviderDoesNotSign),
        (0, ISSUERS, State::IssuerNeverRead),
        (0, ISSUERS, State::IssuerTooOld),
    ] {
        let mut report = report(&[]);
        report.conditions[index].name = name;
        report.conditions[index].failing_since = Some(at(-60));
        report.conditions[index].state = state;
        let html = page(&ring(), &report);
        for text in [
            "<title>✖ ready, but requests fail - Signet</title>".to_owned(),
            "<header class='banner bad'><h1>✖ Ready, but requests fail <small>for 1m</small></h1>".to_owned(),
            format!("<strong>✖ {name}: lost</strong><span>since 2027-01-15T07:59:00Z (1m)</span>"),
        ] {
            assert!(html.contains(&text), "no {text:?} in {html}");
        }
        assert!(
            !html.contains("No request fails") && !html.contains("No condition"),
            "{html}"
        );
    }
}

/// This process cannot see the state of other replicas.
#[test]
fn a_page_does_not_say_of_other_replicas_what_nobody_has_seen() {
    let mut report = report(&[]);
    report.conditions[1].failing_since = Some(at(-60));
    report.conditions[1].state = State::ProviderDoesNotSign;
    let html = page(&ring(), &report);
    assert!(
        html.contains("because other replicas most likely have the same problem"),
        "{html}"
    );
    assert!(html.contains("compare their /readyz"), "{html}");
    assert!(!html.contains("very replica"), "{html}");
}

/// Our tokens may be refused elsewhere, or those of others here.
#[test]
fn a_clock_in_doubt_is_amber_and_says_that_requests_may_fail() {
    for state in [State::ClockInDoubt, State::KeyFromTheFuture] {
        let mut report = report(&[]);
        report.conditions[3].name = CLOCK;
        report.conditions[3].failing_since = Some(at(-60));
        report.conditions[3].state = state;
        let html = page(&ring(), &report);
        for text in [
            "<title>! ready, but requests may fail - Signet</title>",
            "<header class='banner warn'><h1>! Ready, but requests may fail <small>for 1m</small></h1>",
            "Requests may fail because of it, here or elsewhere",
            "<strong>! clock: warning</strong>",
        ] {
            assert!(html.contains(text), "no {text:?} in {html}");
        }
        for wrong in ["No request fails", "Everything", "goes on"] {
            assert!(!html.contains(wrong), "{wrong}: {html}");
        }
    }
}

/// Vault's token has expired, and no key is in memory.
#[test]
fn a_page_does_not_contradict_itself_when_two_conditions_fail() {
    let mut report = report(&[SIGNING]);
    report.conditions[0].failing_since = Some(at(-30));
    report.conditions[0].state = State::RingUnread;
    report.conditions[0].detail = "VAULT_TOKEN has died: set a new one and restart Signet".to_owned();
    let html = page(&ring(), &report);
    for wrong in ["not restart", "Everything", "goes on signing", "by itself"] {
        assert!(!html.contains(wrong), "{wrong}: {html}");
    }
    assert!(html.contains("run signet check with the new environment"), "{html}");
    assert!(
        html.contains("<dt>Still works</dt><dd>Validation of this issuer"),
        "{html}"
    );
}

#[test]
fn a_ring_of_many_years_keeps_the_page_short() {
    let mut ring = ring();
    for number in 0..500 {
        ring.keys
            .insert(0, key(&format!("expired-{number}"), Phase::Expired, -900_000));
    }
    let html = page(&ring, &report(&[]));
    assert_eq!(html.matches("<tr class=expired>").count(), 3);
    assert!(html.contains("497 expired keys before these are left out"), "{html}");
    assert!(html.len() < 32 * 1024, "{}", html.len());
}
