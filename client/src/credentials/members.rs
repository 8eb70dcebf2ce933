//! The members of a JSON object in their order, each as it was written: what isn't changed is written as it was read.

use std::fmt::{self, Write as _};

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of an object. Of several with one name the last counts, as JSON's parsers have it.
///
/// No `Debug`: there are secrets in it.
#[derive(Default)]
pub(crate) struct Members(Vec<(String, Box<RawValue>)>);

impl Members {
    /// The names, in their order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The value of a member.
    pub(crate) fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.iter().rfind(|(own, _)| own == name).map(|(_, value)| &**value)
    }

    /// Gives a member another value, in its place; a new one comes last.
    pub(crate) fn set(&mut self, name: &str, value: Box<RawValue>) {
        match self.0.iter().position(|(own, _)| own == name) {
            None => self.0.push((name.to_owned(), value)),
            Some(at) => {
                self.0[at].1 = value;
                let mut place = 0;
                self.0.retain(|(own, _)| {
                    place += 1;
                    place - 1 == at || own != name
                });
            }
        }
    }

    /// Takes out the members whose names `unwanted` says; whether there were any.
    pub(crate) fn remove(&mut self, unwanted: impl Fn(&str) -> bool) -> bool {
        let before = self.0.len();
        self.0.retain(|(name, _)| !unwanted(name));
        self.0.len() < before
    }

    /// The object as text, one member a line, `depth` tabs deep as docker lays it out.
    pub(crate) fn text(&self, depth: usize) -> String {
        if self.0.is_empty() {
            return "{}".into();
        }
        let (inner, outer) = ("\t".repeat(depth + 1), "\t".repeat(depth));
        let mut text = String::from("{");
        for (number, (name, value)) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            // Writing to a `String` can't fail.
            let _ok = write!(text, "{comma}\n{inner}{}: {}", serde_json::Value::from(name.as_str()), value.get());
        }
        let _ok = write!(text, "\n{outer}}}");
        text
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.into()).unwrap()
    }

    #[test]
    fn what_is_not_changed_stays_as_it_was_written() {
        let text = "{\"z\": 1.50, \"a\\n\": {\"y\" : 2,\n\t\"b\": [1e400]}, \"m\": null}";
        let mut members: Members = serde_json::from_str(text).unwrap();
        members.set("m", raw("{}"));
        members.set("new", raw("[]"));
        let want = "{\n\t\"z\": 1.50,\n\t\"a\\n\": {\"y\" : 2,\n\t\"b\": [1e400]},\n\t\"m\": {},\n\t\"new\": []\n}";
        assert_eq!(members.text(0), want);
        assert_eq!(Members::default().text(3), "{}");
    }

    #[test]
    fn a_name_that_comes_twice_is_one_when_it_is_set() {
        let mut members: Members = serde_json::from_str(r#"{"a":1,"b":2,"a":3}"#).unwrap();
        assert_eq!(members.get("a").unwrap().get(), "3");
        members.set("a", raw("4"));
        assert_eq!(members.names().collect::<Vec<_>>(), ["a", "b"]);
        assert!(members.remove(|name| name == "a") && !members.remove(|name| name == "a"));
        assert!(members.get("a").is_none());
    }

    #[test]
    fn only_objects_have_members() {
        for text in ["[]", "1", "null", "\"x\""] {
            assert!(serde_json::from_str::<Members>(text).is_err(), "{text}");
        }
    }
}
