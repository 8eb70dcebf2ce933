//! Shapes of JSON: which members there are, of which types, and some values.
//!
//! - `"string"`, `"number"`, `"boolean"`, `"null"`, `"map"`, `"digest"`, `"time"`: a type; `"string|null"`: one of several;
//! - `"=text"`: this text; `"@name"`: a shape that has a name; numbers, truth values and `null`: themselves;
//! - `{"a": …, "b?": …}`: these members and no others, `b` perhaps; `{"...": "@name", …}`: those of a shape with a name, too;
//! - `{"*": …}`: any names, and such values; `{"|": […]}`: one of several shapes;
//! - `[…]`: so many items in this order; `["*", …]`: at least one, each like one of the shapes behind the `*`; `{"any order": […]}`: so many,
//!   each like another one of the shapes.

use serde_json::{Map, Value};

use super::names::is_like;

/// Shapes by their names, filled.
pub(super) type Shapes = Map<String, Value>;

/// What is wrong with `value`, with the place where it is; nothing if it has the shape.
pub(super) fn wrong(shapes: &Shapes, shape: &Value, value: &Value, at: &str) -> Option<String> {
    match (shape, value) {
        (Value::String(name), _) if name.starts_with('@') => wrong(shapes, named(shapes, name), value, at),
        (Value::String(text), _) if text.starts_with('=') => {
            let is_it = value.as_str().is_some_and(|found| is_like(found, &text[1..]));
            (!is_it).then(|| format!("{at} is {value}, expected `{}`", &text[1..]))
        }
        (Value::String(types), _) => {
            let is_one = types.split('|').any(|kind| is_a(kind, value));
            (!is_one).then(|| format!("{at} is {value}, expected {types}"))
        }
        (Value::Object(members), _) if members.contains_key("|") => {
            let shapes_of = members["|"].as_array().unwrap().iter();
            let all: Option<Vec<String>> = shapes_of.map(|shape| wrong(shapes, shape, value, at)).collect();
            all.map(|all| all.join("; or: "))
        }
        (Value::Object(members), _) if members.contains_key("any order") => {
            let mut rest = members["any order"].as_array().unwrap().clone();
            let found = value.as_array().cloned().unwrap_or_default();
            let all = found.iter().all(|value| {
                let place = rest.iter().position(|shape| wrong(shapes, shape, value, at).is_none());
                place.map(|place| rest.remove(place)).is_some()
            });
            (!all || !rest.is_empty()).then(|| format!("{at} is {value}, expected {}", members["any order"]))
        }
        (Value::Object(members), Value::Object(found)) => wrong_member(shapes, &spread(shapes, members), found, at),
        (Value::Array(items), Value::Array(found)) => wrong_item(shapes, items, found, at),
        _ => (shape != value).then(|| format!("{at} is {value}, expected {shape}")),
    }
}

fn named<'a>(shapes: &'a Shapes, name: &str) -> &'a Value {
    shapes.get(&name[1..]).unwrap_or_else(|| panic!("there is no shape `{name}`"))
}

fn is_a(kind: &str, value: &Value) -> bool {
    match kind {
        "string" => value.is_string(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "map" => value.is_object(),
        "digest" => value.as_str().is_some_and(|text| text.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64)),
        "time" => value.as_str().is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok()),
        _ => panic!("`{kind}` is no type"),
    }
}

/// The members of a shape, with those that it takes over.
fn spread(shapes: &Shapes, members: &Map<String, Value>) -> Map<String, Value> {
    let Some(base) = members.get("...") else { return members.clone() };
    let base = named(shapes, base.as_str().unwrap()).as_object().unwrap();
    let mut all = spread(shapes, base);
    for (key, value) in members.iter().filter(|(key, _)| *key != "...") {
        all.remove(key.trim_end_matches('?'));
        all.insert(key.clone(), value.clone());
    }
    all
}

fn wrong_member(shapes: &Shapes, members: &Map<String, Value>, found: &Map<String, Value>, at: &str) -> Option<String> {
    if let Some(each) = members.get("*") {
        return found.iter().find_map(|(key, value)| wrong(shapes, each, value, &format!("{at}.{key}")));
    }
    let surplus = found.keys().find(|key| !members.contains_key(*key) && !members.contains_key(&format!("{key}?")));
    if let Some(key) = surplus {
        return Some(format!("{at}.{key} is {}, and should not be there", found[key]));
    }
    members.iter().find_map(|(key, shape)| {
        let (key, is_optional) = key.strip_suffix('?').map_or((key.as_str(), false), |key| (key, true));
        match found.get(key) {
            Some(value) => wrong(shapes, shape, value, &format!("{at}.{key}")),
            None if is_optional => None,
            None => Some(format!("{at}.{key} is missing")),
        }
    })
}

fn wrong_item(shapes: &Shapes, items: &[Value], found: &[Value], at: &str) -> Option<String> {
    if items.first().is_some_and(|first| first == "*") {
        if found.is_empty() {
            return Some(format!("{at} is empty"));
        }
        let any = serde_json::json!({"|": items[1..]});
        return (0..).zip(found).find_map(|(number, value)| wrong(shapes, &any, value, &format!("{at}[{number}]")));
    }
    if items.len() != found.len() {
        let found = Value::Array(found.to_vec());
        return Some(format!("{at} has not {} items: {found}", items.len()));
    }
    (0..).zip(items.iter().zip(found)).find_map(|(number, (item, value))| {
        let number: usize = number;
        wrong(shapes, item, value, &format!("{at}[{number}]"))
    })
}

#[test]
fn a_shape_is_kept_or_the_place_is_told() {
    use serde_json::json;
    let shapes = json!({"row": {"id": "digest", "tags": ["*", "string"], "size?": "number"}});
    let shapes = shapes.as_object().unwrap();
    let told = |shape: Value, value: Value| wrong(shapes, &shape, &value, "answer");
    let id = format!("sha256:{}", "0".repeat(64));
    let row = json!({"id": id, "tags": ["a"]});
    assert_eq!(told(json!(["*", "@row"]), json!([row, row])), None);
    assert_eq!(told(json!({"...": "@row", "more": null}), json!({"id": id, "tags": ["a"], "more": null})), None);
    assert_eq!(told(json!({"a": "string|null", "b": "=x {*}"}), json!({"a": null, "b": "x y"})), None);
    for (shape, value, words) in [
        (json!("@row"), json!({"id": id, "tags": []}), "answer.tags is empty"),
        (json!("@row"), json!({"id": "x", "tags": ["a"]}), "answer.id is \"x\", expected digest"),
        (json!(["string"]), json!(["a", "b"]), "answer has not 1 items: [\"a\",\"b\"]"),
        (json!({"a": "null"}), json!({"a": null, "b": 1}), "answer.b is 1, and should not be there"),
        (json!({"a": 1}), json!({}), "answer.a is missing"),
        (json!({"a": []}), json!({"a": null}), "answer.a is null, expected []"),
    ] {
        assert_eq!(told(shape, value).as_deref(), Some(words));
    }
}
