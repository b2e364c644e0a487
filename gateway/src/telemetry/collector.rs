//! Writes what the threads of the data path counted. Names and labels are those of KrakenD's exporter for Prometheus
//! where it has the metric, so its dashboards work.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet};
use prometheus_client::metrics::MetricType;
use signet_core::Issuer;

use super::counts::{Counts, Event};
use super::series::{Counted, EndpointSeries, HostSeries, Outcome};
use super::status;

/// The counts, for the registry.
#[derive(Debug)]
pub(super) struct Collected(pub(super) Arc<Counts>);

impl Collector for Collected {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let to = &mut encoder;
        let endpoints: Vec<Endpoint> = self.0.endpoints().into_iter().map(Endpoint::of).collect();
        requests(to, &endpoints)?;
        failures(to, &endpoints)?;
        histogram(
            to,
            "http_server_duration",
            "Seconds from the arrival of a request to the end of its answer",
            endpoints
                .iter()
                .flat_map(Endpoint::rows)
                .map(|(labels, counted)| (labels, (counted.seconds, &counted.by_duration))),
        )?;
        histogram(
            to,
            "http_server_response_size",
            "Bytes of the body of an answer",
            endpoints
                .iter()
                .flat_map(Endpoint::rows)
                .map(|(labels, counted)| (labels, (counted.octets as f64, &counted.by_size))),
        )?;
        let hosts: Vec<Host> = self.0.hosts().into_iter().map(Host::of).collect();
        histogram(
            to,
            "http_client_duration",
            "Seconds from a request to a backend to the head of its answer; status 0 is no answer",
            hosts
                .iter()
                .flat_map(Host::rows)
                .map(|(labels, counted)| (labels, (counted.seconds, &counted.by_duration))),
        )?;
        backends(to, &hosts)?;
        self.sources(to)?;
        self.process(to)
    }
}

impl Collected {
    fn sources(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let sources = self.0.sources();
        let fetches = sources.iter().flat_map(|(name, counts)| {
            let outcomes = [("ok", counts.fetched), ("failed", counts.failed)];
            outcomes.map(|(outcome, count)| ([("source", name.as_str()), ("outcome", outcome)], count))
        });
        counter(
            to,
            "signet_gateway_key_fetches",
            "Fetches of the keys of a source, by outcome",
            fetches,
        )?;
        let keys = sources
            .iter()
            .map(|(name, counts)| (name, i64::try_from(counts.keys).unwrap_or(i64::MAX)));
        gauges(to, "signet_gateway_keys", "Keys of a source", keys)?;
        let fetched = sources.iter().map(|(name, counts)| (name, counts.fetched_at));
        gauges(
            to,
            "signet_gateway_keys_fetched_timestamp_seconds",
            "When the keys of a source were last fetched, since the Unix epoch",
            fetched,
        )
    }

    fn process(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let verdicts = self.0.verdicts().map(|(code, count)| ([("code", code)], count));
        counter(
            to,
            "signet_gateway_tokens",
            "Requests with a validator, by verdict on their token",
            verdicts,
        )?;
        for (name, help, done, refused) in [
            (
                "signet_gateway_reloads",
                "Reloads of the file, by outcome",
                Event::ReloadDone,
                Event::ReloadRefused,
            ),
            (
                "signet_gateway_certificate_reloads",
                "Reloads of changed certificates of the listener, by outcome",
                Event::CertificatesDone,
                Event::CertificatesRefused,
            ),
        ] {
            let outcomes = [("done", done), ("refused", refused)].into_iter();
            let rows = outcomes.map(|(outcome, event)| ([("outcome", outcome)], self.0.events(event)));
            counter(to, name, help, rows)?;
        }
        for (name, help, value) in [
            (
                "signet_gateway_requests_in_flight",
                "Requests that are being answered",
                self.0.difference(Event::RequestBegun, Event::RequestEnded),
            ),
            (
                "signet_gateway_connections",
                "Open connections of clients",
                self.0.difference(Event::ConnectionOpened, Event::ConnectionClosed),
            ),
        ] {
            let mut metric = to.encode_descriptor(name, help, None, MetricType::Gauge)?;
            metric.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX))?;
        }
        Ok(())
    }
}

/// The labels of an endpoint's answers, by status.
type EndpointLabels<'a> = [(&'static str, &'a str); 3];

/// What was counted of an endpoint.
struct Endpoint {
    series: Arc<EndpointSeries>,
    answers: Vec<(usize, Counted)>,
}

impl Endpoint {
    fn of(series: Arc<EndpointSeries>) -> Self {
        Self {
            answers: series.answers().collect(),
            series,
        }
    }

    fn labels<'a>(&'a self, last: (&'static str, &'a str)) -> EndpointLabels<'a> {
        let (route, method) = (self.series.route.as_str(), self.series.method.as_str());
        [("http_route", route), ("http_request_method", method), last]
    }

    fn rows(&self) -> impl Iterator<Item = (EndpointLabels<'_>, &Counted)> {
        self.answers.iter().map(|(number, counted)| {
            let status = ("http_response_status_code", status::label(*number));
            (self.labels(status), counted)
        })
    }
}

/// The requests by class of status. The series exist from the start, because a rate misses the first event of a counter
/// that starts with it.
fn requests(to: &mut DescriptorEncoder<'_>, endpoints: &[Endpoint]) -> fmt::Result {
    let rows = endpoints.iter().flat_map(|endpoint| {
        let classes = status::CLASSES.into_iter().enumerate();
        classes.map(|(class, label)| {
            let answers = endpoint.answers.iter();
            let of_class = answers.filter(|(number, _)| status::class_of(*number) == class);
            let count = of_class.map(|(_, counted)| counted.count).sum();
            (endpoint.labels(("class", label)), count)
        })
    });
    counter(
        to,
        "signet_gateway_requests",
        "Requests of clients, by class of the answer's status",
        rows,
    )
}

fn failures(to: &mut DescriptorEncoder<'_>, endpoints: &[Endpoint]) -> fmt::Result {
    let rows = endpoints.iter().flat_map(|endpoint| {
        let failures = endpoint.series.failures();
        failures.map(|(reason, count)| (endpoint.labels(("reason", reason)), count))
    });
    counter(
        to,
        "signet_gateway_backend_failures",
        "Backends of an endpoint that gave no usable answer, by reason",
        rows,
    )
}

/// What was counted of a host.
struct Host {
    series: Arc<HostSeries>,
    port: String,
    requests: Vec<(usize, Counted)>,
}

impl Host {
    fn of(series: Arc<HostSeries>) -> Self {
        Self {
            port: series.port().to_string(),
            requests: series.requests().collect(),
            series,
        }
    }

    fn labels(&self) -> [(&'static str, &str); 2] {
        [("server_address", self.series.address()), ("server_port", &self.port)]
    }

    fn rows(&self) -> impl Iterator<Item = ([(&'static str, &str); 3], &Counted)> {
        let [address, port] = self.labels();
        self.requests.iter().map(move |(number, counted)| {
            let status = ("http_response_status_code", status::label(*number));
            ([address, port, status], counted)
        })
    }
}

fn backends(to: &mut DescriptorEncoder<'_>, hosts: &[Host]) -> fmt::Result {
    let started = hosts.iter().map(|host| {
        let count = host.requests.iter().map(|(_, counted)| counted.count).sum();
        (host.labels(), count)
    });
    counter(
        to,
        "http_client_request_started_count",
        "Requests to a backend that have ended",
        started,
    )?;
    for (name, help, outcome) in [
        (
            "http_client_request_failed_count",
            "Requests to a backend without an answer, because the connection failed, broke, or took too long",
            &[Outcome::Failed, Outcome::TimedOut][..],
        ),
        (
            "http_client_request_canceled_count",
            "Requests to a backend that were given up, because the client left",
            &[Outcome::Canceled],
        ),
        (
            "http_client_request_timedout_count",
            "Requests to a backend without an answer in time",
            &[Outcome::TimedOut],
        ),
    ] {
        let rows = hosts.iter().map(|host| {
            let count = outcome.iter().map(|outcome| host.series.outcome(*outcome)).sum();
            (host.labels(), count)
        });
        counter(to, name, help, rows)?;
    }
    Ok(())
}

fn counter<L: EncodeLabelSet>(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: impl Iterator<Item = (L, u64)>,
) -> fmt::Result {
    let mut family = to.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, count) in rows {
        let mut metric = family.encode_family(&labels)?;
        metric.encode_counter::<NoLabelSet, u64, u64>(&count, None)?;
    }
    Ok(())
}

fn histogram<'a, L: EncodeLabelSet>(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: impl Iterator<Item = (L, (f64, &'a Vec<(f64, u64)>))>,
) -> fmt::Result {
    let mut family = to.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for (labels, (sum, buckets)) in rows {
        let count = buckets.iter().map(|(_, count)| count).sum();
        let mut metric = family.encode_family(&labels)?;
        metric.encode_histogram::<NoLabelSet>(sum, count, buckets, None)?;
    }
    Ok(())
}

fn gauges<'a>(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: impl Iterator<Item = (&'a Issuer, i64)>,
) -> fmt::Result {
    let mut family = to.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (source, value) in rows {
        let labels = [("source", source.as_str())];
        family.encode_family(&labels)?.encode_gauge(&value)?;
    }
    Ok(())
}
