//! Which repositories are known to have a blob, so that a registry can be asked to take it over from there.

use layer_digest::BlobId;

use crate::Store;

impl Store {
    /// Says that a repository has these blobs: it has served them, taken them, or a manifest that leads to them.
    ///
    /// `registry` is `host` or `host:port`, `path` the repository in it. It is cheap to lose and may be out of date: a registry that is asked for
    /// a blob that has gone from there wants its bytes, as it does without this.
    pub fn learn_sources(&self, registry: &str, path: &str, blobs: impl IntoIterator<Item = BlobId>) {
        for blob in blobs {
            self.facts.set_source(blob, registry, path);
        }
    }

    /// The paths of the repositories of a registry that are known to have a blob, in order.
    pub fn sources(&self, registry: &str, blob: BlobId) -> Vec<String> {
        self.facts.sources(blob, registry)
    }

    /// Says that a repository doesn't have a blob after all.
    pub fn forget_source(&self, registry: &str, path: &str, blob: BlobId) {
        self.facts.forget_source(blob, registry, path);
    }
}

#[cfg(test)]
mod tests {
    use layer_digest::Digest;

    use super::*;

    #[test]
    fn what_is_known_of_a_blob_is_kept_apart_and_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let [one, two] = ["1", "2"].map(|text| BlobId(Digest::sha256(text.as_bytes())));
        store.learn_sources("r:1", "lib/b", [one, two]);
        store.learn_sources("r:1", "lib/a", [one]);
        store.learn_sources("r:10", "lib/c", [one]);
        store.learn_sources("r:1", "lib/a", [one]);
        assert_eq!(store.sources("r:1", one), ["lib/a", "lib/b"]);
        assert_eq!(store.sources("r:10", one), ["lib/c"]);
        assert!(store.sources("r", one).is_empty());
        store.forget_source("r:1", "lib/a", one);
        assert_eq!(store.sources("r:1", one), ["lib/b"]);
        store.facts.forget_blob(one);
        assert!(store.sources("r:1", one).is_empty() && store.sources("r:10", one).is_empty());
        assert_eq!(store.sources("r:1", two), ["lib/b"]);
    }
}
