//! The log on standard error: text for people at a terminal, JSON for programs elsewhere.

use tracing_subscriber::filter::{FilterExt as _, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use super::libraries::OfLibraries;
use crate::settings::LogFormat;

/// Starts logging. `colors` applies to text. A second call has no effect.
pub fn start(format: LogFormat, colors: bool, targets: Targets) {
    // The audit log is written whatever else is configured.
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
    // This fails only if logging was already started.
    let _ = tracing_subscriber::registry()
        .with(layers.with_filter(targets.and(libraries)))
        .try_init();
}
