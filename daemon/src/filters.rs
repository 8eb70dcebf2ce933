//! Which images a list is about, and which events are told: docker's filters.

mod event;
mod glob;
pub(crate) mod moment;
mod prune;
mod search;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Timestamp, Zoned};
use layer_engine::{Engine, ImageSummary, LabelCondition};
use layer_reference::Reference;
use serde::Deserialize;

pub(crate) use event::EventFilter;
pub(crate) use search::SearchFilter;

use crate::failure::Failure;

/// Filters as they came: names, and the values of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filters(BTreeMap<String, BTreeSet<String>>);

/// The two forms that clients send.
#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    List(Vec<String>),
    /// An older form, which docker's own client still sends. The booleans say nothing.
    Set(BTreeMap<String, bool>),
}

/// Which images are listed. All conditions must hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct ImageFilter {
    dangling: Option<bool>,
    /// One of these must match, if there are any.
    references: Vec<String>,
    labels: Vec<LabelCondition>,
    /// Only images made before this.
    before: Option<Timestamp>,
    /// Only images made after this.
    since: Option<Timestamp>,
}

impl Filters {
    /// Reads the parameter `filters`; nothing is no filter.
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, Failure> {
        let Some(text) = text else { return Ok(Self::default()) };
        let filters: BTreeMap<String, Values> =
            serde_json::from_str(text).map_err(|_| Failure::invalid("invalid filter"))?;
        let values = |values| match values {
            Values::List(list) => list.into_iter().collect(),
            Values::Set(set) => set.into_keys().collect(),
        };
        Ok(Self(filters.into_iter().map(|(name, it)| (name, values(it))).collect()))
    }

    /// Adds a value.
    pub(crate) fn add(&mut self, name: &str, value: &str) {
        self.0.entry(name.to_owned()).or_default().insert(value.to_owned());
    }
}

impl ImageFilter {
    /// Understands the filters of a list of images. `before` and `since` name images, which `engine` knows.
    pub(crate) async fn new(filters: &Filters, engine: &Engine) -> Result<Self, Failure> {
        let mut filter = Self::default();
        for (name, values) in &filters.0 {
            let shown = || invalid(name, values);
            match &**name {
                "dangling" => filter.dangling = Some(boolean(values).ok_or_else(shown)?),
                "reference" => {
                    for pattern in values {
                        glob::check(pattern).map_err(|_| shown())?;
                    }
                    filter.references.extend(values.iter().cloned());
                }
                "label" => filter.labels.extend(values.iter().map(|text| LabelCondition::parse(text, true))),
                "label!" => filter.labels.extend(values.iter().map(|text| LabelCondition::parse(text, false))),
                "before" => {
                    for image in values {
                        filter.end(created(engine, image).await?);
                    }
                }
                "since" => {
                    for image in values {
                        let created = created(engine, image).await?;
                        filter.since = Some(filter.since.map_or(created, |since| since.max(created)));
                    }
                }
                "until" => {
                    let now = Zoned::now();
                    for text in values {
                        filter.end(moment::parse(text, &now).ok_or_else(shown)?);
                    }
                }
                _ => return Err(Failure::invalid(format!("invalid filter '{name}'"))),
            }
        }
        Ok(filter)
    }

    fn end(&mut self, moment: Timestamp) {
        self.before = Some(self.before.map_or(moment, |before| before.min(moment)));
    }

    /// The image, if it is one of those, with the names that it is looked for by.
    pub(crate) fn narrow(&self, mut image: ImageSummary) -> Option<ImageSummary> {
        if !self.takes(&image) {
            return None;
        }
        if !self.references.is_empty() {
            image.repo_tags.retain(|name| self.names(name));
            let repositories: BTreeSet<_> = image.repo_tags.iter().filter_map(|name| repository(name)).collect();
            let is_meant = |name: &String| repository(name).is_some_and(|name| repositories.contains(&name));
            image.repo_digests.retain(|name| self.names(name) || is_meant(name));
        }
        Some(image)
    }

    fn takes(&self, image: &ImageSummary) -> bool {
        // An image that doesn't say when it was made counts as made in 1970.
        let created = image.created.unwrap_or(Timestamp::UNIX_EPOCH);
        let is_dangling = image.repo_tags.is_empty() && image.repo_digests.is_empty();
        self.dangling.is_none_or(|dangling| dangling == is_dangling)
            && self.before.is_none_or(|before| created < before)
            && self.since.is_none_or(|since| created > since)
            && self.labels.iter().all(|label| label.holds(image.labels.as_ref()))
            && (self.references.is_empty()
                || image.repo_tags.iter().chain(&image.repo_digests).any(|name| self.names(name)))
    }

    /// Whether a pattern describes a name: as it is shown, or without what is behind the repository.
    fn names(&self, name: &str) -> bool {
        let repository = repository(name);
        self.references.iter().any(|pattern| {
            glob::matches(pattern, name)
                || repository.as_ref().is_some_and(|repository| glob::matches(pattern, repository))
        })
    }
}

/// The repository in a name, as docker shows it.
fn repository(name: &str) -> Option<String> {
    Some(Reference::parse(name).ok()?.repository().familiar())
}

/// When an image was made.
async fn created(engine: &Engine, image: &str) -> Result<Timestamp, Failure> {
    let image = engine.image(image, None).await?;
    Ok(image.config.created.as_deref().and_then(|text| text.parse().ok()).unwrap_or(Timestamp::UNIX_EPOCH))
}

/// A filter whose values make no sense.
fn invalid(name: &str, values: &BTreeSet<String>) -> Failure {
    let values: Vec<_> = values.iter().map(String::as_str).collect();
    Failure::invalid(format!("invalid filter '{name}=[{}]'", values.join(" ")))
}

fn boolean(values: &BTreeSet<String>) -> Option<bool> {
    let mut values = values.iter();
    let value = match values.next().map(String::as_str) {
        Some("1" | "true") => true,
        Some("0" | "false") => false,
        _ => return None,
    };
    values.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use layer_digest::{Digest, ImageId};
    use layer_oci::Descriptor;

    use super::*;

    fn image(tags: &[&str], created: &str, labels: &[(&str, &str)]) -> ImageSummary {
        let digest = Digest::sha256(created.as_bytes());
        ImageSummary {
            id: ImageId(digest),
            descriptor: Descriptor::new("x/y", digest, 1),
            repo_tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            repo_digests: vec![format!("lab.test/a/app@{digest}")],
            created: Some(created.parse().unwrap()),
            labels: Some(labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()),
            size: 1,
            mounts: 0,
        }
    }

    fn parsed(text: &str) -> Filters {
        Filters::parse(Some(text)).unwrap()
    }

    #[test]
    fn both_forms_of_json_are_read() {
        let list = parsed(r#"{"reference":["a","b"],"dangling":["true"]}"#);
        let set = parsed(r#"{"reference":{"b":true,"a":false},"dangling":{"true":true}}"#);
        assert_eq!(list, set);
        assert_eq!(Filters::parse(None).unwrap(), Filters::default());
        for text in ["garb1age}", "[]", r#"{"a":"b"}"#, r#"{"a":[1]}"#, r#"{"a":{"b":2}}"#, "null"] {
            assert_eq!(Filters::parse(Some(text)).unwrap_err(), Failure::invalid("invalid filter"), "{text}");
        }
    }

    #[test]
    fn a_reference_matches_names_with_and_without_the_tag() {
        let image = image(&["alpine:3.18", "lab.test/a/app:1"], "2024-01-01T00:00:00Z", &[]);
        let takes = |patterns: &[&str]| {
            let references = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
            ImageFilter { references, ..Default::default() }.takes(&image)
        };
        for pattern in ["alpine", "alpine:3.18", "alp*", "alpine:*", "*/*/app", "*/*/app:1", "lab.test/a/app", "*:3.1?"]
        {
            assert!(takes(&[pattern]), "{pattern}");
        }
        for pattern in ["alpine:3", "*/app", "docker.io/library/alpine", "nosuch*", "alpin"] {
            assert!(!takes(&[pattern]), "{pattern}");
        }
        assert!(takes(&["nosuch", "alpine"]));
    }

    #[test]
    fn only_the_names_that_were_looked_for_are_listed() {
        let all = image(&["alpine:3.18", "lab.test/a/app:1", "lab.test/a/app:2"], "2024-01-01T00:00:00Z", &[]);
        let listed = |pattern: &str| {
            let filter = ImageFilter { references: vec![pattern.to_owned()], ..Default::default() };
            filter.narrow(all.clone()).map(|image| (image.repo_tags, image.repo_digests.len()))
        };
        assert_eq!(listed("alpine"), Some((vec!["alpine:3.18".to_owned()], 0)));
        assert_eq!(listed("*/*/app:2"), Some((vec!["lab.test/a/app:2".to_owned()], 1)));
        assert_eq!(listed("nosuch"), None);
        assert_eq!(ImageFilter::default().narrow(all.clone()).unwrap().repo_tags.len(), 3);
    }

    #[test]
    fn labels_must_all_hold() {
        let image = image(&["a:1"], "2024-01-01T00:00:00Z", &[("k", "v"), ("empty", "")]);
        let takes = |labels: &[(&str, bool)]| {
            let labels = labels.iter().map(|(text, wanted)| LabelCondition::parse(text, *wanted)).collect();
            ImageFilter { labels, ..Default::default() }.takes(&image)
        };
        assert!(takes(&[("k", true), ("k=v", true), ("empty", true), ("empty=", true)]));
        assert!(!takes(&[("k", true), ("k=w", true)]));
        assert!(!takes(&[("other", true)]));
        assert!(takes(&[("other", false), ("k=w", false)]));
        assert!(!takes(&[("k", false)]));
    }

    #[test]
    fn times_bound_from_both_sides() {
        let image = image(&["a:1"], "2024-01-01T00:00:00Z", &[]);
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let takes = |since: Option<&str>, before: Option<&str>| {
            ImageFilter { since: since.map(at), before: before.map(at), ..Default::default() }.takes(&image)
        };
        assert!(takes(Some("2023-01-01T00:00:00Z"), Some("2025-01-01T00:00:00Z")));
        assert!(!takes(Some("2024-01-01T00:00:00Z"), None));
        assert!(!takes(None, Some("2024-01-01T00:00:00Z")));
    }

    #[test]
    fn dangling_is_one_yes_or_no() {
        let values = |values: &[&str]| boolean(&values.iter().map(|value| (*value).to_owned()).collect());
        assert_eq!(values(&["true"]), Some(true));
        assert_eq!(values(&["0"]), Some(false));
        for bad in [&["maybe"] as &[&str], &["true", "false"], &["1", "true"], &[], &["True"]] {
            assert_eq!(values(bad), None, "{bad:?}");
        }
        let named = image(&["a:1"], "2024-01-01T00:00:00Z", &[]);
        assert!(!ImageFilter { dangling: Some(true), ..Default::default() }.takes(&named));
        assert!(ImageFilter { dangling: Some(false), ..Default::default() }.takes(&named));
    }
}
