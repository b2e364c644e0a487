//! The namespace `validation/json-schema`: what the body of a request must look like.
//!
//! A schema is compiled at the start. It can refer to parts of itself, and to nothing else: nothing is fetched.

use std::fmt::Write as _;

use jsonschema::{Draft, PatternOptions, Retrieve, Uri, Validator};
use serde_json::Value;

use crate::file::Section;
use crate::room::Room;

const NAMESPACE: &str = "validation/json-schema";
/// The maximum body in bytes that is checked.
pub const LONGEST: usize = 1024 * 1024;
/// What a body takes once it is parsed, at most, for each of its bytes. Nested arrays of one item take that much.
const PARSED: usize = 40;
/// The number of problems of a body that are told.
const MOST: usize = 10;

/// A schema, compiled.
#[derive(Debug)]
pub struct Schema(Validator);

/// Why a body is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The body does not have the form that the schema describes. The text says why.
    Body(String),
    /// There is no memory to parse the body now.
    NoMemory,
}

/// Refuses to fetch anything.
struct Nowhere;

impl Retrieve for Nowhere {
    fn retrieve(&self, _: &Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Err("schemas at other places are never fetched; copy it into this schema, and refer to it there".into())
    }
}

impl Schema {
    /// Reads the schema of an endpoint. Reports a problem with it.
    pub fn read(endpoint: &Section<'_>) -> Option<Self> {
        let extra = endpoint.section("extra_config")?;
        let schema: Value = serde_json::from_str(&extra.node(NAMESPACE)?.to_string()).ok()?;
        // The drafts that KrakenD takes a schema for if it does not say its own.
        let compiled = match schema.get("$schema") {
            Some(_) => compile(&schema, None),
            None => compile(&schema, Some(Draft::Draft7))
                .or_else(|why| compile(&schema, Some(Draft::Draft4)).map_err(|_| why)),
        };
        compiled
            .map_err(|why| extra.refuse(NAMESPACE, format!("this is no schema: {why}")))
            .ok()
            .map(Self)
    }

    /// Checks the body of a request.
    ///
    /// # Errors
    /// [`Unfit`], if the request must not go on.
    pub fn check(&self, body: &[u8]) -> Result<(), Unfit> {
        if body.is_empty() {
            return Err(Unfit::Body(
                "the request has no body, and a JSON body is required".to_owned(),
            ));
        }
        let mut room = Room::default();
        room.grow(body.len().saturating_mul(PARSED))
            .map_err(|_| Unfit::NoMemory)?;
        let value: Value =
            serde_json::from_slice(body).map_err(|error| Unfit::Body(format!("the body is not JSON: {error}")))?;
        if self.0.is_valid(&value) {
            return Ok(());
        }
        let mut text = String::new();
        for error in self.0.iter_errors(&value).take(MOST) {
            // Without the value itself, which may be long.
            let _ = writeln!(text, "- {}: {}", error.instance_path(), error.masked());
        }
        Err(Unfit::Body(text.trim_end().to_owned()))
    }
}

fn compile(schema: &Value, draft: Option<Draft>) -> Result<Validator, String> {
    let mut options = jsonschema::options()
        .with_retriever(Nowhere)
        .should_validate_formats(true);
    // Patterns in linear time, as in KrakenD.
    options = options.with_pattern_options(PatternOptions::regex());
    if let Some(draft) = draft {
        options = options.with_draft(draft);
    }
    options.build(schema).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::file::{Report, json};

    fn read(schema: &str) -> (Option<Schema>, Report) {
        let node = json::parse(&format!(r#"{{"extra_config":{{"validation/json-schema":{schema}}}}}"#)).expect("JSON");
        let report: RefCell<Report> = RefCell::default();
        let schema = Schema::read(&Section::root(&node, &report));
        (schema, report.into_inner())
    }

    #[test]
    fn a_body_must_have_the_form_of_the_schema() {
        let (schema, report) = read(
            r##"{"type":"object","required":["id"],"properties":{"id":{"$ref":"#/definitions/id"},"mail":{"format":"email"},
                "code":{"pattern":"^(a|aa)+$"}},"definitions":{"id":{"type":"integer","minimum":1}}}"##,
        );
        assert!(report.is_good(), "{}", report.to_text("file"));
        let schema = schema.expect("a schema");
        for body in [r#"{"id":1}"#, r#"{"id":1,"mail":"a@b.test","code":"aa"}"#] {
            assert_eq!(schema.check(body.as_bytes()), Ok(()), "{body}");
        }
        let long = format!(r#"{{"id":1,"code":"{}!"}}"#, "a".repeat(100_000));
        for body in [
            "",
            "{",
            "[]",
            "{}",
            r#"{"id":0}"#,
            r#"{"id":1,"mail":"a"}"#,
            r#"{"id":1} x"#,
            &long,
            "\u{fffd}",
        ] {
            assert!(
                matches!(schema.check(body.as_bytes()), Err(Unfit::Body(_))),
                "{body:.40}"
            );
        }
        assert!(matches!(schema.check(b"\"\xff\""), Err(Unfit::Body(_))));
        let Err(Unfit::Body(text)) = schema.check(br#"{"id":0,"mail":"secret"}"#) else {
            panic!("refused");
        };
        assert!(
            text.contains("/id") && text.contains("/mail") && !text.contains("secret"),
            "{text}"
        );
    }

    #[test]
    fn a_schema_of_draft_4_is_read_as_such() {
        let (schema, report) = read(r#"{"type":"integer","maximum":5,"exclusiveMaximum":true}"#);
        assert!(report.is_good(), "{}", report.to_text("file"));
        let schema = schema.expect("a schema");
        assert!(schema.check(b"4").is_ok() && schema.check(b"5").is_err());
    }

    #[test]
    fn a_bad_schema_and_one_elsewhere_are_refused() {
        for schema in [
            r#"{"type":"objct"}"#,
            r#"{"pattern":"a("}"#,
            r#"{"pattern":"(?=a)"}"#,
            r#"{"$ref":"http://127.0.0.1:1/schema.json"}"#,
            r#"{"properties":{"a":{"$ref":"https://example.com/schema.json#/a"}}}"#,
            r#"{"$ref":"file:///etc/hostname"}"#,
            r##"{"$ref":"#/definitions/none"}"##,
            r#"{"$schema":"http://example.com/own"}"#,
        ] {
            let (_, report) = read(schema);
            assert!(!report.is_good(), "{schema}");
            assert!(report.to_text("file").contains("validation/json-schema"), "{schema}");
        }
    }
}
