//! Lists of KMS, in pages.

use serde_json::{Map, Value, json};

use super::{Answer, Problem, find, seconds, visible};
use crate::aws::state::{State, alias_arn, key_arn};

/// The entries of one page, and the marker of the next.
fn page(
    state: &State,
    input: &Map<String, Value>,
    all: Vec<(String, Value)>,
    most: u64,
    usual: u64,
) -> Result<(Vec<Value>, Option<String>), Problem> {
    let limit = input
        .get("Limit")
        .map_or(Some(usual), Value::as_u64)
        .filter(|limit| (1..=most).contains(limit));
    let limit = usize::try_from(limit.ok_or_else(|| Problem::validation("Limit"))?).unwrap();
    let limit = state.page.map_or(limit, |page| page.min(limit));
    let after = input.get("Marker").and_then(Value::as_str).unwrap_or_default();
    let mut rest = all.into_iter().filter(|(name, _)| name.as_str() > after);
    let entries: Vec<(String, Value)> = rest.by_ref().take(limit).collect();
    let marker = rest.next().and_then(|_| entries.last().map(|(name, _)| name.clone()));
    Ok((entries.into_iter().map(|(_, entry)| entry).collect(), marker))
}

fn paged(name: &str, (entries, marker): (Vec<Value>, Option<String>)) -> Value {
    let mut answer = json!({name: entries, "Truncated": marker.is_some()});
    if let Some(marker) = marker {
        answer["NextMarker"] = json!(marker);
    }
    answer
}

pub(super) fn keys(state: &mut State, input: &Map<String, Value>) -> Answer {
    let first = !input.contains_key("Marker");
    let shown = |hidden: &mut u32| if first { visible(hidden) } else { *hidden == 0 };
    let all = state
        .keys
        .iter_mut()
        .filter_map(|(id, key)| shown(&mut key.hidden).then(|| id.clone()))
        .map(|id| (id.clone(), json!({"KeyId": id, "KeyArn": key_arn(&id)})))
        .collect();
    page(state, input, all, 1000, 100).map(|page| paged("Keys", page))
}

pub(super) fn aliases(state: &mut State, input: &Map<String, Value>) -> Answer {
    let of = match input.contains_key("KeyId") {
        true => Some(find(state, input, "KeyId")?),
        false => None,
    };
    let first = !input.contains_key("Marker");
    let mut all = Vec::new();
    for (name, alias) in &mut state.aliases {
        let shown = if first {
            visible(&mut alias.hidden)
        } else {
            alias.hidden == 0
        };
        if shown && of.as_ref().is_none_or(|of| *of == alias.key) {
            let mut entry = json!({
                "AliasName": name,
                "AliasArn": alias_arn(name),
                "TargetKeyId": alias.key,
            });
            if !state.dateless {
                entry["CreationDate"] = seconds(alias.created_at);
                entry["LastUpdatedDate"] = seconds(alias.updated_at);
            }
            all.push((name.clone(), entry));
        }
    }
    // Every account has some aliases that have no key until they are first used.
    all.push((
        "alias/aws/s3".to_owned(),
        json!({"AliasName": "alias/aws/s3", "AliasArn": alias_arn("alias/aws/s3")}),
    ));
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    page(state, input, all, 100, 50).map(|page| paged("Aliases", page))
}

pub(super) fn tags(state: &mut State, input: &Map<String, Value>) -> Answer {
    let id = find(state, input, "KeyId")?;
    let tags: Vec<Value> = state.keys[&id]
        .tags
        .iter()
        .map(|(name, value)| json!({"TagKey": name, "TagValue": value}))
        .collect();
    Ok(json!({"Tags": tags, "Truncated": false}))
}
