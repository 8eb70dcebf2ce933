//! The engine as a whole.

use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use layer_mount::LayerImage;
use layer_registry::{Client, SetupError};
use layer_store::{Form, Store};
use layer_transfer::{Limits, Preview, Pull, PullError, PullRequest, Push, PushRequest, Remote, Transfer};

use crate::error::ImagesError;
use crate::events::Journal;
use crate::mounts::Mounts;
use crate::{EngineError, OpenError};

/// How an engine is set up.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where the store lies. It is made if it isn't there.
    pub root: PathBuf,
    /// How registries are spoken to.
    pub registry: layer_registry::Options,
    /// How much happens at once.
    pub limits: Limits,
    /// In which form layers are kept that come from now on.
    pub form: Form,
}

/// The engine over one store. Clones share it.
#[derive(Clone, Debug)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Arc<Store>,
    pub(crate) client: Client,
    pub(crate) transfer: Transfer,
    pub(crate) mounts: Mounts,
    pub(crate) journal: Arc<Journal>,
    /// Held by a prune that somebody asked for: there is one at a time.
    pub(crate) pruning: Mutex<()>,
    /// Set when the daemon stops: what takes long gives up.
    pub(crate) stopping: AtomicBool,
}

/// Figures about a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreInfo {
    /// Where it lies.
    pub root: PathBuf,
    /// How many images there are.
    pub images: usize,
    /// How many layers are unpacked.
    pub layers: usize,
    /// In which form layers are kept that come.
    pub form: Form,
    /// How many images are mounted.
    pub mounts: usize,
    /// The bytes that are free there.
    pub free_bytes: u64,
}

impl Engine {
    /// Opens the store and takes over what an earlier process has left: partial downloads and mounts.
    ///
    /// # Errors
    ///
    /// When another process has the store, or it can't be used.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        let client = Client::new(options.registry)?;
        let (root, form) = (options.root, options.form);
        let open = move || -> Result<_, OpenError> {
            let store = Arc::new(Store::open(&root)?.with_form(form));
            if form == Form::Image {
                match try_image(&store) {
                    // Nothing is known of the kernel then, and the rest of the daemon is needed all the more.
                    Err(error) if error.is_of_disk() => {
                        tracing::warn!(%error, "could not find out whether layers can be images");
                    }
                    tried => tried.map_err(OpenError::Images)?,
                }
            }
            if store.started().is_empty {
                // Nobody has to wait for it.
                let store = Arc::downgrade(&store);
                std::thread::spawn(move || Store::refill(&store));
            }
            let mounts = Mounts::take_over(&store).map_err(OpenError::Mounts)?;
            Ok((store, mounts))
        };
        let (store, mounts) =
            tokio::task::spawn_blocking(open).await.map_err(|error| OpenError::Task(error.into()))??;
        let journal = Arc::new(Journal::load(Arc::clone(&store)));
        let notes = Arc::clone(&journal);
        let transfer = Transfer::new(Arc::clone(&store), client.clone(), options.limits)
            .observed(move |done| notes.note_done(done));
        let (pruning, stopping) = (Mutex::default(), AtomicBool::new(false));
        let shared = Shared { store, client, transfer, mounts, journal, pruning, stopping };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Where the store lies.
    pub fn root(&self) -> &Path {
        self.shared.store.path()
    }

    /// Starts to pull an image. Dropping the [`Pull`] leaves it: what nobody else waits for is stopped, and what has come of it is kept.
    pub fn pull(&self, request: PullRequest) -> Pull {
        self.shared.transfer.pull(request)
    }

    /// Starts to push images to where their names say. Dropping the [`Push`] stops it.
    pub fn push(&self, request: PushRequest) -> Push {
        self.shared.transfer.push(request)
    }

    /// Looks what a pull would do, without doing it: the registry is asked, and nothing is written.
    ///
    /// # Errors
    ///
    /// When the pull would fail before it fetched a layer, room on disk aside.
    pub async fn preview(&self, request: &PullRequest) -> Result<Preview, PullError> {
        self.shared.transfer.preview(request).await
    }

    /// Asks a registry what it has under a name. Nothing is written, and the platform that is wanted doesn't matter.
    ///
    /// # Errors
    ///
    /// When the registry doesn't tell.
    pub async fn remote(&self, request: &PullRequest) -> Result<Remote, PullError> {
        self.shared.transfer.remote(request).await
    }

    /// The tags that a registry has in the repository of `request`, in its order.
    ///
    /// # Errors
    ///
    /// When the registry doesn't tell.
    pub async fn tags(&self, request: &PullRequest) -> Result<Vec<String>, PullError> {
        self.shared.transfer.tags(request).await
    }

    /// How registries are reached now.
    pub fn registries(&self) -> layer_registry::Options {
        self.shared.client.options()
    }

    /// Takes over how registries are reached: insecure hosts, folders of certificates, mirrors, proxies. Pulls that run go on, and make their
    /// next requests by what is set now.
    ///
    /// # Errors
    ///
    /// When it can't be done; then all stays as it was.
    pub fn set_registries(&self, options: layer_registry::Options) -> Result<(), SetupError> {
        self.shared.client.reload(options)
    }

    /// Figures about the store.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub async fn info(&self) -> Result<StoreInfo, EngineError> {
        self.blocking(|shared| {
            Ok(StoreInfo {
                root: shared.store.path().to_owned(),
                images: shared.store.images().len(),
                layers: shared.store.layer_ids()?.len(),
                form: shared.store.form(),
                mounts: shared.mounts.len(),
                free_bytes: shared.store.free_bytes()?,
            })
        })
        .await
    }

    /// Stops all pulls, of which is kept what has come, and all verifications. Mounts stay.
    pub async fn shutdown(&self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        self.shared.transfer.shutdown().await;
    }

    /// Runs something that reads or writes files, on a thread that may wait for them.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let shared = Arc::clone(&self.shared);
        // What is logged there belongs to the same request.
        let span = tracing::Span::current();
        tokio::task::spawn_blocking(move || span.in_scope(|| work(&shared)))
            .await
            .map_err(|error| EngineError::Task(error.into()))?
    }
}

/// Sees to it that the kernel mounts images from files where the store lies, and shows all that is in them: only trying tells.
fn try_image(store: &Arc<Store>) -> Result<(), ImagesError> {
    const NAME: &str = "sample";
    let scratch = store.scratch()?;
    let file = scratch.dir().open_or_create(NAME, 0o400).map_err(ImagesError::File)?;
    let attributes = layer_unpack::sample_image(&file)?;
    let image = LayerImage::open(&scratch.path().join(NAME))?;
    shows(&image.path(), attributes)
}

/// Sees to it that a folder has these attributes.
fn shows(folder: &Path, attributes: &[(&CStr, &[u8])]) -> Result<(), ImagesError> {
    for (name, value) in attributes {
        let mut found = [0; 256];
        match rustix::fs::getxattr(folder, *name, &mut found[..]) {
            Ok(len) if found.get(..len) == Some(*value) => {}
            _ => return Err(ImagesError::Attribute { name: name.to_string_lossy().into_owned() }),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_a_kernel_that_shows_no_attributes_is_found_out() {
        let tmp = tempfile::tempdir().unwrap();
        let (name, value) = (c"user.sample", &b"value"[..]);
        rustix::fs::setxattr(tmp.path(), name, value, rustix::fs::XattrFlags::empty()).unwrap();
        assert!(shows(tmp.path(), &[(name, value)]).is_ok());
        for (name, value) in [(name, &b"valu"[..]), (name, b"other"), (c"user.none", b""), (c"trusted.none", b"y")] {
            let error = shows(tmp.path(), &[(name, value)]).unwrap_err();
            assert!(error.to_string().contains(name.to_str().unwrap()), "{error}");
        }
    }
}
