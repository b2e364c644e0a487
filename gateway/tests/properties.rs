//! Properties that hold for every file, value and answer.

use std::borrow::Cow;
use std::cell::RefCell;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Map, Value};
use signet_gateway::file::{Document, Format, Report, Section, Strictness, json};
use signet_gateway::plan::Plan;
use signet_gateway::plan::shape::Shape;
use signet_gateway::plan::template::{self, Names, Template, Values};
use signet_gateway::room::Room;
use signet_gateway::{routes, tree};

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(|number| Value::from(f64::from(number) / 4.0)),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            objects(inner).prop_map(Value::Object),
        ]
    })
}

/// Objects with few different names, so that paths often match.
fn objects(values: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::hash_map("[a-c]|<&>", values, 0..4).prop_map(|members| members.into_iter().collect())
}

fn paths() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[a-c](\\.[a-c]){0,2}", 0..4)
}

/// Pieces of files in all three formats.
fn words() -> impl Strategy<Value = &'static str> {
    const WORDS: [&str; 36] = [
        "a: ",
        "- ",
        "\n",
        "\n  ",
        "&a ",
        "*a",
        "!!str ",
        "!x ",
        "|\n",
        ">-\n ",
        "{",
        "}",
        "[",
        "]",
        ", ",
        "? ",
        ": ",
        "\"x",
        "\"",
        "'",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "<<: ",
        "# x\n",
        "\r\n",
        "\t",
        "é",
        "\\u0041",
        "a = ",
        "[a.b]\n",
        "[[a]]\n",
        "1",
        "-.5e+1",
        "true",
        "2026-11-30",
    ];
    prop::sample::select(&WORDS[..])
}

struct Given(String);

impl Values for Given {
    fn text(&self, _: &template::Value) -> Option<Cow<'_, str>> {
        Some(self.0.as_str().into())
    }
}

fn shape(filters: &Value) -> Shape {
    let node = json::parse(&filters.to_string()).expect("JSON");
    let report: RefCell<Report> = RefCell::default();
    Shape::read(&Section::root(&node, &report))
}

fn shaped(filters: &Value, object: &Map<String, Value>) -> Value {
    let text = Bytes::from(Value::Object(object.clone()).to_string());
    let members = tree::open(&tree::first(&text).expect("JSON")).expect("an object");
    serde_json::from_slice(&tree::write(
        &shape(filters).apply(members, &mut Room::default()).expect("memory"),
    ))
    .expect("JSON")
}

/// The meaning of `deny`, in a few lines.
fn denied(object: &mut Map<String, Value>, path: &[&str]) {
    match path {
        [] => {}
        [last] => drop(object.remove(*last)),
        [first, rest @ ..] => {
            if let Some(Value::Object(inner)) = object.get_mut(*first) {
                denied(inner, rest);
            }
        }
    }
}

proptest! {
    #[test]
    fn no_value_leaves_its_segment(value in ".{0,24}") {
        let parameters = ["id".to_owned()];
        let names = Names { parameters: &parameters, answers: 0, has_token: false };
        let template = Template::parse("/a/{id}/b?x={id}&y=1", names).expect("a pattern");
        match template.expand(&Given(value.clone()), "/base", "z=1") {
            Ok(url) => {
                let segments: Vec<&str> = url.path().split('/').collect();
                prop_assert_eq!(segments.len(), 5);
                prop_assert_eq!(routes::decoded(segments[3]), Some(value.clone()));
                let pairs: Vec<&str> = url.query().expect("a query").split('&').collect();
                prop_assert_eq!(pairs.len(), 3);
                prop_assert_eq!(routes::decoded(&pairs[0][2..]), Some(value));
            }
            Err(_) => prop_assert!(value.is_empty() || value == "." || value == ".."),
        }
    }

    #[test]
    fn a_file_is_read_as_every_reader_of_json_reads_it(value in values()) {
        for text in [value.to_string(), serde_json::to_string_pretty(&value).expect("JSON")] {
            let node = json::parse(&text).expect("JSON");
            prop_assert_eq!(&serde_json::from_str::<Value>(&node.to_string()).expect("JSON"), &value);
        }
    }

    #[test]
    fn json_means_the_same_as_yaml(value in values()) {
        for text in [value.to_string(), serde_json::to_string_pretty(&value).expect("JSON")] {
            let (json, yaml) = (Format::Json.parse(&text), Format::Yaml.parse(&text));
            prop_assert_eq!(json, yaml, "{}", text);
        }
    }

    #[test]
    fn whatever_a_file_is_reading_it_ends(words in prop::collection::vec(words(), 0..24)) {
        let text = words.concat();
        for format in [Format::Json, Format::Yaml, Format::Toml] {
            if let Err(wrong) = format.parse(&text) {
                prop_assert!(wrong.line > 0 && wrong.column > 0, "{:?}: {:?}", format, wrong);
            }
        }
    }

    #[test]
    fn whatever_stands_in_a_file_it_is_a_plan_or_has_a_problem(text in "[{}\\[\\]\",:a-e0-9 \n]{0,40}", value in values()) {
        let object = format!(r#"{{"version":3,"endpoints":[{value}],"host":{value},"extra_config":{{"router":{value}}}}}"#);
        for text in [text, object] {
            let mut report = Report::default();
            let document = Document::parse(&text, &[], Strictness::Lenient, &mut report);
            let plan = document.and_then(|document| Plan::read(&document, &mut report));
            prop_assert_eq!(plan.is_some(), report.is_good());
        }
    }

    #[test]
    fn an_object_that_nobody_filters_stays_what_it_is(object in objects(values())) {
        prop_assert_eq!(shaped(&serde_json::json!({}), &object), Value::Object(object));
    }

    #[test]
    fn what_is_denied_goes_and_nothing_else(object in objects(values()), paths in paths()) {
        let mut expected = object.clone();
        for path in &paths {
            denied(&mut expected, &path.split('.').collect::<Vec<_>>());
        }
        prop_assert_eq!(shaped(&serde_json::json!({"deny": paths}), &object), Value::Object(expected));
    }

    #[test]
    fn what_stays_was_allowed(object in objects(values()), paths in paths()) {
        prop_assume!(!paths.is_empty());
        let shaped = shaped(&serde_json::json!({"allow": paths}), &object);
        // After everything below the allowed paths was removed, nothing may be left.
        let mut rest = shaped.as_object().expect("an object").clone();
        for path in &paths {
            denied(&mut rest, &path.split('.').collect::<Vec<_>>());
        }
        fn is_hollow(value: &Value) -> bool {
            value.as_object().is_some_and(|object| object.values().all(is_hollow))
        }
        prop_assert!(is_hollow(&Value::Object(rest)));
        // What remains is unchanged.
        fn is_part(part: &Value, whole: &Value) -> bool {
            match (part, whole) {
                (Value::Object(part), Value::Object(whole)) => part
                    .iter()
                    .all(|(name, value)| whole.get(name).is_some_and(|whole| is_part(value, whole))),
                (part, whole) => part == whole,
            }
        }
        prop_assert!(is_part(&shaped, &Value::Object(object)));
    }
}
