//! The words of pulls and pushes. Programs match on them, so they are docker's to the letter.

use std::fmt;

/// In front of the repository's path, on the first line of a pull.
pub const PULLING_FROM: &str = "Pulling from ";
/// In front of the digest of what the name points at.
pub const DIGEST: &str = "Digest: ";
/// In front of the familiar name, on the last line of a pull that changed something.
pub const DOWNLOADED: &str = "Status: Downloaded newer image for ";
/// In front of the familiar name, on the last line of a pull that changed nothing.
pub const UP_TO_DATE: &str = "Status: Image is up to date for ";

/// In front of the repository in brackets, on the first line of a push.
pub const PUSHING_TO: &str = "The push refers to repository ";

/// What a layer is going through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerStatus {
    /// It is needed, and in the queue.
    PullingFsLayer,
    /// Its turn has not come, since others are being fetched.
    Waiting,
    /// Its bytes are coming in.
    Downloading,
    /// A fetch broke off and the next try is near.
    Retrying {
        /// How near.
        seconds: u64,
    },
    /// The bytes are here and being proven.
    VerifyingChecksum,
    /// The bytes are here and proven.
    DownloadComplete,
    /// The tree is being made.
    Extracting,
    /// It was here before.
    AlreadyExists,
    /// It is here now.
    PullComplete,
    /// It is coming in with an archive.
    Loading,
    /// Its bytes are going out.
    Pushing,
    /// It is at the registry now.
    Pushed,
    /// It was at the registry before.
    LayerAlreadyExists,
    /// The registry has taken it over from another repository, which the line names.
    Mounted,
    /// It can't be pushed.
    Unavailable,
}

impl LayerStatus {
    /// Reads docker's words; `None` for others, which a newer daemon may send.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "Pulling fs layer" => Self::PullingFsLayer,
            "Waiting" => Self::Waiting,
            "Downloading" => Self::Downloading,
            "Verifying Checksum" => Self::VerifyingChecksum,
            "Download complete" => Self::DownloadComplete,
            "Extracting" => Self::Extracting,
            "Already exists" => Self::AlreadyExists,
            "Pull complete" => Self::PullComplete,
            "Loading layer" => Self::Loading,
            "Pushing" => Self::Pushing,
            "Pushed" => Self::Pushed,
            "Layer already exists" => Self::LayerAlreadyExists,
            "Unavailable" => Self::Unavailable,
            "Mounted" => Self::Mounted,
            _ if text.starts_with("Mounted from ") => Self::Mounted,
            _ => {
                let rest = text.strip_prefix("Retrying in ")?;
                let (seconds, rest) = rest.split_once(' ')?;
                // layerd adds the reason, in parentheses.
                let unit = rest.split_once(" (").map_or(rest, |(unit, _)| unit);
                if !matches!(unit, "second" | "seconds") {
                    return None;
                }
                Self::Retrying { seconds: seconds.parse().ok()? }
            }
        })
    }

    /// Whether nothing more comes for this layer.
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::AlreadyExists
                | Self::PullComplete
                | Self::Pushed
                | Self::LayerAlreadyExists
                | Self::Mounted
                | Self::Unavailable
        )
    }

    /// Whether bytes are on the wire.
    pub const fn is_on_the_wire(self) -> bool {
        matches!(self, Self::Downloading | Self::Pushing)
    }

    /// Whether docker tells its clients to draw no numbers beside these words.
    pub(super) const fn hides_counts(self) -> bool {
        matches!(self, Self::AlreadyExists | Self::DownloadComplete | Self::PullComplete)
    }
}

impl fmt::Display for LayerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PullingFsLayer => "Pulling fs layer",
            Self::Waiting => "Waiting",
            Self::Downloading => "Downloading",
            Self::Retrying { seconds: 1 } => "Retrying in 1 second",
            Self::Retrying { seconds } => return write!(f, "Retrying in {seconds} seconds"),
            Self::VerifyingChecksum => "Verifying Checksum",
            Self::DownloadComplete => "Download complete",
            Self::Extracting => "Extracting",
            Self::AlreadyExists => "Already exists",
            Self::PullComplete => "Pull complete",
            Self::Loading => "Loading layer",
            Self::Pushing => "Pushing",
            Self::Pushed => "Pushed",
            Self::LayerAlreadyExists => "Layer already exists",
            Self::Mounted => "Mounted",
            Self::Unavailable => "Unavailable",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_written() {
        let all = [
            LayerStatus::PullingFsLayer,
            LayerStatus::Waiting,
            LayerStatus::Downloading,
            LayerStatus::Retrying { seconds: 1 },
            LayerStatus::Retrying { seconds: 5 },
            LayerStatus::VerifyingChecksum,
            LayerStatus::DownloadComplete,
            LayerStatus::Extracting,
            LayerStatus::AlreadyExists,
            LayerStatus::PullComplete,
            LayerStatus::Loading,
            LayerStatus::Pushing,
            LayerStatus::Pushed,
            LayerStatus::LayerAlreadyExists,
            LayerStatus::Mounted,
            LayerStatus::Unavailable,
        ];
        for status in all {
            assert_eq!(LayerStatus::parse(&status.to_string()), Some(status));
        }
        assert_eq!(LayerStatus::parse("Mounted from lib/base"), Some(LayerStatus::Mounted));
    }

    #[test]
    fn a_retry_may_give_a_reason() {
        for text in ["Retrying in 5 seconds (connection reset (by peer))", "Retrying in 5 seconds"] {
            assert_eq!(LayerStatus::parse(text), Some(LayerStatus::Retrying { seconds: 5 }), "{text}");
        }
    }

    #[test]
    fn other_words_are_not_taken_for_a_status() {
        for text in
            ["", "downloading", "Retrying in", "Retrying in x seconds", "Retrying in 5 minutes", "Downloading now"]
        {
            assert_eq!(LayerStatus::parse(text), None, "{text}");
        }
    }
}
