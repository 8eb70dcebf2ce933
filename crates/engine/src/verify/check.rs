//! Proving one blob and one layer. All of it blocks.

use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _, SeekFrom};
use std::sync::Arc;

use layer_digest::{BlobId, DiffId, Digest, Verifier};
use layer_oci::Descriptor;
use layer_store::{LayerFiles, LayerList, LayerRecord, StoreError};
use layer_unpack::manifest::{self, CompareError, Compared};

use super::{Part, Problem, Tell, VerifyEvent};
use crate::EngineError;
use crate::chain;
use crate::engine::Shared;

/// How much is read at a time.
const READ: usize = 128 << 10;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) bad_blob: bool,
    pub(super) bad_layer: bool,
    pub(super) problems: u64,
    pub(super) files: u64,
    pub(super) bytes: u64,
}

/// Proves a blob, and the layer in it if it is known which one that is. What is damaged is marked; what was marked and is whole no longer is.
pub(super) fn layer(
    shared: &Arc<Shared>,
    tell: &Tell,
    image: &str,
    blob: &Descriptor,
    diff: Option<DiffId>,
) -> Result<Outcome, EngineError> {
    let mut check = Check { shared, tell, image, outcome: Outcome::default() };
    check.blob(blob)?;
    if let Some(diff) = diff {
        check.tree(blob, diff)?;
    }
    Ok(check.outcome)
}

struct Check<'a> {
    shared: &'a Arc<Shared>,
    tell: &'a Tell,
    image: &'a str,
    outcome: Outcome,
}

impl Check<'_> {
    fn blob(&mut self, descriptor: &Descriptor) -> Result<(), EngineError> {
        let id = BlobId(descriptor.digest);
        let store = &self.shared.store;
        self.tell.tell_blocking(VerifyEvent::Checking { part: Part::Blob, digest: id.0 });
        let mut file = match store.open_blob(id) {
            Ok(file) => file,
            Err(StoreError::NoBlob(_)) => {
                self.bad_blob(id, "missing", "is missing".to_owned());
                return Ok(());
            }
            Err(error) => {
                self.bad_blob(id, "unreadable", format!("can't be read: {}", chain(&error)));
                return Ok(store.distrust_blob(id)?);
            }
        };
        let proven = self.prove(Verifier::new(id, Some(descriptor.size)), &mut file, u64::MAX)?;
        match proven {
            Ok(()) => store.trust_blob(id)?,
            Err(why) => {
                self.bad_blob(id, "content", format!("is damaged: {why}"));
                store.distrust_blob(id)?;
            }
        }
        Ok(())
    }

    /// Hashes a file from where it stands, at most `len` bytes of it, and says why it isn't what it should be, if it isn't.
    fn prove<T: Copy + Into<Digest> + From<Digest>>(
        &mut self,
        mut verifier: Verifier<T>,
        file: &mut File,
        len: u64,
    ) -> Result<Result<(), String>, EngineError> {
        // So that what is read comes from the disk, not from memory. It promises nothing.
        let _ = rustix::fs::fadvise(&*file, 0, None, rustix::fs::Advice::DontNeed);
        let mut part = file.take(len);
        let mut buffer = vec![0; READ];
        loop {
            if self.tell.is_stopped() {
                return Err(EngineError::Stopped);
            }
            match part.read(&mut buffer) {
                Ok(0) => return Ok(verifier.finish().map(|_proof| ()).map_err(|error| error.to_string())),
                Ok(len) => {
                    self.outcome.bytes += len as u64;
                    if let Err(error) = verifier.update(&buffer[..len]) {
                        return Ok(Err(error.to_string()));
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Ok(Err(error.to_string())),
            }
        }
    }

    fn bad_blob(&mut self, id: BlobId, what: &'static str, detail: String) {
        self.outcome.bad_blob = true;
        self.problem(Part::Blob, id.0, None, what, detail);
    }

    fn tree(&mut self, blob: &Descriptor, diff: DiffId) -> Result<(), EngineError> {
        let store = &self.shared.store;
        self.tell.tell_blocking(VerifyEvent::Checking { part: Part::Layer, digest: diff.0 });
        let files = match store.layer_files(diff) {
            Ok(Some(files)) => files,
            Ok(None) => {
                self.bad_layer(diff, None, "missing", "is missing".to_owned());
                return Ok(store.distrust_layer(diff)?);
            }
            Err(error) => {
                self.bad_layer(diff, None, "unreadable", format!("can't be read: {}", chain(&error)));
                return Ok(store.distrust_layer(diff)?);
            }
        };
        match (store.layer_list(diff), files) {
            (Ok(LayerList::Whole(list)), LayerFiles::Folder(files)) => self.compare(diff, &files, list)?,
            (Ok(LayerList::Image(record)), LayerFiles::Image(file)) => self.image(&record, file)?,
            (Ok(LayerList::Damaged(why)), _) => self.bad_layer(diff, None, "record", format!("can't be proven: {why}")),
            (Ok(LayerList::None), _) if self.outcome.bad_blob => {
                let why = "can't be proven: it has no list of its files, and the blob that it came from is damaged";
                self.bad_layer(diff, None, "record", why.to_owned());
            }
            // The same layer unpacked once more shows how it should look.
            (Ok(LayerList::None), LayerFiles::Folder(files)) => match self.shared.transfer.unpack_again(blob, diff) {
                Ok(again) => {
                    self.compare(diff, &files, again.open_list()?)?;
                    if !self.outcome.bad_layer {
                        store.adopt_list(diff, &again)?;
                    }
                }
                Err(error) if error.kind() == crate::Kind::NoSpace => {
                    let source = std::io::ErrorKind::StorageFull.into();
                    let what = format!("{diff}, to prove the layer");
                    return Err(EngineError::Store(StoreError::Io { action: "unpack", what, source }));
                }
                Err(error) => self.bad_layer(diff, None, "record", format!("can't be proven: {}", chain(&error))),
            },
            (Ok(_), _) => {
                let why = "can't be proven: its record `layer.json` is that of another form";
                self.bad_layer(diff, None, "record", why.to_owned());
            }
            (Err(error), _) => self.bad_layer(diff, None, "unreadable", format!("can't be read: {}", chain(&error))),
        }
        if self.outcome.bad_layer {
            store.distrust_layer(diff)?;
        } else if !store.has_layer(diff)? {
            store.trust_layer(diff)?;
        }
        Ok(())
    }

    /// Proves an image: the tar in it by the diffID, and the rest by the record.
    fn image(&mut self, record: &LayerRecord, mut file: File) -> Result<(), EngineError> {
        let wanted = record.image.as_ref().map_or(0, |image| image.size);
        match file.metadata() {
            Ok(found) if found.len() == wanted => {}
            Ok(found) => {
                let why = format!("is damaged: `layer.erofs` has {} bytes, and should have {wanted}", found.len());
                self.bad_layer(record.diff_id, None, "content", why);
                return Ok(());
            }
            Err(error) => {
                self.bad_layer(record.diff_id, None, "unreadable", format!("can't be read: {error}"));
                return Ok(());
            }
        }
        let verifier = Verifier::new(record.diff_id, Some(record.tar_size));
        let proven = match file.seek(SeekFrom::Start(layer_unpack::TAR_START)) {
            Ok(_) => self.prove(verifier, &mut file, record.tar_size)?,
            Err(error) => Err(error.to_string()),
        };
        let proven = proven.and_then(|()| match layer_unpack::index_sum(&file, record.tar_size) {
            Ok(sum) if Some(sum) == record.image.as_ref().map(|image| image.sum) => Ok(()),
            Ok(_) => Err("the index in `layer.erofs` is not the one that was made".to_owned()),
            Err(error) => Err(error.to_string()),
        });
        match proven {
            Ok(()) => self.outcome.files += record.entries,
            Err(why) => self.bad_layer(record.diff_id, None, "content", format!("is damaged: {why}")),
        }
        Ok(())
    }

    fn compare(&mut self, diff: DiffId, files: &layer_fs::Dir, list: File) -> Result<(), EngineError> {
        let tell = self.tell;
        let mut differences = 0u64;
        let compared = manifest::compare(files, BufReader::new(list), &|| tell.is_stopped(), &mut |difference| {
            differences += 1;
            tell.tell_blocking(VerifyEvent::Problem(Problem {
                part: Part::Layer,
                digest: diff.0,
                image: self.image.to_owned(),
                path: Some(difference.path),
                what: difference.aspect.word(),
                detail: difference.aspect.to_string(),
            }));
        });
        self.outcome.problems += differences;
        self.outcome.bad_layer |= differences > 0;
        match compared {
            Ok(Compared { entries, bytes }) => {
                self.outcome.files += entries;
                self.outcome.bytes = self.outcome.bytes.saturating_add(bytes);
                Ok(())
            }
            Err(CompareError::Stopped) => Err(EngineError::Stopped),
            // Its sums were right a moment ago.
            Err(error) => {
                self.bad_layer(diff, None, "record", format!("can't be proven: {}", chain(&error)));
                Ok(())
            }
        }
    }

    fn bad_layer(&mut self, diff: DiffId, path: Option<Vec<u8>>, what: &'static str, detail: String) {
        self.outcome.bad_layer = true;
        self.problem(Part::Layer, diff.0, path, what, detail);
    }

    fn problem(&mut self, part: Part, digest: Digest, path: Option<Vec<u8>>, what: &'static str, detail: String) {
        self.outcome.problems += 1;
        let image = self.image.to_owned();
        self.tell.tell_blocking(VerifyEvent::Problem(Problem { part, digest, image, path, what, detail }));
    }
}
