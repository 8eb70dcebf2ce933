//! What placeholders stand for: `{plain}` for a registry's host and port, `{busybox}` for the digest of an image, and so on.

use std::collections::BTreeMap;

use layer_testkit::image::Image;
use serde_json::Value;

/// Stands for any text, in what is expected.
const ANYTHING: &str = "{*}";

/// The names and what they stand for in this run.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<String, String>);

impl Names {
    pub(super) fn add(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// Names an image's digest, `{name/short}` and `{name/size}` of its top document, and for its layers, the lowest first, `{name.1}`, as
    /// lines of progress begin with it, and `{name.1/digest}`.
    pub(super) fn add_image(&mut self, name: &str, image: &Image) {
        self.add(name, image.digest());
        self.add(format!("{name}/short"), short(image.digest()));
        self.add(format!("{name}/size"), image.top.bytes.len().to_string());
        for (number, layer) in (1..).zip(&image.layers) {
            self.add(format!("{name}.{number}"), short(&layer.blob.digest));
            self.add(format!("{name}.{number}/digest"), &*layer.blob.digest);
        }
    }

    /// Puts values in the place of names. `{name%}` is the value as it stands in a query.
    pub(super) fn fill(&self, text: &str) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            filled.push_str(before);
            let name = after.split_once('}').map(|(name, _)| name).filter(|name| is_name(name));
            let Some(name) = name else {
                filled.push('{');
                rest = after;
                continue;
            };
            filled.push_str(&self.value(name));
            rest = &after[name.len() + 1..];
        }
        filled + rest
    }

    /// The same for every text in `value`, the names of members too.
    pub(super) fn fill_all(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.fill(text).into(),
            Value::Array(items) => items.iter().map(|item| self.fill_all(item)).collect(),
            Value::Object(members) => {
                members.iter().map(|(key, value)| (self.fill(key), self.fill_all(value))).collect()
            }
            _ => value.clone(),
        }
    }

    fn value(&self, name: &str) -> String {
        if name == "*" {
            return ANYTHING.to_owned();
        }
        let (name, is_encoded) = name.strip_suffix('%').map_or((name, false), |name| (name, true));
        let value = self.0.get(name).unwrap_or_else(|| panic!("a case names `{name}`, which stands for nothing"));
        if is_encoded { value.replace(':', "%3A").replace('/', "%2F") } else { value.clone() }
    }
}

fn is_name(text: &str) -> bool {
    text == "*" || text.starts_with(|first: char| first.is_ascii_lowercase()) && !text.contains(['{', '"', ',', ':'])
}

fn short(digest: &str) -> &str {
    &digest["sha256:".len()..][..12]
}

/// Whether a filled text is `expected`, in which `{*}` stands for any text.
pub(super) fn is_like(text: &str, expected: &str) -> bool {
    let parts: Vec<&str> = expected.split(ANYTHING).collect();
    let [first, between @ .., last] = &parts[..] else { return text == expected };
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    for part in between {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[test]
fn names_are_filled_in_and_what_is_no_name_stays() {
    let mut names = Names::default();
    names.add("plain", "127.0.0.1:5");
    assert_eq!(names.fill("{plain}/a?b={plain%}&c={\"d\": {}}"), "127.0.0.1:5/a?b=127.0.0.1%3A5&c={\"d\": {}}");
    assert!(is_like("a b c", "a {*} c") && is_like("a", "a") && is_like("ab", "{*}b") && is_like("ab", "a{*}"));
    assert!(!is_like("ab", "a") && !is_like("a b", "a {*} c") && !is_like("ab", "b{*}"));
}
