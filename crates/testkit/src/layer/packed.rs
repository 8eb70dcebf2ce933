//! A finished layer: the blob that a registry serves, and the tar that it must unpack to.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use anyhow::{Context, Result};

use super::Compression;
use crate::content::Hashing;
use crate::{Blob, Content, sha256};

/// How a layer's blob is packed, as far as its media type tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// A plain tar.
    Plain,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

/// A layer. All of it is public and may be changed, so that a test can lie about any part.
#[derive(Clone, Debug)]
pub struct Layer {
    /// What goes over the wire.
    pub blob: Blob,
    /// The digest of the tar, as the image's config will have it.
    pub diff_id: String,
    /// The tar itself.
    pub tar: Content,
    /// What the blob is said to be; decides the media type.
    pub packing: Packing,
    /// A media type to use instead of the one that fits.
    pub media_type: Option<String>,
}

impl Layer {
    /// Packs a tar.
    pub fn pack(tar: Vec<u8>, compression: Compression) -> Self {
        let mut packed = Vec::new();
        compression
            .pack(&mut &tar[..], tar.len() as u64, &mut packed)
            .expect("memory takes every write, and no encoder fails by itself");
        Self::from_parts(packed, tar, compression.packing())
    }

    /// Packs a tar that lies in a file into another file; for layers that should not be in memory.
    ///
    /// # Errors
    /// Those of reading one file and writing the other.
    pub fn pack_file(tar: &Path, compression: Compression, packed: &Path) -> Result<Self> {
        let tar = Content::from_file(tar)?;
        let (_, diff_id, _) = hash(&tar, Compression::Plain, std::io::sink())?;
        let file = File::create(packed).with_context(|| format!("create `{}`", packed.display()))?;
        let (_, digest, _) = hash(&tar, compression, BufWriter::new(file))?;
        let blob = Blob { digest, content: Content::from_file(packed)? };
        Ok(Self { blob, diff_id, tar, packing: compression.packing(), media_type: None })
    }

    /// A layer of a blob and a tar that may have nothing to do with each other.
    pub fn from_parts(blob: Vec<u8>, tar: Vec<u8>, packing: Packing) -> Self {
        Self { blob: Blob::new(blob), diff_id: sha256(&tar), tar: tar.into(), packing, media_type: None }
    }

    /// The same layer under another media type.
    pub fn with_media_type(self, media_type: &str) -> Self {
        Self { media_type: Some(media_type.to_owned()), ..self }
    }

    /// The layer's media type in an OCI or in a Docker manifest.
    pub fn media_type(&self, docker: bool) -> String {
        if let Some(media_type) = &self.media_type {
            return media_type.clone();
        }
        let base = if docker {
            "application/vnd.docker.image.rootfs.diff.tar"
        } else {
            "application/vnd.oci.image.layer.v1.tar"
        };
        match (self.packing, docker) {
            (Packing::Plain, _) => base.to_owned(),
            (Packing::Gzip, true) => format!("{base}.gzip"),
            (Packing::Gzip, false) => format!("{base}+gzip"),
            (Packing::Zstd, true) => format!("{base}.zstd"),
            (Packing::Zstd, false) => format!("{base}+zstd"),
        }
    }
}

fn hash<W: std::io::Write>(tar: &Content, compression: Compression, out: W) -> Result<(W, String, u64)> {
    let mut hashing = Hashing::new(out);
    compression.pack(&mut tar.reader(), tar.len(), &mut hashing).context("pack a layer")?;
    std::io::Write::flush(&mut hashing).context("pack a layer")?;
    Ok(hashing.finish())
}
