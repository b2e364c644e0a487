//! The log, on standard error: text for people at a terminal, JSON for machines elsewhere.

use tracing_subscriber::filter::{FilterExt as _, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use super::libraries::OfLibraries;
use crate::settings::LogFormat;

/// Starts logging, at a terminal in colours if it is to have them. A second call has no effect.
pub fn start(format: LogFormat, colors: bool, targets: Targets) {
    // Who changed the ring is on record whatever else is wanted.
    let targets = targets.with_target("audit", tracing::Level::INFO);
    let libraries = OfLibraries::new(&targets);
    let json = format == LogFormat::Json;
    let as_json = json.then(|| fmt::layer().json().flatten_event(true).with_writer(std::io::stderr));
    let as_text = (!json).then(|| fmt::layer().with_ansi(colors).with_writer(std::io::stderr));
    let layers = as_json
        .map(|layer| layer.boxed())
        .into_iter()
        .chain(as_text.map(|layer| layer.boxed()));
    let layers: Vec<_> = layers.collect();
    // The one way in which this fails is that logging has been started already.
    let _ = tracing_subscriber::registry()
        .with(layers.with_filter(targets.and(libraries)))
        .try_init();
}
