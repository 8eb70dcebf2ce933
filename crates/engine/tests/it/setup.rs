//! An engine on a store of its own, and a registry to pull from.

use std::path::{Path, PathBuf};

use layer_engine::{Engine, Event, Form, MountInfo, MountRequest, Options, Outcome, PullRequest};
use layer_reference::Reference;
use layer_testkit::image::Image;
use layer_testkit::registry::Registry;

pub(crate) struct Setup {
    pub(crate) engine: Engine,
    pub(crate) registry: Registry,
    pub(crate) folder: tempfile::TempDir,
}

impl Setup {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engine = open(folder.path()).await;
        Self { engine, registry: Registry::start().unwrap(), folder }
    }

    /// Serves an image under a name, and pulls it.
    pub(crate) async fn bring(&self, repository: &str, image: &Image) -> String {
        let name = self.registry.put_image(repository, "1", image);
        self.pull(&name).await.unwrap();
        name
    }

    pub(crate) async fn pull(&self, name: &str) -> Result<Outcome, String> {
        let reference = Reference::parse(name).unwrap().or_latest();
        let mut pull = self.engine.pull(PullRequest {
            reference,
            platform: None,
            credentials: None,
            patience: layer_engine::Patience::default(),
        });
        loop {
            match pull.next().await.unwrap() {
                Event::Done(outcome) => return Ok(outcome),
                Event::Failed(error) => return Err(format!("{:?} {}", error.kind(), error.cause)),
                _ => {}
            }
        }
    }

    pub(crate) async fn mount(&self, image: &str, writable: bool) -> Mounted {
        let image = image.to_owned();
        let request = MountRequest { image, platform: None, target: None, writable };
        Mounted::new(self.engine.mount(request).await.unwrap())
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.engine.root().to_owned()
    }
}

pub(crate) async fn open(root: &Path) -> Engine {
    Engine::open(options(root)).await.unwrap()
}

pub(crate) fn options(root: &Path) -> Options {
    let form = if keeps_images() { Form::Image } else { Form::Folder };
    Options { root: root.to_owned(), form, ..Options::default() }
}

/// Whether the whole run is about layers that are EROFS images, and not about folders.
pub(crate) fn keeps_images() -> bool {
    std::env::var_os("TEST_LAYERS").is_some_and(|form| form == "erofs")
}

/// A mount that doesn't outlive its test, however that ends.
pub(crate) struct Mounted(pub(crate) MountInfo);

impl Mounted {
    pub(crate) fn new(info: MountInfo) -> Self {
        Self(info)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0.target
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = layer_mount::unmount(&self.0.target);
    }
}
