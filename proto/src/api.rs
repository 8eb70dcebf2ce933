//! Versions of the API: their order, and which of them are spoken.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What Go prints for a time that was never set; dockerd sends it where a time is due and unknown.
pub const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// A version of the Docker Engine API, such as `1.51`. On the wire it is a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersion {
    /// The number in front of the dot: 1 in every version so far.
    pub major: u16,
    /// The number after the dot. `1.9` is older than `1.24`.
    pub minor: u16,
}

impl ApiVersion {
    /// The oldest version that is spoken.
    pub const OLDEST: Self = Self::new(1, 24);
    /// The version whose shapes these types have, and the one that is advertised.
    pub const CURRENT: Self = Self::new(1, 51);
    /// The newest version that is accepted in a path. Some clients send a fixed version without asking first; they are answered as
    /// [`Self::CURRENT`], whose shapes they can read.
    pub const NEWEST: Self = Self::new(1, 55);

    /// The version `major.minor`.
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }
}

/// A text that is no version of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseApiVersionError;

impl fmt::Display for ParseApiVersionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an API version is two numbers with a dot between them, such as `1.51`")
    }
}

impl std::error::Error for ParseApiVersionError {}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for ApiVersion {
    type Err = ParseApiVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |digits: &str| {
            // `parse` alone would take a plus sign.
            if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
        };
        let (major, minor) = text.split_once('.').ok_or(ParseApiVersionError)?;
        match (number(major), number(minor)) {
            (Some(major), Some(minor)) => Ok(Self { major, minor }),
            _ => Err(ParseApiVersionError),
        }
    }
}

impl Default for ApiVersion {
    fn default() -> Self {
        Self::CURRENT
    }
}

impl Serialize for ApiVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ApiVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_number_not_by_text() {
        let parsed = |text: &str| text.parse::<ApiVersion>().expect(text);
        assert!(parsed("1.9") < ApiVersion::OLDEST);
        assert!(parsed("1.44") < ApiVersion::CURRENT);
        assert!(parsed("2.0") > ApiVersion::NEWEST);
        assert_eq!(parsed("1.51"), ApiVersion::CURRENT);
    }

    #[test]
    fn only_two_numbers_are_a_version() {
        for text in ["", "1", "1.", ".5", "1.5.2", "v1.5", "1.x", "+1.5", "1.99999"] {
            assert_eq!(text.parse::<ApiVersion>(), Err(ParseApiVersionError), "{text}");
        }
    }

    #[test]
    fn a_version_is_a_text_on_the_wire() {
        assert_eq!(serde_json::to_string(&ApiVersion::CURRENT).unwrap(), "\"1.51\"");
        assert_eq!(serde_json::from_str::<ApiVersion>("\"1.24\"").unwrap(), ApiVersion::OLDEST);
    }
}
