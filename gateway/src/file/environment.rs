//! Applies environment variables `KRAKEND_<KEY>`, which replace scalars at the root of the file.

use signet_config::{Table, is_from_kubernetes};

use super::json::{Member, Node, Value};
use super::keys::{Holds, ROOT};
use super::report::{Place, Report};

const PREFIX: &str = "KRAKEND_";

/// Only the prefix matters. It shows which variables come from Kubernetes, for a service named `krakend`.
static VARIABLES: Table = Table {
    settings: &[],
    prefix: PREFIX,
    list: "signet-gateway help",
    file: None,
};

/// Replaces values of the file by those of variables, and warns of variables that match no key.
pub(super) fn apply(document: &mut Node, variables: &[(String, String)], report: &mut Report) {
    let Value::Object(members) = &mut document.value else {
        return;
    };
    for (variable, value) in variables {
        let Some(name) = variable.strip_prefix(PREFIX) else {
            continue;
        };
        let place = Place {
            path: variable.clone(),
            line: 0,
        };
        if is_from_kubernetes(&VARIABLES, variable, value) {
            report.warn(
                place,
                "ignored: Kubernetes sets this variable for a service named krakend",
            );
            continue;
        }
        let known = |key: &&super::keys::Key| key.name.eq_ignore_ascii_case(name);
        let Some(key) = ROOT.iter().find(known) else {
            report.warn(place, "ignored: no key of the root has this name");
            continue;
        };
        let is_scalar = matches!(key.holds, Holds::Value | Holds::Anything) && key.name != "host";
        if !is_scalar {
            report.refuse(
                place,
                "a variable can replace only a text, a number or a boolean of the root",
            );
            continue;
        }
        members.retain(|member| member.name != key.name);
        members.push(Member {
            name: key.name.to_owned(),
            line: 0,
            node: Node {
                line: 0,
                value: scalar(value),
            },
        });
    }
}

fn scalar(text: &str) -> Value {
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ if !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit()) => Value::Number(text.to_owned()),
        _ => Value::Text(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::json;

    fn applied(text: &str, variables: &[(&str, &str)]) -> (String, Report) {
        let mut document = json::parse(text).expect("JSON");
        let mut report = Report::default();
        let variables: Vec<(String, String)> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        apply(&mut document, &variables, &mut report);
        (document.to_string(), report)
    }

    #[test]
    fn a_variable_replaces_a_scalar_of_the_root_or_adds_it() {
        let (text, report) = applied(
            r#"{"port":8080,"name":"a"}"#,
            &[
                ("KRAKEND_PORT", "9090"),
                ("KRAKEND_TIMEOUT", "3s"),
                ("KRAKEND_DISABLE_REST", "false"),
                ("PORT", "1"),
            ],
        );
        assert_eq!(text, r#"{"name":"a","port":9090,"timeout":"3s","disable_rest":false}"#);
        assert!(report.is_good() && report.warnings().is_empty());
    }

    #[test]
    fn what_is_no_key_is_a_warning_and_what_is_no_scalar_is_refused() {
        let (text, report) = applied("{}", &[("KRAKEND_PORT", "tcp://10.0.0.1:80"), ("KRAKEND_PROT", "1")]);
        assert_eq!(
            (text.as_str(), report.warnings().len(), report.is_good()),
            ("{}", 2, true)
        );
        for name in ["KRAKEND_ENDPOINTS", "KRAKEND_HOST"] {
            assert!(!applied("{}", &[(name, "[]")]).1.is_good(), "{name}");
        }
    }
}
