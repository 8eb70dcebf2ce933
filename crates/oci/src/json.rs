//! JSON as documents from a registry are read: objects only where objects belong, lists with an end, nesting with a floor.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::DocumentError;
use crate::error::DocumentKind;

/// How deep a document may nest. Those in the field stay under ten; the parser itself gives up at 128, but only where it looks inside.
const MAX_DEPTH: usize = 64;

/// Reads one JSON object of at most `limit` bytes.
pub(crate) fn parse<'de, T: Deserialize<'de>>(
    what: DocumentKind,
    bytes: &'de [u8],
    limit: usize,
) -> Result<T, DocumentError> {
    if bytes.len() > limit {
        return Err(DocumentError::TooLarge { what, size: bytes.len(), limit });
    }
    if nests_deeper(bytes, MAX_DEPTH) {
        return Err(DocumentError::TooDeep { what, limit: MAX_DEPTH });
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    object(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|source| DocumentError::Json { what, source })
}

/// Whether brackets outside of strings nest deeper than `limit`. DocumentKind is no JSON at all, the parser finds out afterwards.
fn nests_deeper(bytes: &[u8], limit: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// Reads a struct from an object alone. A derived `Deserialize` takes an array of the members' values as well, which no peer does.
pub(crate) fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct Object<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }

    deserializer.deserialize_map(Object(PhantomData))
}

/// Reads a member so that absent (`None`), null (`Some(None)`) and a value stay apart; use with `#[serde(default)]`.
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(d).map(Some)
}

/// Reads a member that may be null, which Go writes for an empty list, map or pointer; use with `#[serde(default)]`.
pub(crate) fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(d: D) -> Result<T, D::Error> {
    Option::deserialize(d).map(Option::unwrap_or_default)
}

/// A struct that is read by [`object`], for use inside of other types.
#[derive(Debug, Default)]
pub(crate) struct Strict<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Strict<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        object(deserializer).map(Self)
    }
}

/// A list of which no more than `N` members are kept, while all are counted.
#[derive(Debug)]
pub(crate) struct Bounded<T, const N: usize> {
    kept: Vec<T>,
    count: usize,
}

impl<T, const N: usize> Default for Bounded<T, N> {
    fn default() -> Self {
        Self { kept: Vec::new(), count: 0 }
    }
}

impl<T, const N: usize> Bounded<T, N> {
    /// The members, unless there were more than `N`.
    pub(crate) fn all(self, what: &'static str) -> Result<Vec<T>, DocumentError> {
        if self.count > N {
            return Err(DocumentError::TooMany { what, count: self.count, limit: N });
        }
        Ok(self.kept)
    }
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for Bounded<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T, const N: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for List<T, N> {
            type Value = Bounded<T, N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut list = Bounded::default();
                while list.count < N
                    && let Some(member) = seq.next_element()?
                {
                    list.kept.push(member);
                    list.count += 1;
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    list.count += 1;
                }
                Ok(list)
            }
        }

        deserializer.deserialize_seq(List(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_is_counted_outside_of_strings() {
        for (text, depth) in
            [("1", 0), ("{}", 1), ("[[],[]]", 2), (r#"{"a":"[[[["}"#, 1), (r#"{"a\"[[":"\\"}"#, 1), ("]]]]{", 1)]
        {
            assert!(!nests_deeper(text.as_bytes(), depth), "{text}");
            assert!(depth == 0 || nests_deeper(text.as_bytes(), depth - 1), "{text}");
        }
    }

    #[test]
    fn a_list_is_counted_beyond_what_is_kept() {
        let list: Bounded<u8, 3> = serde_json::from_str("[1,2,3]").unwrap();
        assert_eq!(list.all("numbers").unwrap(), [1, 2, 3]);
        let list: Bounded<u8, 3> = serde_json::from_str("[1,2,3,4,{}]").unwrap();
        assert_eq!(list.kept.len(), 3);
        assert_eq!(list.all("numbers").unwrap_err().to_string(), "5 numbers are more than the 3 that are taken");
    }
}
