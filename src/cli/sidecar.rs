//! Notifies the sidecar on this machine's socket that the ring has changed, and waits until it has read the change.

use std::path::Path;
use std::time::Duration;

use http::{Method, StatusCode};
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use super::client::{ClientError, send};
use crate::settings::Settings;

/// How long the sidecar may take to read the ring.
const PATIENCE: Duration = Duration::from_secs(5);
/// The maximum time for the answer to one request. The sidecar answers each from memory, so one that takes longer hangs.
const SILENCE: Duration = Duration::from_secs(1);
/// The pause between two questions to the sidecar.
const PAUSE: Duration = Duration::from_millis(25);

/// The result of notifying the sidecar.
#[derive(Debug, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(super) enum SidecarFollow {
    /// Nobody is listening on the socket.
    Absent,
    /// The sidecar has read the change, and now signs with this key.
    Follows {
        /// The id of the key. `None` if no key signs.
        signs_now: Option<String>,
    },
    /// The sidecar has not read the change, for this reason. It will at its next reading.
    Later {
        /// The reason, for the operator.
        why: String,
    },
}

/// Tells the sidecar to read its ring, and waits until `has` finds the change in it.
pub(super) async fn notify_and_wait(settings: &Settings, has: impl Fn(&Value) -> bool) -> SidecarFollow {
    let socket = &settings.socket.path;
    let later = |why: String| SidecarFollow::Later { why };
    let refresh = send(socket, Method::POST, "/v1/ring/refresh", Vec::new());
    let Ok(answer) = timeout(SILENCE, refresh).await else {
        return later(silent());
    };
    match answer {
        Err(ClientError::Connect { source, .. }) if is_nobody(&source) => return SidecarFollow::Absent,
        Err(error) => return later(signet_base::chain(&error)),
        Ok((status, _)) if status.is_success() => {}
        Ok((StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED, _)) => {
            return later("it is an older version, which cannot read its ring on request".to_owned());
        }
        Ok((status, answer)) => {
            let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
            return later(
                answer["detail"]
                    .as_str()
                    .map_or_else(|| format!("it answered {status}"), str::to_owned),
            );
        }
    }
    let began = now();
    loop {
        let Ok(found) = timeout(SILENCE, ring(socket)).await else {
            return later(silent());
        };
        match found {
            Some(ring) if ring["issuer"] != settings.issuer.as_str() => {
                return later(format!("it serves another issuer, {}", ring["issuer"]));
            }
            Some(ring) if has(&ring) => {
                return SidecarFollow::Follows {
                    signs_now: in_phase(&ring, "active"),
                };
            }
            _ if now().duration_since(began) > PATIENCE => {
                return later(format!(
                    "it did not show the change within {}",
                    humantime::format_duration(PATIENCE)
                ));
            }
            _ => sleep(PAUSE).await,
        }
    }
}

fn silent() -> String {
    format!(
        "it did not answer within {}; its process may be stopped or hang",
        humantime::format_duration(SILENCE)
    )
}

/// Measures a duration with the runtime's clock.
fn now() -> Instant {
    Instant::now()
}

/// Whether the error means that no sidecar is there.
pub(super) fn is_nobody(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused
    )
}

async fn ring(socket: &Path) -> Option<Value> {
    let (_, answer) = send(socket, Method::GET, "/v1/ring", Vec::new()).await.ok()?;
    serde_json::from_slice(&answer).ok()
}

/// Why the sidecar on this machine doubts the wall clock, if it answers and does.
pub(super) async fn clock_doubt(settings: &Settings) -> Option<String> {
    let request = send(&settings.socket.path, Method::GET, "/v1/clock", Vec::new());
    let (_, answer) = timeout(SILENCE, request).await.ok()?.ok()?;
    let answer: Value = serde_json::from_slice(&answer).ok()?;
    answer["doubt"]["detail"].as_str().map(str::to_owned)
}

/// The first key in this phase.
pub(super) fn in_phase(ring: &Value, phase: &str) -> Option<String> {
    let keys = ring["keys"].as_array()?;
    let key = keys.iter().find(|key| key["phase"] == phase)?;
    key["kid"].as_str().map(str::to_owned)
}

/// Whether the ring contains this key, in this phase if one is given.
pub(super) fn has_key(ring: &Value, kid: &str, phase: Option<&str>) -> bool {
    let keys = ring["keys"].as_array();
    let is_it = |key: &Value| key["kid"] == kid && phase.is_none_or(|phase| key["phase"] == phase);
    keys.is_some_and(|keys| keys.iter().any(is_it))
}

impl SidecarFollow {
    /// The text for the operator.
    pub(super) fn text(&self, settings: &Settings) -> String {
        let socket = settings.socket.path.display();
        let bound = humantime::format_duration(settings.policy.durations().refresh_interval);
        match self {
            Self::Absent => format!(
                "no sidecar listens on {socket}; all sidecars that reach the provider read the change within \
                 {bound}\n"
            ),
            Self::Follows { signs_now: Some(kid) } => {
                format!(
                    "the sidecar on {socket} has read the change and signs with {kid}; all others that reach the \
                     provider read it within {bound}\n"
                )
            }
            Self::Follows { signs_now: None } => format!(
                "the sidecar on {socket} has read the change, but has no key to sign with; see its /readyz. All \
                 others that reach the provider read the change within {bound}\n"
            ),
            Self::Later { why } => {
                format!(
                    "the sidecar on {socket} has not read the change yet: {why}. All sidecars that reach the \
                     provider read it within {bound}\n"
                )
            }
        }
    }
}
