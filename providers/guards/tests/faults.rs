//! Each fault of a provider, how the guards handle it, and the text for the operator.

mod common;

use common::{Scene, ed25519, mark, scene, seconds};
use signet_api::{ErrorKind, ExpiredKeys, Operation, ProviderError, SETTLING};
use signet_base::chain;
use signet_core::KeyRecord;
use signet_testkit::Fault;
use std::time::Duration;
use tokio::time::Instant;

const DOWN: Fault = Fault::Fails(ErrorKind::Unavailable);
const EXPIRED: Fault = Fault::Fails(ErrorKind::Unauthenticated);
const NOT_YET: Fault = Fault::Fails(ErrorKind::NotFound);

/// A fault, the call that meets it, how often it occurs, and the expected result.
struct Row {
    fault: Fault,
    operation: Operation,
    times: usize,
    /// The number of calls that reach the provider.
    calls: usize,
    /// The text for the operator, with OLD for the revoked key and NEW for the newest. `None`
    /// means that the call succeeds.
    text: Option<&'static str>,
}

const fn row(fault: Fault, operation: Operation, times: usize, calls: usize, text: Option<&'static str>) -> Row {
    Row {
        fault,
        operation,
        times,
        calls,
        text,
    }
}

/// The end of each text for a refused answer.
const REFUSED: &str = "The ring stays as it was. Somebody changed the key or its record, or intercepts the connection to the provider: \
     tell the security engineer, and check the provider's audit log";

async fn carry_out(scene: &Scene, operation: Operation, old: &KeyRecord, new: &KeyRecord) -> Result<(), ProviderError> {
    let provider = &scene.provider;
    match operation {
        Operation::List => provider.list().await.map(|_| ()),
        Operation::Create => provider.create(&ed25519(Some(new.kid()))).await.map(|_| ()),
        Operation::Sign => provider.sign(new.kid(), b"message").await.map(|signature| {
            assert!(new.public.verifies(b"message", signature.as_ref()));
        }),
        Operation::Unseal => provider.unseal(new.kid()).await.map(|_| ()),
        Operation::Retire => provider.retire(old.kid(), ExpiredKeys::Disable).await,
        _ => provider.revoke(new.kid(), &mark()).await,
    }
}

#[tokio::test(start_paused = true)]
async fn each_fault_is_borne_or_told() {
    use Operation::{Create, List, Retire, Revoke, Sign, Unseal};
    let after = |seconds| Fault::Throttled(Duration::from_secs(seconds));
    let table = [
        // Throttled: the guards wait as long as the provider says, and pass the error on if that is too long.
        row(after(3), List, 2, 3, None),
        row(
            after(3),
            Sign,
            1,
            1,
            Some("test: sign failed (throttled): the script asks for fewer calls"),
        ),
        row(
            after(300),
            List,
            1,
            1,
            Some("test: list failed (throttled): the script asks for fewer calls"),
        ),
        // Down.
        row(DOWN, List, 3, 4, None),
        row(DOWN, Create, 3, 4, None),
        row(DOWN, Unseal, 3, 4, None),
        row(DOWN, Retire, 3, 4, None),
        row(DOWN, Revoke, 3, 4, None),
        row(DOWN, Sign, 1, 2, None),
        row(
            DOWN,
            Sign,
            9,
            2,
            Some(
                "test: sign failed (unavailable): tried 2 times in 114 ms; the last attempt: the script says that \
                 this call fails",
            ),
        ),
        // Slow answers.
        row(Fault::Slow(seconds(9)), List, 1, 1, None),
        row(Fault::Slow(seconds(11)), List, 1, 2, None),
        row(
            Fault::Slow(seconds(3)),
            Sign,
            1,
            1,
            Some(
                "test: sign failed (timed_out): test did not answer sign within 2 s. The provider is overloaded, or \
                 the network drops packets. Check the provider's status page, then name resolution, \
                 network policies and the proxies of this machine",
            ),
        ),
        // Lost answers.
        row(Fault::AnswerLost, Create, 1, 2, None),
        row(Fault::AnswerLost, Retire, 1, 2, None),
        row(Fault::AnswerLost, Revoke, 1, 2, None),
        row(Fault::AnswerLost, Sign, 1, 2, None),
        // Expired credentials: only renewing them helps, and the provider's own client does that.
        row(
            EXPIRED,
            List,
            1,
            1,
            Some("test: list failed (unauthenticated): the script says that this call fails"),
        ),
        row(
            EXPIRED,
            Sign,
            1,
            1,
            Some("test: sign failed (unauthenticated): the script says that this call fails"),
        ),
        // Wrong answers.
        row(
            Fault::ForeignSignature,
            Sign,
            1,
            1,
            Some(
                "test: sign failed (bad_answer): the provider's answer is refused: the signature does not verify \
                 with the public key of key NEW. ",
            ),
        ),
        row(
            Fault::BrokenSignature,
            Sign,
            1,
            1,
            Some(
                "test: sign failed (bad_answer): the provider's answer is refused: the signature does not verify \
                 with the public key of key NEW. ",
            ),
        ),
        row(
            Fault::ForeignPrivateKey,
            Unseal,
            1,
            1,
            Some(
                "test: unseal failed (bad_answer): the provider's answer is refused: the private key does not belong \
                 to the public key of key NEW. ",
            ),
        ),
        row(
            Fault::KeyExchanged,
            List,
            1,
            1,
            Some(
                "test: list failed (bad_answer): the provider's answer is refused: key OLD was replaced by key \
                 OTHER, which has the same creation record: tokens of the old key would be refused, \
                 and tokens of a foreign key accepted. ",
            ),
        ),
        row(
            Fault::CreationMoved,
            List,
            1,
            1,
            Some(
                "test: list failed (bad_answer): the provider's answer is refused: the creation time of key OLD \
                 changed after this process last read it, but a key never changes. ",
            ),
        ),
        row(
            Fault::TermsChanged,
            List,
            1,
            1,
            Some(
                "test: list failed (bad_answer): the provider's answer is refused: the terms of key OLD changed \
                 after this process last read it, but a key never changes. ",
            ),
        ),
        row(
            Fault::MarksRemoved,
            List,
            1,
            1,
            Some(
                "test: list failed (bad_answer): the provider's answer is refused: key OLD was revoked, but its \
                 revocation mark is gone, so a stolen key would be accepted again. This process \
                 still refuses it; run `signet keys revoke OLD` again before other sidecars restart. \
                 ",
            ),
        ),
        row(
            Fault::ListedTwice,
            List,
            1,
            1,
            Some("test: list failed (bad_answer): the provider's answer is refused: key OLD is listed twice. "),
        ),
        row(
            Fault::PredecessorAgain,
            Create,
            1,
            1,
            Some(
                "test: create failed (bad_answer): the provider's answer is refused: the provider returned key NEW \
                 as its own successor. ",
            ),
        ),
        row(
            Fault::WrongAlgorithm,
            Create,
            1,
            1,
            Some(
                "test: create failed (bad_answer): the provider's answer is refused: a key for EdDSA was requested, \
                 but key OTHER is for RS256. Another replica with another SIGNET_ALGORITHM may have \
                 created it at the same moment. ",
            ),
        ),
    ];
    for row in table {
        let (scene, old, new) = scene().with_two_keys().await;
        let before = scene.calls(row.operation);
        scene.faulty.script(row.operation, vec![row.fault; row.times]);
        let outcome = carry_out(&scene, row.operation, &old, &new).await;
        let what = format!("{:?} x {} at {:?}", row.fault, row.times, row.operation);
        assert_eq!(scene.calls(row.operation) - before, row.calls, "{what}: {outcome:?}");
        match (outcome, row.text) {
            (Ok(()), None) => {}
            (Err(error), Some(text)) => {
                let shown = chain(&error)
                    .replace(old.kid().as_str(), "OLD")
                    .replace(new.kid().as_str(), "NEW");
                let shown = without_other_kids(&shown);
                let text = match error.kind {
                    ErrorKind::BadAnswer => format!("{text}{REFUSED}"),
                    _ => text.to_owned(),
                };
                assert_eq!(shown, text, "{what}");
            }
            (outcome, _) => panic!("{what}: {outcome:?}"),
        }
        // After the fault ends, everything works again.
        scene.faulty.heal();
        scene.clock.advance(SETTLING);
        tokio::time::advance(seconds(61)).await;
        scene.provider.list().await.expect("lists");
        carry_out(&scene, row.operation, &old, &new)
            .await
            .unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert!(scene.provider.list().await.expect("lists").len() >= 2, "{what}");
    }
}

/// Replaces thumbprints, which are 43 characters of base64url.
fn without_other_kids(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let kid = word.trim_end_matches([',', '.', ':']);
        let is_kid = kid.len() == 43 && kid.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        if is_kid {
            word.replace(kid, "OTHER")
        } else {
            word.to_owned()
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[tokio::test(start_paused = true)]
async fn a_lie_is_refused_each_time_and_the_ring_stays_as_it_was() {
    let (scene, old, new) = scene().with_two_keys().await;
    for fault in [
        Fault::KeyExchanged,
        Fault::CreationMoved,
        Fault::TermsChanged,
        Fault::MarksRemoved,
        Fault::ListedTwice,
    ] {
        scene.faulty.script(Operation::List, [fault, fault]);
        for time in ["first", "second"] {
            let error = scene.provider.list().await.expect_err("a lie");
            assert_eq!(error.kind, ErrorKind::BadAnswer, "{fault:?}, the {time} time");
        }
        let listed = scene.provider.list().await.expect("lists");
        let kids: Vec<_> = listed.iter().map(KeyRecord::kid).collect();
        assert_eq!(kids, [old.kid(), new.kid()], "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_not_found_right_after_its_creation_is_waited_for() {
    let scene = scene();
    scene.faulty.script(Operation::Unseal, [NOT_YET; 4]);
    scene.faulty.script(Operation::Sign, [NOT_YET; 4]);
    let key = scene.provider.create(&ed25519(None)).await.expect("a key");
    scene.provider.unseal(key.kid()).await.expect("found in the end");
    scene.provider.sign(key.kid(), b"m").await.expect("found in the end");
    assert_eq!((scene.calls(Operation::Unseal), scene.calls(Operation::Sign)), (5, 5));

    // A key that is never found is not retried for ever, and not long after its creation.
    let began = Instant::now();
    scene.faulty.script(Operation::Sign, [NOT_YET; 1000]);
    let error = scene.provider.sign(key.kid(), b"m").await.expect_err("never found");
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(began.elapsed() <= seconds(10), "{:?}", began.elapsed());
    tokio::time::advance(seconds(60)).await;
    let before = scene.calls(Operation::Sign);
    scene.provider.sign(key.kid(), b"m").await.expect_err("not found");
    assert_eq!(scene.calls(Operation::Sign), before + 1);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_stays_down_is_left_alone_and_recovers_by_itself() {
    let (scene, _, _) = scene().with_two_keys().await;
    let before = scene.calls(Operation::List);
    scene.faulty.script(Operation::List, [DOWN; 1000]);
    let error = scene.provider.list().await.expect_err("down");
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(chain(&error).contains(": tried "), "{}", chain(&error));
    let calls = scene.calls(Operation::List);
    assert!(calls - before <= 10, "five, and the probes of 20 s");
    let again = tokio::time::timeout(Duration::from_millis(1), scene.provider.list()).await;
    again.expect_err("it waits for the next probe");
    assert_eq!(scene.calls(Operation::List), calls, "and asks nobody");
    scene.faulty.heal();
    tokio::time::advance(seconds(30)).await;
    scene.provider.list().await.expect("it is back");
}
