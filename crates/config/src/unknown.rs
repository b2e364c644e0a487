//! Names that are not settings: which setting was probably meant, and which variables Kubernetes has set.

use crate::table::{Setting, Table};

/// The setting that was probably meant by this name.
pub(crate) fn nearest(table: &Table, name: &str) -> Option<&'static Setting> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    let prefix = table.prefix.to_ascii_lowercase();
    let name = name.strip_prefix(&prefix).unwrap_or(&name);
    table
        .settings
        .iter()
        .map(|setting| (strsim::osa_distance(name, setting.name), setting))
        .filter(|(distance, setting)| *distance <= (setting.name.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, setting)| setting)
}

/// Whether Kubernetes set this variable, for a Service whose name begins like the program's prefix, such as `signet`.
///
/// All pods of the namespace get such variables unless they set `enableServiceLinks: false`:
/// <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>.
///
/// The value counts, too: Kubernetes sets `…_PORT` to a URL, so `SIGNET_ADMIN_PORT=9000` is still reported as an error.
#[must_use]
pub fn is_from_kubernetes(table: &Table, variable: &str, value: &str) -> bool {
    let Some(rest) = variable.strip_prefix(table.prefix.trim_end_matches('_')) else {
        return false;
    };
    // `_SERVICE_` and `_PORT` may also be part of the Service's name, so every position is tried.
    rest.match_indices('_').any(|(at, _)| {
        let suffix = &rest[at..];
        let numbered = |suffix: &str| {
            suffix
                .strip_prefix("_PORT_")
                .and_then(|port| port.split_once('_'))
                .is_some_and(|(port, _)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
        };
        suffix == "_SERVICE_HOST"
            || suffix == "_SERVICE_PORT"
            || suffix.starts_with("_SERVICE_PORT_")
            || (suffix == "_PORT" && value.contains("://"))
            || numbered(suffix)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Fallback, Kind};

    const fn named(name: &'static str) -> Setting {
        Setting {
            name,
            group: "",
            kind: Kind::Text,
            fallback: Fallback::Absent,
            help: "",
        }
    }

    static TABLE: Table = Table {
        settings: &[
            named("issuer"),
            named("rotation_period"),
            named("publish_lead"),
            named("audience"),
            named("log_format"),
        ],
        prefix: "SIGNET_",
        list: "signet --help",
        file: None,
    };

    #[test]
    fn variables_that_kubernetes_injects_are_known() {
        for (variable, value) in [
            ("SIGNET_SERVICE_HOST", "10.0.0.1"),
            ("SIGNET_SERVICE_PORT", "8080"),
            ("SIGNET_SERVICE_PORT_HTTP", "8080"),
            ("SIGNET_PORT", "tcp://10.0.0.1:8080"),
            ("SIGNET_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("SIGNET_PORT_8080_TCP_PROTO", "tcp"),
            ("SIGNET_PORT_8080_TCP_PORT", "8080"),
            ("SIGNET_PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("SIGNET_JWKS_SERVICE_HOST", "10.0.0.1"),
            ("SIGNET_JWKS_SERVICE_PORT", "8080"),
            ("SIGNET_JWKS_SERVICE_PORT_HTTP", "8080"),
            ("SIGNET_JWKS_PORT", "tcp://10.0.0.1:8080"),
            ("SIGNET_JWKS_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("SIGNET_BLUE_PORT_PORT_53_UDP_ADDR", "10.0.0.1"),
        ] {
            assert!(is_from_kubernetes(&TABLE, variable, value), "{variable}");
        }
    }

    #[test]
    fn other_variables_are_not_taken_for_those_of_kubernetes() {
        for (variable, value) in [
            ("SIGNET_PORT", "8080"),
            ("SIGNET_ADMIN_PORT", "9464"),
            ("SIGNET_PORT_HTTP", "8080"),
            ("SIGNET_PORT__TCP", "tcp://10.0.0.1:8080"),
            ("SIGNET_SERVICE", "10.0.0.1"),
            ("OTHER_SERVICE_HOST", "10.0.0.1"),
        ] {
            assert!(!is_from_kubernetes(&TABLE, variable, value), "{variable}");
        }
    }

    #[test]
    fn the_nearest_setting_is_suggested_and_a_far_one_is_not() {
        for (name, meant) in [
            ("SIGNET_ISSUR", "issuer"),
            ("SIGNET_ROTATE_PERIOD", "rotation_period"),
            ("publish-lead", "publish_lead"),
            ("Audiences", "audience"),
            ("SIGNET_LOG_FROMAT", "log_format"),
        ] {
            assert_eq!(nearest(&TABLE, name).map(|setting| setting.name), Some(meant));
        }
        assert!(nearest(&TABLE, "SIGNET_FLUX_CAPACITOR").is_none());
        assert!(nearest(&TABLE, "").is_none());
    }
}
