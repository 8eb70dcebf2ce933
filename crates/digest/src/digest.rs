//! The digest itself: algorithm, bytes, text.

use std::fmt;
use std::hash::Hash;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;

/// A hash function that a digest may name.
///
/// Spec: OCI image-spec 1.1, descriptor.md, "Registered algorithms". BLAKE3 is registered too, but no registry serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256, what every image in the field uses.
    Sha256,
    /// SHA-512, which a registry may use.
    Sha512,
}

impl Algorithm {
    /// The name in front of the colon, and of the folder that holds blobs of this kind.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// The length of a hash in bytes.
    const fn len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// The content address of some bytes.
///
/// Its text is `algorithm:hex`, lower case and of the exact length; a value of this type can therefore stand in a path or a URL.
///
/// Spec: OCI image-spec 1.1, descriptor.md, "Digests".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest {
    algorithm: Algorithm,
    /// The hash; bytes past the algorithm's length are zero.
    bytes: [u8; 64],
}

/// Why a text is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseDigestError {
    /// There is no `algorithm:` in front.
    #[error("digest `{0}` has no algorithm: it should read `sha256:` and 64 hex digits")]
    NoAlgorithm(String),
    /// The algorithm is none that this program can compute.
    #[error("digest algorithm `{0}` is not supported: only sha256 and sha512 are")]
    Unsupported(String),
    /// The hash has the wrong length, or other characters than `0-9a-f`.
    #[error("digest `{text}` is malformed: {} needs {} lower-case hex digits", .algorithm.name(), 2 * .algorithm.len())]
    Malformed {
        /// The text as it came.
        text: String,
        /// The algorithm it names.
        algorithm: Algorithm,
    },
}

impl Digest {
    /// The SHA-256 of `bytes`.
    pub fn sha256(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(bytes);
        hasher.finish()
    }

    /// The hash of `bytes` by `algorithm`.
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// The hash function.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The hash as lower-case hex digits, without the algorithm.
    pub fn hex(&self) -> String {
        let mut text = String::with_capacity(2 * self.algorithm.len());
        for byte in self.as_bytes() {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
            }
        }
        text
    }

    /// The first 12 hex digits, as docker shows digests to people.
    pub fn short(&self) -> String {
        let mut text = self.hex();
        text.truncate(12);
        text
    }

    /// The hash itself.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.algorithm.len()]
    }
}

/// By the hash alone. Removals and lists look up many thousands of digests, and the zeros behind a SHA-256 tell nothing.
impl Hash for Digest {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write(self.as_bytes());
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shown = || text.chars().take(160).collect::<String>();
        let (name, hex) = text.split_once(':').ok_or_else(|| ParseDigestError::NoAlgorithm(shown()))?;
        let algorithm = match name {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            _ => return Err(ParseDigestError::Unsupported(name.chars().take(40).collect())),
        };
        let malformed = || ParseDigestError::Malformed { text: shown(), algorithm };
        let digits = hex.as_bytes();
        if digits.len() != 2 * algorithm.len() {
            return Err(malformed());
        }
        let value = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        let mut bytes = [0; 64];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let (high, low) = value(pair[0]).zip(value(pair[1])).ok_or_else(malformed)?;
            *byte = high << 4 | low;
        }
        Ok(Self { algorithm, bytes })
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A hash being computed.
#[derive(Clone, Debug)]
pub struct Hasher(State);

#[derive(Clone, Debug)]
enum State {
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
}

impl Hasher {
    /// A hash of nothing yet.
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => State::Sha512(sha2::Sha512::new()),
        })
    }

    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(hash) => hash.update(bytes),
            State::Sha512(hash) => hash.update(bytes),
        }
    }

    /// The digest of all that came in.
    pub fn finish(self) -> Digest {
        let mut bytes = [0; 64];
        let algorithm = match self.0 {
            State::Sha256(hash) => {
                bytes[..32].copy_from_slice(&hash.finalize());
                Algorithm::Sha256
            }
            State::Sha512(hash) => {
                bytes.copy_from_slice(&hash.finalize());
                Algorithm::Sha512
            }
        };
        Digest { algorithm, bytes }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_hashes() {
        assert_eq!(
            Digest::sha256(b"abc").to_string(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert!(
            Digest::of(Algorithm::Sha512, b"abc").to_string().starts_with("sha512:ddaf35a193617abacc417349ae204131")
        );
    }

    #[test]
    fn refuses_what_is_not_exactly_a_digest() {
        let hex = "a".repeat(64);
        for (text, what) in [
            (hex.clone(), "no algorithm"),
            (format!("md5:{hex}"), "not supported"),
            (format!("SHA256:{hex}"), "not supported"),
            (format!("sha256:{}", &hex[1..]), "malformed"),
            (format!("sha256:{hex}a"), "malformed"),
            (format!("sha256:{}", hex.to_uppercase()), "malformed"),
            (format!("sha256:../../{}", &hex[6..]), "malformed"),
            (format!("sha512:{hex}"), "malformed"),
            ("sha256:".to_owned(), "malformed"),
            (String::new(), "no algorithm"),
        ] {
            let error = text.parse::<Digest>().unwrap_err().to_string();
            assert!(error.contains(what), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn text_round_trips(bytes: Vec<u8>, long: bool) {
            let digest = Digest::of(if long { Algorithm::Sha512 } else { Algorithm::Sha256 }, &bytes);
            prop_assert_eq!(digest.to_string().parse::<Digest>(), Ok(digest));
            let json = serde_json::to_string(&digest).unwrap();
            prop_assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
            let state = std::hash::RandomState::new();
            let hash = |digest: Digest| std::hash::BuildHasher::hash_one(&state, digest);
            prop_assert_eq!(hash(digest), hash(digest.to_string().parse().unwrap()));
        }

        #[test]
        fn any_text_is_taken_or_refused_without_panic(text: String) {
            if let Ok(digest) = text.parse::<Digest>() {
                prop_assert_eq!(digest.to_string(), text);
            }
        }
    }
}
