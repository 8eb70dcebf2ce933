//! Identities that are digests of different things, kept apart by type.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Digest, ParseDigestError};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Digest);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseDigestError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }

        impl From<Digest> for $name {
            fn from(digest: Digest) -> Self {
                Self(digest)
            }
        }

        impl From<$name> for Digest {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}

id! {
    /// Names a blob by the bytes that a registry serves: a manifest, an index, a config or a compressed layer.
    BlobId
}
id! {
    /// Names a layer by its uncompressed tar, as `rootfs.diff_ids` of an image config does.
    ///
    /// Spec: OCI image-spec 1.1, config.md, "Layer DiffID".
    DiffId
}
id! {
    /// Names a stack of layers, base to top.
    ///
    /// Spec: OCI image-spec 1.1, config.md, "Layer ChainID".
    ChainId
}
id! {
    /// Names an image by the digest of its top descriptor: of the index where there is one, else of the manifest.
    ImageId
}
