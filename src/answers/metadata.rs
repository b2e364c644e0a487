//! Encodes claims as Envoy's dynamic metadata: JSON as `google.protobuf.Struct`.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

/// All integers up to this one can be stored in a double exactly (RFC 8259 §6).
const EXACT: u64 = 1 << 53;

/// Converts a JSON object.
///
/// `Struct` stores all numbers as doubles. An integer of up to 64 bits that a double may not represent exactly becomes
/// a text of its digits; if it were rounded, the number of one customer could become that of another.
///
/// Claims nest at most [`signet_core::json::DEEPEST`] levels deep. Each level takes three nested protobuf messages, and
/// Envoy accepts up to 100 levels of nesting.
pub(super) fn as_struct(object: &serde_json::Map<String, serde_json::Value>) -> Struct {
    Struct {
        fields: object
            .iter()
            .map(|(name, value)| (name.clone(), as_value(value)))
            .collect(),
    }
}

fn as_value(value: &serde_json::Value) -> Value {
    let kind = match value {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(value) => Kind::BoolValue(*value),
        serde_json::Value::Number(number) => as_number(number),
        serde_json::Value::String(value) => Kind::StringValue(value.clone()),
        serde_json::Value::Array(values) => Kind::ListValue(ListValue {
            values: values.iter().map(as_value).collect(),
        }),
        serde_json::Value::Object(object) => Kind::StructValue(as_struct(object)),
    };
    Value { kind: Some(kind) }
}

fn as_number(number: &serde_json::Number) -> Kind {
    let integer = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
    match number.as_f64() {
        Some(double) if integer.is_none_or(|integer| integer <= EXACT) => Kind::NumberValue(double),
        _ => Kind::StringValue(number.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(json: &str) -> Struct {
        as_struct(&serde_json::from_str(json).expect("a JSON object"))
    }

    fn kind(json: &str) -> Kind {
        let claims = converted(&format!(r#"{{"claim":{json}}}"#));
        claims.fields["claim"].kind.clone().expect("a kind")
    }

    #[test]
    fn each_kind_of_claim_becomes_its_own() {
        assert_eq!(kind("null"), Kind::NullValue(0));
        assert_eq!(kind("true"), Kind::BoolValue(true));
        assert_eq!(kind("-1.5e3"), Kind::NumberValue(-1500.0));
        assert_eq!(kind(r#""\u00c6r\u00f8""#), Kind::StringValue("Ærø".to_owned()));
        assert_eq!(kind("[]"), Kind::ListValue(ListValue::default()));
        assert_eq!(kind("{}"), Kind::StructValue(Struct::default()));
    }

    #[test]
    fn an_integer_that_a_double_cannot_hold_is_text_and_never_its_neighbour() {
        assert_eq!(kind("9007199254740992"), Kind::NumberValue(9_007_199_254_740_992.0));
        assert_eq!(kind("-9007199254740992"), Kind::NumberValue(-9_007_199_254_740_992.0));
        for beyond in [
            "9007199254740993",
            "-9007199254740993",
            "9223372036854775807",
            "-9223372036854775808",
            "18446744073709551615",
        ] {
            assert_eq!(kind(beyond), Kind::StringValue(beyond.to_owned()));
        }
    }

    #[test]
    fn nested_claims_keep_their_shape() {
        let claims = converted(r#"{"org":{"name":"Ærø","teams":[{"id":42},["a",false]]}}"#);
        let value = |kind| Value { kind: Some(kind) };
        let object = |fields: &[(&str, Value)]| {
            let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
            value(Kind::StructValue(Struct {
                fields: fields.collect(),
            }))
        };
        let list = |values: Vec<Value>| value(Kind::ListValue(ListValue { values }));
        let text = |text: &str| value(Kind::StringValue(text.to_owned()));
        let teams = list(vec![
            object(&[("id", value(Kind::NumberValue(42.0)))]),
            list(vec![text("a"), value(Kind::BoolValue(false))]),
        ]);
        let org = object(&[("name", text("Ærø")), ("teams", teams)]);
        assert_eq!(claims.fields.into_iter().collect::<Vec<_>>(), [("org".to_owned(), org)]);
    }
}
