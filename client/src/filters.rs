//! Filters, from the words of the command line to docker's JSON.

use serde_json::{Map, Value};

/// A key, and what is wanted of it.
pub(crate) type Filter = (String, String);

/// Reads `KEY=VALUE`, and docker's `KEY!=VALUE`, whose key ends with the mark.
pub(crate) fn parse(text: &str) -> Result<Filter, String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_ascii_lowercase(), value.trim().to_owned())),
        _ => Err("a filter is KEY=VALUE, such as until=24h".to_owned()),
    }
}

/// The filters as the API takes them: for each key the set of its values.
pub(crate) fn json<'a>(filters: impl IntoIterator<Item = (&'a str, &'a str)>) -> Value {
    let mut keys = Map::new();
    for (key, value) in filters {
        let values = keys.entry(key).or_insert_with(|| Value::Object(Map::new()));
        if let Some(values) = values.as_object_mut() {
            values.insert(value.to_owned(), Value::Bool(true));
        }
    }
    Value::Object(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_can_have_a_mark_and_several_values() {
        let parsed: Vec<_> = ["until=24h", "label!=a=b", "Label=c", "label=d"].map(|text| parse(text).unwrap()).into();
        let want =
            serde_json::json!({"until": {"24h": true}, "label!": {"a=b": true}, "label": {"c": true, "d": true}});
        assert_eq!(json(parsed.iter().map(|(key, value)| (&**key, &**value))), want);
        for text in ["", "x", "=x", " =x"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
