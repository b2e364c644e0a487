//! The series of an endpoint and of a backend's host. The plan holds them, so a request looks up nothing by name.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::Instant;

use super::cells::Cells;
use super::status;

/// The upper bounds of the duration buckets in microseconds. From 10 ms on, they are those of KrakenD, whose dashboards
/// know them. A gateway also has to tell answers apart that are faster.
pub(super) const MICROS: [u64; 24] = [
    500, 1_000, 2_500, 5_000, 10_000, 20_000, 50_000, 75_000, 100_000, 125_000, 150_000, 175_000, 200_000, 250_000,
    300_000, 350_000, 500_000, 750_000, 1_000_000, 1_500_000, 2_000_000, 3_500_000, 5_000_000, 10_000_000,
];
/// The upper bounds of the size buckets in bytes: those of KrakenD.
pub(super) const SIZES: [u64; 15] = [
    128,
    256,
    512,
    1024,
    4 * 1024,
    8 * 1024,
    16 * 1024,
    32 * 1024,
    64 * 1024,
    256 * 1024,
    512 * 1024,
    1024 * 1024,
    4 * 1024 * 1024,
    16 * 1024 * 1024,
    64 * 1024 * 1024,
];

/// The first counters are the duration buckets, with one for longer durations. These follow them.
const NANOS: usize = MICROS.len() + 1;
const FIRST_SIZE: usize = NANOS + 1;
const BYTES: usize = FIRST_SIZE + SIZES.len() + 1;

/// The durations and sizes of the answers with one status.
#[derive(Debug)]
struct Distribution(Cells);

/// What was counted, for `/metrics`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Counted {
    /// The number of answers.
    pub(super) count: u64,
    /// The durations, in seconds: the sum, and how many were in each bucket.
    pub(super) seconds: f64,
    pub(super) by_duration: Vec<(f64, u64)>,
    /// The sizes, in bytes: the sum, and how many were in each bucket.
    pub(super) octets: u64,
    pub(super) by_size: Vec<(f64, u64)>,
}

impl Distribution {
    fn new() -> Self {
        Self(Cells::new(BYTES + 1))
    }

    fn add(&self, took: Duration, octets: u64) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let micros = nanos.div_ceil(1000);
        self.0.add(MICROS.partition_point(|bound| *bound < micros), 1);
        self.0.add(NANOS, nanos);
        self.0
            .add(FIRST_SIZE + SIZES.partition_point(|bound| *bound < octets), 1);
        self.0.add(BYTES, octets);
    }

    fn counted(&self) -> Counted {
        let bucket = |number: usize, bound: Option<&u64>, unit: f64| {
            let bound = bound.map_or(f64::MAX, |bound| *bound as f64 / unit);
            (bound, self.0.sum(number))
        };
        let by_duration: Vec<(f64, u64)> = (0..=MICROS.len())
            .map(|number| bucket(number, MICROS.get(number), 1e6))
            .collect();
        let by_size = (0..=SIZES.len()).map(|number| bucket(FIRST_SIZE + number, SIZES.get(number), 1.0));
        Counted {
            count: by_duration.iter().map(|(_, count)| count).sum(),
            seconds: self.0.sum(NANOS) as f64 / 1e9,
            octets: self.0.sum(BYTES),
            by_size: by_size.collect(),
            by_duration,
        }
    }
}

/// The distributions of all statuses. Those of a status exist from its first answer on.
#[derive(Debug)]
struct ByStatus([OnceLock<Distribution>; status::COUNT]);

impl Default for ByStatus {
    fn default() -> Self {
        Self([const { OnceLock::new() }; status::COUNT])
    }
}

impl ByStatus {
    fn add(&self, status: u16, took: Duration, octets: u64) {
        if let Some(distribution) = self.0.get(status::number(status)) {
            distribution.get_or_init(Distribution::new).add(took, octets);
        }
    }

    fn counted(&self) -> impl Iterator<Item = (usize, Counted)> {
        let all = self.0.iter().enumerate();
        all.filter_map(|(number, distribution)| Some((number, distribution.get()?.counted())))
    }
}

/// The series of an endpoint.
#[derive(Debug)]
pub struct EndpointSeries {
    /// The path of the endpoint as in the file.
    pub(super) route: String,
    /// The method of the endpoint.
    pub(super) method: String,
    answers: ByStatus,
    failures: Cells,
}

/// Why a backend of an endpoint gave no usable answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The status of its answer is an error.
    Status,
    /// It did not answer in time.
    Timeout,
    /// It cannot be reached.
    Connect,
    /// Its answer broke off.
    Broken,
    /// Its answer has another format than the file says.
    Unusable,
    /// Its answer is too long, or too many long ones are in progress.
    TooLong,
    /// It was not called, because a value for its URL is missing or not valid.
    NoUrl,
}

impl Reason {
    /// All reasons.
    const ALL: [Self; 7] = [
        Self::Status,
        Self::Timeout,
        Self::Connect,
        Self::Broken,
        Self::Unusable,
        Self::TooLong,
        Self::NoUrl,
    ];

    /// The label in `signet_gateway_backend_failures_total`.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Broken => "broken",
            Self::Unusable => "unusable",
            Self::TooLong => "too_long",
            Self::NoUrl => "no_url",
        }
    }
}

impl EndpointSeries {
    /// Makes the series of an endpoint, all zero.
    #[must_use]
    pub fn new(route: &str, method: &str) -> Self {
        Self {
            route: route.to_owned(),
            method: method.to_owned(),
            answers: ByStatus::default(),
            failures: Cells::new(Reason::ALL.len()),
        }
    }

    /// Makes the series of requests that belong to no endpoint.
    #[must_use]
    pub fn elsewhere() -> Self {
        Self::new("none", "any")
    }

    /// Counts an answer.
    pub(super) fn on_answered(&self, status: u16, took: Duration, octets: u64) {
        self.answers.add(status, took, octets);
    }

    /// Counts a backend that gave no usable answer.
    pub fn on_failed(&self, reason: Reason) {
        self.failures.add(reason as usize, 1);
    }

    pub(super) fn answers(&self) -> impl Iterator<Item = (usize, Counted)> {
        self.answers.counted()
    }

    pub(super) fn failures(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let all = Reason::ALL.into_iter();
        all.map(|reason| (reason.as_str(), self.failures.sum(reason as usize)))
    }
}

/// The series of a backend's host.
#[derive(Debug)]
pub struct HostSeries {
    /// The name or address of the host.
    address: String,
    /// The port of the host.
    port: u16,
    requests: ByStatus,
    outcomes: Cells,
}

/// What a request to a host came to, if there was no answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    Failed,
    Canceled,
    TimedOut,
}

impl HostSeries {
    /// Makes the series of a host, all zero.
    #[must_use]
    pub fn new(address: &str, port: u16) -> Self {
        Self {
            address: address.to_owned(),
            port,
            requests: ByStatus::default(),
            outcomes: Cells::new(3),
        }
    }

    /// The name or address of the host.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The port of the host.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Begins to measure a request to the host.
    pub fn begin(&self) -> HostRequest<'_> {
        HostRequest {
            series: self,
            since: Instant::now(),
            end: Err(Outcome::Canceled),
        }
    }

    pub(super) fn requests(&self) -> impl Iterator<Item = (usize, Counted)> {
        self.requests.counted()
    }

    pub(super) fn outcome(&self, outcome: Outcome) -> u64 {
        self.outcomes.sum(outcome as usize)
    }
}

/// A request to a host. It is counted when it is dropped: as canceled, unless an event said otherwise.
#[derive(Debug)]
pub struct HostRequest<'a> {
    series: &'a HostSeries,
    since: Instant,
    end: Result<u16, Outcome>,
}

impl HostRequest<'_> {
    /// Handles the head of an answer.
    pub fn on_answered(mut self, status: http::StatusCode) {
        self.end = Ok(status.as_u16());
    }

    /// Handles a connection that failed or broke.
    pub fn on_failed(mut self) {
        self.end = Err(Outcome::Failed);
    }

    /// Handles the end of the time that the host had.
    pub fn on_timed_out(mut self) {
        self.end = Err(Outcome::TimedOut);
    }
}

impl Drop for HostRequest<'_> {
    fn drop(&mut self) {
        let took = self.since.elapsed();
        // As in KrakenD, a request without an answer has the status 0, and one that took too long has failed too.
        self.series.requests.add(self.end.unwrap_or(0), took, 0);
        if let Err(outcome) = self.end {
            self.series.outcomes.add(outcome as usize, 1);
        }
    }
}
