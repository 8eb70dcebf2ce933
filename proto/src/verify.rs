//! Proving what the store holds: layerd's own part of the API.
//!
//! `POST` [`PATH`] with a [`VerifyRequest`] answers with lines like those of a pull. A line that tells a program more than its words has a
//! [`Note`] in `aux`; the last of them is [`Note::Verified`], or the line is an error.

use serde::{Deserialize, Serialize};

use crate::progress::ProgressLine;
use crate::tolerant::null_as_default;

/// The path. It takes no API version in front.
pub const PATH: &str = "/layerd/v1/verify";

/// Asks for images to be proven.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct VerifyRequest {
    /// References, IDs or beginnings of IDs; none means all images.
    #[serde(deserialize_with = "null_as_default")]
    pub images: Vec<String>,
    /// Whether to bring anew what is damaged or missing.
    pub repair: bool,
}

/// What a line tells a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Note {
    /// Something is wrong.
    Problem(Problem),
    /// A damaged part was brought anew.
    Repaired(Part),
    /// A damaged part could not be brought anew; the words of the line say why.
    NotRepaired(Part),
    /// All was looked at.
    Verified(Verified),
}

/// A part of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Part {
    /// `document`, `blob` or `layer`.
    #[serde(deserialize_with = "null_as_default")]
    pub part: String,
    /// Its digest; a layer's is its diffID.
    #[serde(deserialize_with = "null_as_default")]
    pub digest: String,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Problem {
    /// `document`, `blob` or `layer`.
    #[serde(deserialize_with = "null_as_default")]
    pub part: String,
    /// Its digest; a layer's is its diffID.
    #[serde(deserialize_with = "null_as_default")]
    pub digest: String,
    /// A name of an image that it belongs to.
    #[serde(deserialize_with = "null_as_default")]
    pub image: String,
    /// The file in a layer, from its root on: `/etc/passwd`. `null` when the problem is with the whole part.
    pub path: Option<String>,
    /// What is wrong, in one word: `missing`, `extra`, `content`, `size`, `type`, `mode`, `owner`, `time`, `attribute`, `link`, `target`,
    /// `device`, `record` or `unreadable`. There may be more some day.
    #[serde(deserialize_with = "null_as_default")]
    pub what: String,
    /// What is wrong, as the rest of a sentence that begins with the file or the part.
    #[serde(deserialize_with = "null_as_default")]
    pub detail: String,
}

/// How much was looked at, and with what outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Verified {
    /// Images.
    pub images: u64,
    /// Indexes, manifests and configs.
    pub documents: u64,
    /// Compressed layers.
    pub blobs: u64,
    /// Unpacked layers.
    pub layers: u64,
    /// Files, folders and other things in them.
    pub files: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Problems that were found.
    pub problems: u64,
    /// Damaged parts that were brought anew.
    pub repaired: u64,
    /// Damaged parts that are damaged still.
    pub damaged: u64,
}

impl Note {
    /// The line that tells it.
    pub fn line(&self, words: impl Into<String>) -> ProgressLine {
        // Texts and numbers by name can always be written.
        ProgressLine { aux: serde_json::to_value(self).ok(), ..ProgressLine::message(words) }
    }

    /// What a line tells, if it is one of these.
    pub fn of(line: &ProgressLine) -> Option<Self> {
        Self::deserialize(line.aux.as_ref()?).ok()
    }
}

impl Problem {
    /// The problem as a sentence.
    pub fn sentence(&self) -> String {
        match &self.path {
            Some(path) => format!("{} {}: `{path}` {}", self.part, self.digest, self.detail),
            None => format!("{} {} {}", self.part, self.digest, self.detail),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_come_back_as_they_went() {
        let problem = Problem {
            part: "layer".into(),
            digest: "sha256:0c".into(),
            image: "alpine:latest".into(),
            path: Some("/bin/sh".into()),
            what: "mode".into(),
            detail: "has mode 0777, and had 0755".into(),
        };
        assert_eq!(problem.sentence(), "layer sha256:0c: `/bin/sh` has mode 0777, and had 0755");
        let part = Part { part: "blob".into(), digest: "sha256:0c".into() };
        for note in [
            Note::Problem(problem),
            Note::Repaired(part.clone()),
            Note::NotRepaired(part),
            Note::Verified(Verified { images: 1, damaged: 2, ..Verified::default() }),
        ] {
            let bytes = note.line("words").to_bytes();
            let line: ProgressLine = serde_json::from_slice(&bytes).unwrap();
            assert_eq!((line.status.as_deref(), Note::of(&line)), (Some("words"), Some(note)));
        }
        assert_eq!(Note::of(&ProgressLine::message("x")), None);
        let later: ProgressLine = serde_json::from_str(r#"{"aux":{"Weather":{"sun":true}}}"#).unwrap();
        assert_eq!(Note::of(&later), None);
    }

    #[test]
    fn what_is_not_said_is_all_images_and_no_repair() {
        assert_eq!(serde_json::from_str::<VerifyRequest>("{}").unwrap(), VerifyRequest::default());
        assert_eq!(serde_json::from_str::<VerifyRequest>(r#"{"images":null}"#).unwrap(), VerifyRequest::default());
    }
}
