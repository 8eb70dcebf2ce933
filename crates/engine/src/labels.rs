//! Conditions on the labels of images.

use std::collections::BTreeMap;

/// A condition on labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelCondition {
    /// The label.
    pub key: String,
    /// Its value; any, if there is none.
    pub value: Option<String>,
    /// Whether it must be there; else it must not.
    pub wanted: bool,
}

impl LabelCondition {
    /// Reads `key` or `key=value`.
    pub fn parse(text: &str, wanted: bool) -> Self {
        match text.split_once('=') {
            Some((key, value)) => Self { key: key.to_owned(), value: Some(value.to_owned()), wanted },
            None => Self { key: text.to_owned(), value: None, wanted },
        }
    }

    /// Whether it holds for an image with these labels.
    pub fn holds(&self, labels: Option<&BTreeMap<String, String>>) -> bool {
        let found = labels.and_then(|labels| labels.get(&self.key));
        let is_there = found.is_some_and(|found| self.value.as_ref().is_none_or(|value| value == found));
        is_there == self.wanted
    }
}
