//! The layers of an image as a stack to be mounted.

use std::collections::HashMap;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use layer_digest::DiffId;
use layer_mount::stack::{ForeignLink, Gaps, StackError, StackLayer, close_gaps, reroute};
use layer_mount::{LayerImage, MountError};
use layer_store::{Layer, LayerPath, Store, StoreError};

/// The layers of an image, base first, as they lie in the store.
#[derive(Debug)]
pub struct OpenLayers {
    /// Them, each with what it could not say alone.
    pub layers: Vec<StackLayer>,
    /// Those that are images, mounted where nobody sees it: the paths of their layers lead nowhere once they are gone.
    pub images: Vec<Arc<LayerImage>>,
}

/// The images of layers that something holds. Whoever stacks one more of them finds it here, and what was read of it in memory.
#[derive(Debug, Default)]
pub struct OpenImages(Mutex<HashMap<DiffId, Weak<LayerImage>>>);

impl OpenImages {
    /// The image of a layer, which lies at `path`.
    fn get(&self, id: DiffId, path: &Path) -> Result<Arc<LayerImage>, MountError> {
        let mut images = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(image) = images.get(&id).and_then(Weak::upgrade) {
            return Ok(image);
        }
        let image = Arc::new(LayerImage::open(path)?);
        images.retain(|_, image| image.strong_count() > 0);
        images.insert(id, Arc::downgrade(&image));
        Ok(image)
    }
}

impl OpenLayers {
    /// Opens the layers of these diffIDs, which something else keeps where they are. One that an image has twice is opened once.
    ///
    /// # Errors
    ///
    /// When one isn't there or is known to be damaged, its record can't be read, or its image can't be mounted.
    pub fn open(store: &Store, open: &OpenImages, diff_ids: &[DiffId]) -> Result<Self, StackingError> {
        let mut paths: HashMap<DiffId, PathBuf> = HashMap::new();
        let mut opened = Self { layers: Vec::with_capacity(diff_ids.len()), images: Vec::new() };
        for id in diff_ids {
            let layer = if store.has_layer(*id)? { store.layer(*id)? } else { None };
            let Layer { record, files } = layer.ok_or(StoreError::NoLayer(*id))?;
            let path = match (paths.get(id), files) {
                (Some(path), _) => path.clone(),
                (None, LayerPath::Folder(path)) => path,
                (None, LayerPath::Image(path)) => {
                    let image = open.get(*id, &path).map_err(|error| StackError::Image(Box::new(error)))?;
                    let path = image.path();
                    opened.images.push(image);
                    path
                }
            };
            paths.insert(*id, path.clone());
            let links = record.foreign_links.iter();
            opened.layers.push(StackLayer {
                path,
                implied_parents: record.implied_parents.clone(),
                foreign_links: links
                    .map(|link| ForeignLink { path: link.path.clone(), target: link.target.clone() })
                    .collect(),
            });
        }
        Ok(opened)
    }
}

/// Why layers can't be a stack.
#[derive(Debug, thiserror::Error)]
pub enum StackingError {
    /// They don't fit together, or can't be read.
    #[error(transparent)]
    Stack(StackError),
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StackError> for StackingError {
    fn from(error: StackError) -> Self {
        Self::Stack(error)
    }
}

impl From<StoreError> for StackingError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Sees to it that hard links to files of other layers lead somewhere, which only a whole stack can tell: builds what a mount would need,
/// and throws it away. Images with such links are rare.
pub(crate) fn check_stack(store: &Arc<Store>, diff_ids: &[DiffId]) -> Result<(), StackingError> {
    let mut links_lead_out = false;
    for id in diff_ids {
        let layer = store.layer(*id)?.ok_or(StoreError::NoLayer(*id))?;
        links_lead_out |= !layer.record.foreign_links.is_empty();
    }
    if !links_lead_out {
        return Ok(());
    }
    let open = OpenLayers::open(store, &OpenImages::default(), diff_ids)?;
    let (thin, rerouted) = (store.scratch()?, store.scratch()?);
    let layers = reroute(open.layers, rerouted.dir(), &rerouted.path())?;
    let stack: Vec<_> = layers.iter().rev().map(|layer| (layer.path.clone(), Gaps::of(layer))).collect();
    close_gaps(&stack, thin.dir().as_fd())?;
    Ok(())
}
