//! Indexes: lists of the same image for several platforms.

use std::collections::BTreeMap;

use crate::{Descriptor, DocumentError, Platform, media_type};

/// The most entries an index may have. Those in the field stay well under a hundred.
pub(crate) const MAX_ENTRIES: usize = 1000;

/// A list of images, one for each platform, with what speaks about them.
///
/// Spec: OCI image-spec 1.1, image-index.md; Docker's "manifest list".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// OCI's or Docker's type of an index.
    pub media_type: String,
    /// The entries in their order; manifests, indexes, and anything else.
    pub manifests: Vec<Descriptor>,
    /// Notes for people and tools.
    pub annotations: BTreeMap<String, String>,
}

/// Which entry of an index is the one for a platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice<'a> {
    /// The best entry. It may be an index in its turn, which the caller follows within bounds of its own. If its `platform` is not given, it
    /// was taken because nothing better was there: the config tells whether it is the right one.
    Found(&'a Descriptor),
    /// There is none.
    None {
        /// The platforms that the index has images for, as spelled there, in its order and once each.
        available: Vec<Platform>,
    },
}

impl Index {
    /// Picks the entry that runs best on `platform`; of equals, the first.
    ///
    /// Attestations and entries that are neither manifest nor index are never chosen. An entry without a platform is chosen last of all, and
    /// only if it is not marked as an artifact.
    pub fn choose(&self, platform: &Platform) -> Choice<'_> {
        let best = self.images().filter_map(|entry| {
            let rank = match &entry.platform {
                Some(offered) => platform.rank(offered)?,
                None if entry.artifact_type.is_none() => u32::MAX,
                None => return None,
            };
            Some((rank, entry))
        });
        // `min_by_key` returns the first of equals.
        if let Some((_, entry)) = best.min_by_key(|(rank, _)| *rank) {
            return Choice::Found(entry);
        }
        let mut available = Vec::new();
        for offered in self.images().filter_map(|entry| entry.platform.as_ref()) {
            if !available.contains(offered) {
                available.push(offered.clone());
            }
        }
        Choice::None { available }
    }

    /// The entries that can be images.
    fn images(&self) -> impl Iterator<Item = &Descriptor> {
        self.manifests.iter().filter(|entry| {
            (media_type::is_manifest(&entry.media_type) || media_type::is_index(&entry.media_type))
                && !entry.is_attestation()
        })
    }
}

impl<'a> Choice<'a> {
    /// The entry that was found for `wanted`.
    ///
    /// # Errors
    ///
    /// [`DocumentError::NoPlatform`] when there is none.
    pub fn found(self, wanted: &Platform) -> Result<&'a Descriptor, DocumentError> {
        match self {
            Self::Found(entry) => Ok(entry),
            Self::None { available } => Err(DocumentError::NoPlatform { wanted: Box::new(wanted.clone()), available }),
        }
    }
}

#[cfg(test)]
mod tests {
    use layer_digest::Digest;

    use super::*;
    use crate::media_type::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};

    fn entry(name: &str, platform: Option<&str>) -> Descriptor {
        let platform = platform.map(|text| {
            // As a document spells it, not normalised.
            let mut parts = text.split('/').map(str::to_owned);
            let os = parts.next().unwrap();
            Platform { os, architecture: parts.next().unwrap(), variant: parts.next(), ..Platform::default() }
        });
        Descriptor { platform, ..Descriptor::new(OCI_MANIFEST, Digest::sha256(name.as_bytes()), 1) }
    }

    fn index(manifests: Vec<Descriptor>) -> Index {
        Index { media_type: OCI_INDEX.to_owned(), manifests, annotations: BTreeMap::new() }
    }

    /// The number of the chosen entry.
    fn choose(index: &Index, platform: &str) -> Option<usize> {
        match index.choose(&platform.parse().unwrap()) {
            Choice::Found(found) => index.manifests.iter().position(|entry| std::ptr::eq(entry, found)),
            Choice::None { .. } => None,
        }
    }

    #[test]
    fn the_best_entry_is_chosen_wherever_it_stands() {
        let platforms = ["linux/amd64", "linux/arm/v6", "linux/arm/v7", "linux/arm64/v8", "linux/386", "linux/s390x"];
        let index = index(platforms.iter().map(|name| entry(name, Some(name))).collect());
        for (wanted, expected) in [
            ("linux/amd64", Some(0)),
            ("linux/amd64/v4", Some(0)),
            ("linux/arm/v7", Some(2)),
            ("linux/arm", Some(2)),
            ("linux/arm/v6", Some(1)),
            ("linux/arm/v5", None),
            ("linux/arm64", Some(3)),
            ("linux/arm64/v8.2", Some(3)),
            ("linux/386", Some(4)),
            ("linux/s390x", Some(5)),
            ("linux/riscv64", None),
            ("windows/amd64", None),
        ] {
            assert_eq!(choose(&index, wanted), expected, "{wanted}");
        }
    }

    #[test]
    fn a_lesser_variant_is_taken_when_it_must_be() {
        let index = index(vec![entry("5", Some("linux/arm/v5")), entry("6", Some("linux/arm/v6"))]);
        assert_eq!(choose(&index, "linux/arm/v7"), Some(1));
        assert_eq!(choose(&index, "linux/arm64"), Some(1));
    }

    #[test]
    fn of_equals_the_first_is_taken() {
        let index = index(vec![entry("a", Some("linux/arm64")), entry("b", Some("linux/arm64/v8"))]);
        assert_eq!(choose(&index, "linux/arm64"), Some(0));
    }

    #[test]
    fn attestations_and_strangers_are_never_taken() {
        let mut marked = entry("a", Some("linux/amd64"));
        marked.annotations.insert("vnd.docker.reference.type".to_owned(), "attestation-manifest".to_owned());
        let unknown = entry("b", Some("unknown/unknown"));
        let stranger = Descriptor { media_type: "application/x".to_owned(), ..entry("c", Some("linux/amd64")) };
        let artifact = Descriptor { artifact_type: Some("application/y".to_owned()), ..entry("d", None) };
        let mut index = index(vec![marked, unknown, stranger, artifact]);
        assert_eq!(index.choose(&"linux/amd64".parse().unwrap()), Choice::None { available: Vec::new() });
        index.manifests.push(entry("e", Some("linux/amd64")));
        assert_eq!(choose(&index, "linux/amd64"), Some(4));
    }

    #[test]
    fn an_entry_without_platform_is_taken_last() {
        let mut index = index(vec![entry("a", None), entry("b", Some("linux/386"))]);
        assert_eq!(choose(&index, "linux/amd64"), Some(1));
        assert_eq!(choose(&index, "linux/s390x"), Some(0));
        index.manifests[0].media_type = DOCKER_LIST.to_owned();
        assert_eq!(choose(&index, "linux/s390x"), Some(0));
    }

    #[test]
    fn what_is_missing_is_said_in_dockers_words_and_what_there_is_beside_it() {
        let mut index = index(
            ["linux/amd64", "linux/arm64/v8", "linux/amd64", "unknown/unknown"].map(|p| entry(p, Some(p))).into(),
        );
        index.manifests[1].media_type = DOCKER_MANIFEST.to_owned();
        let wanted = "linux/s390x".parse().unwrap();
        let error = index.choose(&wanted).found(&wanted).unwrap_err();
        assert_eq!(error.to_string(), "no matching manifest for linux/s390x in the manifest list entries");
        assert_eq!(error.hint().unwrap(), "the image is made for linux/amd64, linux/arm64/v8");
        assert!(index.choose(&Platform::default()).found(&wanted).is_err());
    }
}
