//! Tests for the provider contract.
//!
//! [`conformance!`] makes one test for each clause of [`KeyProvider`](signet_api::KeyProvider), named by the clause's
//! number. All providers run it for each custody that they support, so the sidecar can replace any of them by another.
//!
//! ```text
//! async fn fresh() -> Subject {
//!     let directory = tempfile::tempdir().expect("a directory");
//!     …
//!     Subject::new(provider, move || { … }, directory)
//! }
//! signet_testkit::conformance!(over_a_file, fresh);
//! ```

pub mod clauses;
pub mod process;

mod faulty_provider;
mod ring;
mod subject;

pub use faulty_provider::{Fault, FaultyProvider};
pub use ring::{new_key, terms};
pub use subject::{Subject, run};

/// Makes a module with one test for each clause of the contract. The factory is an `async fn() -> Subject`; each call
/// must return a provider with an empty ring of its own.
#[macro_export]
macro_rules! conformance {
    ($name:ident, $factory:expr) => {
        $crate::conformance!(@ $name, $factory,
            clause_01_a_created_key_is_listed,
            clause_02_a_key_never_changes,
            clause_03_successors_are_of_a_named_key,
            clause_03_a_race_for_one_successor_makes_one_key,
            clause_04_a_signature_is_by_the_key_that_was_asked_for,
            clause_05_custody_is_as_declared,
            clause_06_a_retired_key_cannot_sign,
            clause_06_a_destroyed_key_is_not_listed,
            clause_06_the_newest_key_that_can_sign_is_not_retired,
            clause_07_a_revoked_key_never_signs_again,
            clause_08_unknown_keys_are_not_found,
            clause_09_an_algorithm_that_is_not_declared_is_refused,
            clause_10_a_cancelled_create_leaves_at_most_the_successor,
            clause_10_a_cancelled_retire_or_revoke_leaves_a_ring_that_lists,
            clause_11_errors_say_who_must_act_and_hold_no_key,
            clause_12_a_new_process_reads_the_ring_in_every_state,
            another_handle_sees_the_same_ring,
            changes_at_once_through_two_handles_all_come_true,
            checks_pass_and_leave_nothing_behind,
            every_algorithm_signs_or_is_refused,
        );
    };
    (@ $name:ident, $factory:expr, $($clause:ident),+ $(,)?) => {
        mod $name {
            #[allow(unused_imports, reason = "the factory may be in any module")]
            use super::*;
            $(
                #[test]
                fn $clause() {
                    $crate::run($crate::clauses::$clause(|| async { $factory().await }));
                }
            )+
        }
    };
}
