//! Finds every key of a file that is unknown, unsupported, or without effect.

use std::collections::HashSet;

use super::json::{Member, Node, Value};
use super::keys::{ANY_KEY, Holds, Key, NAMESPACES, Namespace, ROOT, Scope, Support};
use super::report::{Place, Report};

/// The characters with which the name of a comment begins.
const COMMENTS: [char; 4] = ['@', '$', '_', '#'];

/// How strictly keys are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// An unknown key is refused.
    Strict,
    /// An unknown key is a warning, unless it may be meant to restrict access.
    Lenient,
}

/// Whether a key is a comment.
pub(super) fn is_comment(name: &str) -> bool {
    name.starts_with(COMMENTS)
}

/// Checks all keys of the document.
pub(super) fn check(document: &Node, strictness: Strictness, report: &mut Report) {
    let place = Place {
        line: document.line,
        ..Place::default()
    };
    Walk { strictness, report }.object(document, &place, ROOT, false);
}

struct Walk<'a> {
    strictness: Strictness,
    report: &'a mut Report,
}

impl Walk<'_> {
    /// Checks an object with these keys. In a `guarded` object, a namespace that restricts access,
    /// every unknown key is refused.
    fn object(&mut self, node: &Node, place: &Place, keys: &'static [Key], guarded: bool) {
        let Value::Object(members) = &node.value else {
            return self.wrong_kind(node, place, "an object");
        };
        if keys.first().is_some_and(|key| key.name == ANY_KEY) {
            return self.anything(node, place);
        }
        self.duplicates(members, place);
        for member in members.iter().filter(|member| !is_comment(&member.name)) {
            let place = place.member(&member.name, member.line);
            match keys.iter().find(|key| key.name == member.name) {
                Some(key) => self.key(key, member, &place, guarded),
                None => self.unknown_key(&member.name, place, keys, guarded),
            }
        }
    }

    fn key(&mut self, key: &Key, member: &Member, place: &Place, guarded: bool) {
        match key.support {
            Support::Supported => {}
            Support::Refused(why) => return self.report.refuse(place.clone(), why),
            Support::Only(value, _) if member.node.to_string() == value => return,
            Support::Only(_, why) => return self.report.refuse(place.clone(), why),
            Support::Ignored(why) => return self.report.warn(place.clone(), format!("ignored: {why}")),
        }
        match key.holds {
            Holds::Value => {}
            Holds::Anything => self.anything(&member.node, place),
            Holds::Object(keys) => self.object(&member.node, place, keys, guarded || key.protects),
            Holds::Objects(keys) => match &member.node.value {
                Value::Array(items) => {
                    for (index, item) in items.iter().enumerate() {
                        self.object(item, &place.item(index, item.line), keys, guarded || key.protects);
                    }
                }
                _ => self.wrong_kind(&member.node, place, "an array of objects"),
            },
            Holds::Namespaces(scope) => self.namespaces(&member.node, place, scope),
        }
    }

    fn namespaces(&mut self, node: &Node, place: &Place, scope: Scope) {
        let Value::Object(members) = &node.value else {
            return self.wrong_kind(node, place, "an object");
        };
        self.duplicates(members, place);
        for member in members.iter().filter(|member| !is_comment(&member.name)) {
            let place = place.member(&member.name, member.line);
            match NAMESPACES.iter().find(|namespace| namespace.is_named(&member.name)) {
                Some(namespace) => self.namespace(namespace, member, place, scope),
                None => {
                    let names = NAMESPACES.iter().map(|namespace| namespace.name);
                    let hint = did_you_mean(nearest(&member.name, names));
                    self.report.refuse(place, format!("no namespace has this name{hint}"));
                }
            }
        }
    }

    fn namespace(&mut self, namespace: &'static Namespace, member: &Member, place: Place, scope: Scope) {
        let Some((_, support, keys)) = namespace.scopes.iter().find(|(at, _, _)| *at == scope) else {
            let places: Vec<&str> = namespace.scopes.iter().map(|(at, _, _)| at.as_str()).collect();
            return self.report.refuse(
                place,
                format!(
                    "this namespace has no effect in extra_config of {}; it belongs to {}",
                    scope.as_str(),
                    places.join(" or ")
                ),
            );
        };
        match support {
            Support::Supported => self.object(&member.node, &place, keys, namespace.protects),
            Support::Refused(why) | Support::Only(_, why) => self.report.refuse(place, *why),
            Support::Ignored(why) => self.report.warn(place, format!("ignored: {why}")),
        }
    }

    /// Checks a value with names that the user chooses. Only ambiguities are refused.
    fn anything(&mut self, node: &Node, place: &Place) {
        match &node.value {
            Value::Object(members) => {
                self.duplicates(members, place);
                for member in members {
                    self.anything(&member.node, &place.member(&member.name, member.line));
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.anything(item, &place.item(index, item.line));
                }
            }
            _ => {}
        }
    }

    fn duplicates(&mut self, members: &[Member], place: &Place) {
        let mut seen = HashSet::new();
        for member in members.iter().filter(|member| !is_comment(&member.name)) {
            if !seen.insert(&member.name) {
                let first = members.iter().find(|other| other.name == member.name);
                let line = first.map_or(0, |first| first.line);
                self.report.refuse(
                    place.member(&member.name, member.line),
                    format!("this key is already in line {line}; remove one of them"),
                );
            }
        }
    }

    fn unknown_key(&mut self, name: &str, place: Place, keys: &'static [Key], guarded: bool) {
        let near = nearest(name, keys.iter().map(|key| key.name));
        let text = format!("no key has this name here{}", did_you_mean(near));
        let may_protect = guarded || keys.iter().any(|key| Some(key.name) == near && key.protects);
        match self.strictness {
            Strictness::Lenient if !may_protect => self.report.warn(place, format!("ignored: {text}")),
            _ => self.report.refuse(place, text),
        }
    }

    fn wrong_kind(&mut self, node: &Node, place: &Place, wanted: &str) {
        self.report
            .refuse(place.clone(), format!("this is {}, and must be {wanted}", node.kind()));
    }
}

fn did_you_mean(near: Option<&str>) -> String {
    near.map_or_else(String::new, |near| format!("; is {near} meant?"))
}

/// The name that was probably meant.
pub(super) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = name.to_ascii_lowercase().replace('-', "_");
    names
        .map(|known| {
            (
                strsim::osa_distance(&plain, &known.to_ascii_lowercase().replace('-', "_")),
                known,
            )
        })
        .filter(|(distance, known)| *distance <= (known.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::json;

    fn checked(text: &str, strictness: Strictness) -> Report {
        let mut report = Report::default();
        check(&json::parse(text).expect("JSON"), strictness, &mut report);
        report
    }

    fn told(text: &str) -> Vec<String> {
        let report = checked(text, Strictness::Strict);
        report.problems().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line_and_the_nearest_name() {
        let text = "{\"version\":3,\n\"endpoints\":[\n{\"endpoint\":\"/a\",\n\"ouput_encoding\":\"json\",\"backend\":[\n{\"form\":1,\n\"@comment\":1}]}]}";
        assert_eq!(
            told(text),
            [
                "line 4: endpoints[0].ouput_encoding: no key has this name here; is output_encoding meant?",
                "line 5: endpoints[0].backend[0].form: no key has this name here",
            ]
        );
        let report = checked(text, Strictness::Lenient);
        assert!(report.is_good());
        assert_eq!(report.warnings().len(), 2);
    }

    #[test]
    fn leniency_overlooks_nothing_that_may_be_meant_to_protect() {
        for text in [
            r#"{"endpoints":[{"backend":[{"denny":["a"]}]}]}"#,
            r#"{"endpoints":[{"extraconfig":{}}]}"#,
            r#"{"extra_config":{"security/cros":{}}}"#,
            r#"{"extra_config":{"auth/api-keys":{}}}"#,
            r#"{"extra_config":{"no_such_thing":{}}}"#,
            r#"{"client_tsl":{}}"#,
        ] {
            assert!(!checked(text, Strictness::Lenient).is_good(), "{text}");
        }
    }

    #[test]
    fn what_is_not_built_is_refused_and_a_value_without_effect_is_not() {
        assert!(told(r#"{"disable_rest":true}"#)[0].contains("in this version of signet-gateway"));
        assert!(told(r#"{"debug_endpoint":false,"disable_rest":false}"#).is_empty());
        assert!(told(r#"{"extra_config":{"auth/signer":{}}}"#)[0].contains("belongs to an endpoint"));
        assert!(told(r#"{"extra_config":{"github.com/devopsfaith/krakend-cors":{}}}"#)[0].contains("short name"));
        assert!(told(r#"{"endpoints":[{"headers_to_pass":[]}]}"#)[0].contains("write input_headers"));
    }

    #[test]
    fn what_changes_no_answer_is_a_warning() {
        let report = checked(
            r#"{"extra_config":{"telemetry/metrics":{"a":1}},"idle_timeout":"1s"}"#,
            Strictness::Strict,
        );
        assert!(report.is_good());
        assert_eq!(report.warnings().len(), 2);
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_with_both_lines_also_in_data_of_the_user() {
        let text = "{\"version\":3,\n\"version\":3,\"_\":1,\"_\":2,\n\"extra_config\":{\"router\":{\"error_body\":{\"a\":1,\n\"a\":2}}}}";
        assert_eq!(
            told(text),
            [
                "line 2: version: this key is already in line 1; remove one of them",
                "line 4: extra_config.router.error_body.a: this key is already in line 3; remove one of them",
            ]
        );
    }

    #[test]
    fn a_value_of_another_kind_is_refused() {
        assert_eq!(told("[]"), ["line 1: this is an array, and must be an object"]);
        assert!(told(r#"{"endpoints":{}}"#)[0].contains("must be an array of objects"));
        assert!(told(r#"{"extra_config":[]}"#)[0].contains("must be an object"));
        assert!(told(r#"{"endpoints":[1]}"#)[0].contains("must be an object"));
    }
}
