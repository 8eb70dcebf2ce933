//! The registry that everything is pulled from: Debian's own, on a free port of 127.0.0.1.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result};
use layer_testkit::debian::DebianRegistry;
use layer_testkit::image::Image;

use super::corpus::Pattern;

/// The repository of every image, a tag each. One repository, so that equal layers have one place.
const REPOSITORY: &str = "bench/images";

/// A registry with images.
pub(crate) struct Served {
    registry: DebianRegistry,
    pushed: BTreeSet<String>,
}

/// What was asked of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Traffic {
    /// Requests for content of blobs that were answered with it.
    pub(crate) gets: u64,
    /// Bytes of these answers.
    pub(crate) bytes: u64,
}

impl Served {
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        Ok(Self { registry: DebianRegistry::start_under(folder)?, pushed: BTreeSet::new() })
    }

    pub(crate) fn registry(&self) -> &DebianRegistry {
        &self.registry
    }

    /// Puts an image under a tag, once. Returns the name to pull it by.
    pub(crate) fn put(&mut self, tag: &str, image: impl FnOnce() -> Result<Image>) -> Result<String> {
        if self.pushed.insert(tag.to_owned()) {
            self.registry.put_image(REPOSITORY, tag, &image()?)?;
        }
        Ok(format!("{}/{REPOSITORY}:{tag}", self.registry.host()))
    }

    /// Reads an image's blobs, so that every pull finds them in memory, the first as the last.
    pub(crate) fn warm(&self, pattern: &Pattern) -> Result<()> {
        for layer in &pattern.layers {
            let hex = layer.digest.trim_start_matches("sha256:");
            let path = self.registry.folder().join("storage/docker/registry/v2/blobs/sha256").join(&hex[..2]).join(hex);
            let mut file = File::open(path.join("data")).context("open a blob of the registry")?;
            std::io::copy(&mut file, &mut std::io::sink())?;
        }
        Ok(())
    }

    /// What was asked so far, from the log.
    pub(crate) fn traffic(&self) -> Traffic {
        self.registry
            .log()
            .lines()
            .filter_map(blob_get)
            .fold(Traffic::default(), |sum, bytes| Traffic { gets: sum.gets + 1, bytes: sum.bytes + bytes })
    }
}

/// The size of the answer, if the line of the log is about content of a blob.
fn blob_get(line: &str) -> Option<u64> {
    let (_, request) = line.split_once("\"GET /v2/")?;
    let (path, rest) = request.split_once(" HTTP/1.1\" ")?;
    let mut words = rest.split(' ');
    let (status, bytes) = (words.next()?, words.next()?);
    (path.contains("/blobs/") && (status == "200" || status == "206")).then(|| bytes.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::blob_get;

    #[test]
    fn lines_of_the_log() {
        let line = |request: &str, status: u16| {
            format!("127.0.0.1 - - [28/Nov/2026:10:00:00 +0000] \"{request} HTTP/1.1\" {status} 1234 \"\" \"agent\"")
        };
        assert_eq!(blob_get(&line("GET /v2/a/b/blobs/sha256:00", 200)), Some(1234));
        assert_eq!(blob_get(&line("GET /v2/a/b/blobs/sha256:00", 206)), Some(1234));
        assert_eq!(blob_get(&line("GET /v2/a/b/blobs/sha256:00", 404)), None);
        assert_eq!(blob_get(&line("HEAD /v2/a/b/blobs/sha256:00", 200)), None);
        assert_eq!(blob_get(&line("GET /v2/a/b/manifests/1", 200)), None);
    }
}
