//! The figures of the simulation.

use signet_api::{Claim, Operation};

use crate::fleet::Outcome;
use crate::sky::DAY;

#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) created: u64,
    pub(crate) twins: u64,
    pub(crate) most_twins: u64,
    pub(crate) signers: u64,
    pub(crate) revoked: u64,
    pub(crate) most_published: u64,
    pub(crate) minted: u64,
    pub(crate) checked: u64,
    pub(crate) with_signature: u64,
    pub(crate) of_revoked: u64,
    pub(crate) unanswered: u64,
    pub(crate) fetches: u64,
    pub(crate) lists: u64,
    pub(crate) creates: u64,
    pub(crate) unseals: u64,
    pub(crate) signs: u64,
    pub(crate) changes: u64,
}

impl Figures {
    pub(crate) fn call(&mut self, operation: Operation) {
        match operation {
            Operation::List => self.lists += 1,
            Operation::Create => self.creates += 1,
            Operation::Unseal => self.unseals += 1,
            Operation::Sign => self.signs += 1,
            _ => self.changes += 1,
        }
    }

    pub(crate) fn calls(&self) -> u64 {
        self.lists + self.creates + self.unseals + self.signs + self.changes
    }
}

/// The sums over many runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sums {
    runs: u64,
    replicas: u64,
    verifiers: u64,
    days: u64,
    replica_days: u64,
    minted: u64,
    checked: u64,
    with_signature: u64,
    of_revoked: u64,
    unanswered: u64,
    fetches: u64,
    revoked: u64,
    refused: u64,
    /// The number of keys, and of those created although the same key had another successor: with an
    /// atomic claim, and without.
    atomic: (u64, u64),
    tolerated: (u64, u64),
    most_twins: u64,
    most_published: u64,
    calls: u64,
    lists: u64,
}

impl Sums {
    pub(crate) fn add(&mut self, outcome: &Outcome) {
        let (figures, plan) = (&outcome.figures, &outcome.plan);
        let days = u64::try_from(outcome.reached / DAY).unwrap_or(0);
        let keys = match plan.habits.claim {
            Claim::Atomic => &mut self.atomic,
            Claim::Tolerated => &mut self.tolerated,
        };
        keys.0 += figures.created;
        keys.1 += figures.twins;
        self.merge(&Self {
            runs: 1,
            replicas: plan.offsets.len() as u64,
            verifiers: plan.verifiers as u64,
            days,
            replica_days: days * plan.offsets.len() as u64,
            minted: figures.minted,
            checked: figures.checked,
            with_signature: figures.with_signature,
            of_revoked: figures.of_revoked,
            unanswered: figures.unanswered,
            fetches: figures.fetches,
            revoked: figures.revoked,
            refused: outcome
                .violation
                .iter()
                .filter(|violation| violation.check.starts_with('1'))
                .count() as u64,
            most_twins: figures.most_twins,
            most_published: figures.most_published,
            calls: figures.calls(),
            lists: figures.lists,
            ..Self::default()
        });
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.runs += other.runs;
        self.replicas += other.replicas;
        self.verifiers += other.verifiers;
        self.days += other.days;
        self.replica_days += other.replica_days;
        self.minted += other.minted;
        self.checked += other.checked;
        self.with_signature += other.with_signature;
        self.of_revoked += other.of_revoked;
        self.unanswered += other.unanswered;
        self.fetches += other.fetches;
        self.revoked += other.revoked;
        self.refused += other.refused;
        self.atomic.0 += other.atomic.0;
        self.atomic.1 += other.atomic.1;
        self.tolerated.0 += other.tolerated.0;
        self.tolerated.1 += other.tolerated.1;
        self.most_twins = self.most_twins.max(other.most_twins);
        self.most_published = self.most_published.max(other.most_published);
        self.calls += other.calls;
        self.lists += other.lists;
    }

    pub(crate) fn table(&self) -> String {
        let rows = [
            ("seeds", self.runs.to_string()),
            ("replicas, all seeds together", self.replicas.to_string()),
            ("verifiers with caches of their own", self.verifiers.to_string()),
            ("days, all seeds together", self.days.to_string()),
            ("replica-days", self.replica_days.to_string()),
            ("tokens signed", self.minted.to_string()),
            ("checks of good tokens", self.checked.to_string()),
            ("… with the real signature", self.with_signature.to_string()),
            ("**good tokens refused**", format!("**{}**", self.refused)),
            (
                "checks of tokens of revoked keys, or of keys that had to sign at once",
                self.of_revoked.to_string(),
            ),
            ("requests while no replica was ready", self.unanswered.to_string()),
            ("JWKS fetched", self.fetches.to_string()),
            ("keys revoked", self.revoked.to_string()),
            (
                "keys made with an atomic claim, and duplicates among them",
                format!("{}, {}", self.atomic.0, self.atomic.1),
            ),
            (
                "keys made without one, and duplicates among them",
                format!("{}, {}", self.tolerated.0, self.tolerated.1),
            ),
            ("most duplicates of one race", self.most_twins.to_string()),
            ("most keys ever in a JWKS", self.most_published.to_string()),
            (
                "provider calls, and readings among them",
                format!("{}, {}", self.calls, self.lists),
            ),
        ];
        let mut table = String::from("| what | figure |\n|---|---|\n");
        for (what, figure) in rows {
            table.push_str(&format!("| {what} | {figure} |\n"));
        }
        table
    }
}
