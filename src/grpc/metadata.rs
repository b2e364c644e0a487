//! Claims as Envoy's dynamic metadata: JSON as `google.protobuf.Struct`.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

/// The object. Numbers are doubles there, so integers beyond 2^53 lose their last digits: the token has them whole.
#[must_use]
pub fn as_struct(object: &serde_json::Map<String, serde_json::Value>) -> Struct {
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
        serde_json::Value::Number(value) => Kind::NumberValue(value.as_f64().unwrap_or_default()),
        serde_json::Value::String(value) => Kind::StringValue(value.clone()),
        serde_json::Value::Array(values) => Kind::ListValue(ListValue {
            values: values.iter().map(as_value).collect(),
        }),
        serde_json::Value::Object(object) => Kind::StructValue(as_struct(object)),
    };
    Value { kind: Some(kind) }
}
