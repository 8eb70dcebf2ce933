//! Filters of lists.
//!
//! They come as JSON, in either of two forms: `{"label":["a"]}`, or `{"label":{"a":true}}` as docker's own client writes it.

use std::collections::BTreeMap;

use layer_engine::ImageSummary;
use layer_reference::Reference;
use serde::Deserialize;

use crate::error::ApiError;

/// What a list is to be reduced to.
#[derive(Debug, Default)]
pub(crate) struct Filters(BTreeMap<String, Vec<String>>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    List(Vec<String>),
    Set(BTreeMap<String, bool>),
}

impl Filters {
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, ApiError> {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(Self::default()) };
        let parsed: BTreeMap<String, Values> =
            serde_json::from_str(text).map_err(|_| ApiError::bad_request("invalid filter"))?;
        let values = |values| match values {
            Values::List(list) => list,
            Values::Set(set) => set.into_iter().filter(|(_, on)| *on).map(|(value, _)| value).collect(),
        };
        let filters: BTreeMap<_, _> = parsed.into_iter().map(|(key, value)| (key, values(value))).collect();
        let known = ["reference", "label", "label!", "dangling", "before", "since"];
        match filters.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(ApiError::bad_request(format!("invalid filter '{key}'"))),
            None => Ok(Self(filters)),
        }
    }

    /// Leaves of a list what all filters let through. References of one filter are alternatives; labels are not.
    pub(crate) fn apply(&self, images: Vec<ImageSummary>) -> Result<Vec<ImageSummary>, ApiError> {
        let before = self.created("before", &images)?;
        let since = self.created("since", &images)?;
        let dangling = self.values("dangling").iter().map(|text| switch(text)).collect::<Result<Vec<_>, _>>()?;
        let through = |image: &ImageSummary| {
            dangling.iter().all(|wanted| *wanted == image.repo_tags.is_empty())
                && before.is_none_or(|time| image.created < time)
                && since.is_none_or(|time| image.created > time)
                && self.values("label").iter().all(|label| has_label(image, label))
                && !self.values("label!").iter().any(|label| has_label(image, label))
                && (self.values("reference").is_empty()
                    || self.values("reference").iter().any(|pattern| has_name(image, pattern)))
        };
        Ok(images.into_iter().filter(through).collect())
    }

    fn values(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    /// When the image was made that a filter names.
    #[expect(clippy::option_option, reason = "no filter, and a filter by an image that doesn't say when it was made")]
    fn created(&self, key: &str, images: &[ImageSummary]) -> Result<Option<Option<jiff::Timestamp>>, ApiError> {
        let Some(name) = self.values(key).first() else { return Ok(None) };
        let familiar = Reference::parse(name).map(|reference| reference.or_latest().familiar()).ok();
        let is_meant = |image: &&ImageSummary| {
            familiar.as_ref().is_some_and(|name| image.repo_tags.contains(name))
                || image.id.to_string().strip_prefix("sha256:").is_some_and(|hex| {
                    let name = name.strip_prefix("sha256:").unwrap_or(name);
                    name.len() >= 4 && hex.starts_with(name)
                })
        };
        let image = images.iter().find(is_meant);
        image
            .map(|image| Some(image.created))
            .ok_or_else(|| ApiError::not_found(format!("No such image: {}", familiar.unwrap_or_else(|| name.clone()))))
    }
}

fn switch(text: &str) -> Result<bool, ApiError> {
    match text {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(ApiError::bad_request(format!("invalid filter 'dangling=[{text}]'"))),
    }
}

fn has_label(image: &ImageSummary, label: &str) -> bool {
    let Some(labels) = &image.labels else { return false };
    match label.split_once('=') {
        Some((name, value)) => labels.get(name).is_some_and(|known| known == value),
        None => labels.contains_key(label),
    }
}

/// Whether one of an image's names fits a pattern, with or without its tag.
fn has_name(image: &ImageSummary, pattern: &str) -> bool {
    image.repo_tags.iter().any(|name| {
        let repository = Reference::parse(name).map(|reference| reference.repository().familiar());
        fits(pattern, name) || repository.is_ok_and(|repository| fits(pattern, &repository))
    })
}

/// Shell patterns, in which `*` and `?` stop at slashes.
fn fits(pattern: &str, text: &str) -> bool {
    fn rest(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', after @ ..], _) => {
                // Patterns are short, and each star looks at what is left of one component.
                let end = text.iter().position(|byte| *byte == b'/').unwrap_or(text.len());
                (0..=end).any(|taken| rest(after, &text[taken..]))
            }
            ([b'?', after @ ..], [byte, text @ ..]) if *byte != b'/' => rest(after, text),
            ([b'[', after @ ..], [byte, text @ ..]) => {
                let Some(end) = after.iter().position(|byte| *byte == b']') else { return false };
                let (set, after) = (&after[..end], &after[end + 1..]);
                let (negated, set) = match set {
                    [b'^', set @ ..] => (true, set),
                    set => (false, set),
                };
                let mut found = false;
                let mut at = 0;
                while at < set.len() {
                    if set.len() > at + 2 && set[at + 1] == b'-' {
                        found |= (set[at]..=set[at + 2]).contains(byte);
                        at += 3;
                    } else {
                        found |= set[at] == *byte;
                        at += 1;
                    }
                }
                found != negated && rest(after, text)
            }
            ([b'\\', literal, pattern @ ..], [byte, text @ ..]) => literal == byte && rest(pattern, text),
            ([literal, pattern @ ..], [byte, text @ ..]) => literal == byte && rest(pattern, text),
            _ => false,
        }
    }
    // More stars than any name has parts would only cost time.
    pattern.bytes().filter(|byte| *byte == b'*').count() <= 8 && rest(pattern.as_bytes(), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        for text in [r#"{"reference":["alpine"]}"#, r#"{"reference":{"alpine":true,"other":false}}"#] {
            assert_eq!(Filters::parse(Some(text)).unwrap().values("reference"), ["alpine"]);
        }
        assert!(Filters::parse(Some("")).unwrap().0.is_empty());
        assert_eq!(Filters::parse(Some("{")).unwrap_err().message(), "invalid filter");
        assert_eq!(Filters::parse(Some(r#"{"nope":["1"]}"#)).unwrap_err().message(), "invalid filter 'nope'");
    }

    #[test]
    fn patterns() {
        for (pattern, text) in [
            ("alpine", "alpine"),
            ("alp*", "alpine"),
            ("*:latest", "alpine:latest"),
            ("lab/*", "lab/app"),
            ("*/*/app", "127.0.0.1:5000/lab/app"),
            ("a?pine", "alpine"),
            ("[a-c]lpine", "alpine"),
            ("[^x]lpine", "alpine"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("alp", "alpine"), ("*", "lab/app"), ("lab?app", "lab/app"), ("[x]lpine", "alpine"), ("[", "a")]
        {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }
}
