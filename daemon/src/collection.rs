//! Collections that the daemon runs by itself: the settings in `[gc]`, and the task that follows them.

use std::time::Duration;

use jiff::SpanRelativeTo;
use layer_engine::{Collection, Engine, Marks};
use layer_proto::parse_size;
use serde::{Deserialize, Deserializer};

/// How often a collection runs. It costs a look at each blob and layer.
const DEFAULT_EVERY: Duration = Duration::from_secs(600);

/// How long what a pull has left behind is kept: a week, so that a download that failed on a Friday goes on from there on Monday.
const DEFAULT_LEFTOVERS: Duration = Duration::from_secs(7 * 24 * 3600);

/// The distance between the marks when only the upper one is set.
const MARKS_APART: u8 = 5;

/// The section of the file with settings. Its keys are told in the README.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct GcSection {
    #[serde(deserialize_with = "span")]
    every: Option<Duration>,
    #[serde(deserialize_with = "size")]
    keep_storage: Option<u64>,
    #[serde(deserialize_with = "percent")]
    high: Option<u8>,
    #[serde(deserialize_with = "percent")]
    low: Option<u8>,
    #[serde(deserialize_with = "span")]
    unused_for: Option<Duration>,
    #[serde(deserialize_with = "span")]
    leftovers_for: Option<Duration>,
}

/// When the daemon collects, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GcSettings {
    pub(crate) every: Duration,
    pub(crate) collection: Collection,
}

impl GcSection {
    /// The settings, with nothing left open.
    ///
    /// # Errors
    ///
    /// When the marks don't fit together, told in a sentence.
    pub(crate) fn settings(self) -> Result<GcSettings, String> {
        let marks = match (self.high, self.low) {
            (None, None) => None,
            (None, Some(_)) => return Err("`low` needs `high`: the mark above which images go".to_owned()),
            (Some(high), low) => {
                let low = low.unwrap_or(high.saturating_sub(MARKS_APART));
                if low > high {
                    return Err(format!("`low` is {low}, and must not be above `high`, which is {high}"));
                }
                Some(Marks { high, low })
            }
        };
        Ok(GcSettings {
            every: self.every.unwrap_or(DEFAULT_EVERY),
            collection: Collection {
                all: true,
                unused_for: self.unused_for,
                keep_storage: self.keep_storage,
                marks,
                leftovers_for: self.leftovers_for.unwrap_or(DEFAULT_LEFTOVERS),
                dry_run: false,
            },
        })
    }
}

/// Collects now and then, until it is dropped.
pub(crate) async fn run(engine: Engine, settings: GcSettings) {
    let mut tick = tokio::time::interval(settings.every);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        match engine.tidy(settings.collection.clone()).await {
            Ok(taken) if taken.bytes > 0 => {
                tracing::info!(
                    images = taken.images.len(),
                    leftovers = taken.leftovers,
                    partials = taken.partials,
                    bytes = taken.bytes,
                    "collected"
                );
            }
            Ok(_) => {}
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "the collection failed"),
        }
    }
}

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let size = parse_size(&text);
    let size =
        size.ok_or_else(|| serde::de::Error::custom(format!("`{text}` is no size such as `20GB` or `500MiB`")))?;
    Ok(Some(size))
}

fn percent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u8>, D::Error> {
    match u8::deserialize(deserializer)? {
        number @ 1..=100 => Ok(Some(number)),
        number => Err(serde::de::Error::custom(format!("{number} is no mark: marks are percent, from 1 to 100"))),
    }
}

/// A span of time: `30d`, `12h`, `1w 2d`. A day has 24 hours.
fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let span = text.parse::<jiff::Span>().ok();
    let span = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    let span = span.and_then(|span| Duration::try_from(span).ok()).filter(|span| *span >= Duration::from_secs(1));
    let words = || format!("`{text}` is no span of time such as `30d` or `12h`, of a second or more");
    span.map(Some).ok_or_else(|| serde::de::Error::custom(words()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<GcSettings, String> {
        toml::from_str::<GcSection>(text).map_err(|error| error.message().to_owned())?.settings()
    }

    #[test]
    fn without_settings_only_leftovers_go() {
        let settings = read("").unwrap();
        assert_eq!(settings.every, Duration::from_secs(600));
        let collection = settings.collection;
        assert_eq!((collection.unused_for, collection.keep_storage, collection.marks), (None, None, None));
        assert_eq!(collection.leftovers_for, Duration::from_secs(604_800));
    }

    #[test]
    fn settings_are_read_as_people_write_them() {
        let text =
            "every = '30s'\nkeep-storage = '20GB'\nhigh = 85\nlow = 70\nunused-for = '30d'\nleftovers-for = '1w 1d'";
        let settings = read(text).unwrap();
        assert_eq!(settings.every, Duration::from_secs(30));
        let want = Collection {
            all: true,
            unused_for: Some(Duration::from_secs(30 * 86_400)),
            keep_storage: Some(20_000_000_000),
            marks: Some(Marks { high: 85, low: 70 }),
            leftovers_for: Duration::from_secs(8 * 86_400),
            dry_run: false,
        };
        assert_eq!(settings.collection, want);
        assert_eq!(read("high = 85").unwrap().collection.marks, Some(Marks { high: 85, low: 80 }));
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for (text, words) in [
            ("high = 0", "percent, from 1 to 100"),
            ("low = 50", "`low` needs `high`"),
            ("high = 50\nlow = 60", "must not be above `high`, which is 50"),
            ("keep-storage = 'much'", "`much` is no size"),
            ("unused-for = 'long'", "`long` is no span of time"),
            ("every = '0s'", "of a second or more"),
            ("every = '-1d'", "of a second or more"),
            ("unused-for = '1 month'", "no span of time"),
            ("keep = 1", "keep"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
