//! Mounting images.
//!
//! ```text
//! mounts/<id>/
//!   mount.json        what is mounted where
//!   gaps/             the thin top layer: what the layers could not say alone
//!   rerouted/         layers that write through links of those below, as they look in this stack
//!   upper/, work/     the changes, of a writable mount
//!   images/           layers that are images, for as long as a kernel has to see them to stack them
//!   merged/           the mount point, unless the user named one
//! ```
//!
//! A mount outlives the daemon. The next one finds it by its `mount.json`, and keeps its layers from being removed.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use layer_digest::{BlobId, DiffId, ImageId};
use layer_fs::Dir;
use layer_mount::stack::{Gaps, close_gaps, reroute};
use layer_mount::{LayerImage, MountFlags, Overlay, Upper};
use layer_oci::Platform;
use layer_store::{InUse, Lease, Naming, Store, StoreError};
use layer_transfer::{OpenImages, OpenLayers, StackingError};
use serde::{Deserialize, Serialize};

use crate::engine::Shared;
use crate::events::Action;
use crate::lookup::{self, Found, Variant};
use crate::{Engine, EngineError};

const FOLDER: &str = "mounts";
const RECORD: &str = "mount.json";
const IMAGES: &str = "images";
const MAX_RECORD: u64 = 1 << 20;

/// What to mount, and where.
#[derive(Clone, Debug)]
pub struct MountRequest {
    /// The image: a name, an ID, or the beginning of one.
    pub image: String,
    /// The platform; by default the host's.
    pub platform: Option<Platform>,
    /// The folder to mount on; by default one in the store.
    pub target: Option<PathBuf>,
    /// Whether it can be written to. Changes are lost when it is unmounted.
    pub writable: bool,
}

/// A mounted image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MountInfo {
    /// The mount's own ID.
    pub id: String,
    /// The image.
    pub image: ImageId,
    /// The name it was mounted by, in docker's short form.
    pub reference: Option<String>,
    /// Where it is mounted.
    pub target: PathBuf,
    /// Whether it can be written to.
    pub writable: bool,
    /// Its layers, base first.
    layers: Vec<DiffId>,
}

/// Keeps what a mount shows: in the store, and as it is; and its images, for mounts that show them, too. These are not those of a mount that was
/// taken over.
#[derive(Debug)]
struct Hold {
    // First, so that who may change a layer once it is let go finds no image of it open.
    images: Vec<Arc<LayerImage>>,
    _used: Vec<InUse>,
    _lease: Lease,
}

/// The mounts of a store.
#[derive(Debug)]
pub(crate) struct Mounts {
    mounts: Mutex<BTreeMap<String, (MountInfo, Hold)>>,
    images: OpenImages,
}

impl Mounts {
    /// Takes over the mounts of an earlier process, and clears away what is left of those that are gone.
    pub(crate) fn take_over(store: &Arc<Store>) -> io::Result<Self> {
        let root = Dir::open(&store.path().join(FOLDER))?;
        let mut mounts = BTreeMap::new();
        for (name, _) in root.entries()? {
            let images = store.path().join(FOLDER).join(OsStr::from_bytes(name.to_bytes())).join(IMAGES);
            if let Err(error) = layer_mount::detach_images(&images) {
                tracing::warn!(%error, images = %images.display(), "could not detach what is left of a mount");
            }
            let record = root.open_dir(name.as_c_str()).and_then(|dir| dir.read(RECORD, MAX_RECORD));
            let info = record.ok().and_then(|bytes| serde_json::from_slice::<MountInfo>(&bytes).ok());
            match info {
                Some(info) if layer_mount::is_mounted(&info.target).unwrap_or(true) => {
                    let hold = hold(store, &info);
                    mounts.insert(info.id.clone(), (info, hold));
                }
                _ => {
                    if let Err(error) = layer_fs::remove_tree(&root, &name) {
                        tracing::warn!(%error, ?name, "could not clear what is left of a mount");
                    }
                }
            }
        }
        Ok(Self { mounts: Mutex::new(mounts), images: OpenImages::default() })
    }

    pub(crate) fn len(&self) -> usize {
        self.mounts.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The bytes that they take on the disk beside the layers that they show. One that goes meanwhile may not be counted.
    pub(crate) fn allocated(&self, store: &Store) -> Result<u64, EngineError> {
        let measure = |id: &str| -> io::Result<u64> {
            let dir = Dir::open(&store.path().join(FOLDER).join(id))?;
            let mut bytes = layer_fs::allocated(&rustix::fs::fstat(&dir)?);
            bytes += dir.stat(RECORD)?.as_ref().map_or(0, layer_fs::allocated);
            // Not what is mounted in there.
            for name in ["gaps", "rerouted", "upper", "work"] {
                bytes = bytes.saturating_add(layer_fs::tree_allocated(&dir.open_dir(name)?)?);
            }
            Ok(bytes)
        };
        let mut total = 0u64;
        for info in self.all() {
            match measure(&info.id) {
                Ok(bytes) => total = total.saturating_add(bytes),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => {
                    let what = format!("{FOLDER}/{}", info.id);
                    return Err(EngineError::Store(StoreError::Io { action: "measure", what, source }));
                }
            }
        }
        Ok(total)
    }

    pub(crate) fn of_image(&self, image: ImageId) -> Option<MountInfo> {
        let mounts = self.mounts.lock().unwrap_or_else(PoisonError::into_inner);
        mounts.values().map(|(info, _)| info).find(|info| info.image == image).cloned()
    }

    /// A mount that shows just these layers.
    pub(crate) fn of_stack(&self, layers: &[DiffId]) -> Option<MountInfo> {
        let mounts = self.mounts.lock().unwrap_or_else(PoisonError::into_inner);
        mounts.values().map(|(info, _)| info).find(|info| info.layers == layers).cloned()
    }

    /// How many mounts there are of an image.
    pub(crate) fn count(&self, image: ImageId) -> u64 {
        let mounts = self.mounts.lock().unwrap_or_else(PoisonError::into_inner);
        mounts.values().filter(|(info, _)| info.image == image).count() as u64
    }

    /// A mount that shows a layer.
    pub(crate) fn of_layer(&self, layer: DiffId) -> Option<MountInfo> {
        let mounts = self.mounts.lock().unwrap_or_else(PoisonError::into_inner);
        mounts.values().map(|(info, _)| info).find(|info| info.layers.contains(&layer)).cloned()
    }

    fn all(&self) -> Vec<MountInfo> {
        self.mounts.lock().unwrap_or_else(PoisonError::into_inner).values().map(|(info, _)| info.clone()).collect()
    }
}

/// Keeps what a mount shows.
fn hold(store: &Arc<Store>, info: &MountInfo) -> Hold {
    let mut lease = store.lease();
    lease.hold_blob(BlobId(info.image.0));
    info.layers.iter().for_each(|id| lease.hold_layer(*id));
    let used = info.layers.iter().map(|id| store.use_layer(*id)).collect();
    Hold { images: Vec::new(), _used: used, _lease: lease }
}

impl Engine {
    /// Mounts an image.
    ///
    /// # Errors
    ///
    /// When there is no such image, the target can't be mounted on, or the kernel refuses.
    pub async fn mount(&self, request: MountRequest) -> Result<MountInfo, EngineError> {
        self.blocking(move |shared| {
            // Until it is leased, nobody may take the image away that was found.
            let naming = shared.store.naming();
            let found = lookup::find(&shared.store, &request.image)?;
            let variant = found.variant(&shared.store, request.platform.as_ref())?;
            mount_variant(shared, naming, &found, &variant, &request, MountFlags::default())
        })
        .await
    }

    /// Unmounts: the mount of this ID or on this folder, those that were made by this name, or else all mounts of this image.
    ///
    /// # Errors
    ///
    /// When there is none, or one is in use; those before it are unmounted.
    pub async fn unmount(&self, what: &str) -> Result<Vec<MountInfo>, EngineError> {
        let what = what.to_owned();
        self.blocking(move |shared| {
            let meant = meant(shared, &what)?;
            meant.iter().try_for_each(|info| take_down(shared, info))?;
            Ok(meant)
        })
        .await
    }

    /// All mounts.
    pub async fn mounts(&self) -> Vec<MountInfo> {
        self.shared.mounts.all()
    }
}

/// Mounts one platform of an image.
///
/// `naming` is let go as soon as nobody can take the image away any more.
pub(crate) fn mount_variant(
    shared: &Shared,
    naming: Naming<'_>,
    found: &Found,
    variant: &Variant,
    request: &MountRequest,
    flags: MountFlags,
) -> Result<MountInfo, EngineError> {
    let info = describe(shared, found, variant, request)?;
    // First the lease, then the look at what is there.
    let mut hold = hold(&shared.store, &info);
    drop(naming);
    match build(shared, found, &info, flags) {
        Ok(images) => hold.images = images,
        Err(error) => {
            clear(shared, &info.id);
            return Err(error);
        }
    }
    let naming = shared.store.naming();
    // Somebody may have removed it by name while its layers were stacked, when nobody could know of this mount.
    if shared.store.image(info.image.0).is_none() {
        // Whoever has seen it meanwhile and is in it keeps it from nobody.
        if let Err(error) = layer_mount::detach(&info.target) {
            tracing::warn!(%error, "could not take down a mount of an image that is gone");
        }
        clear(shared, &info.id);
        return Err(EngineError::NoSuchImage { name: request.image.clone() });
    }
    let mut mounts = shared.mounts.mounts.lock().unwrap_or_else(PoisonError::into_inner);
    mounts.insert(info.id.clone(), (info.clone(), hold));
    drop(mounts);
    drop(naming);
    shared.store.touch(info.image);
    shared.journal.note(Action::Mount, info.image, &info.target.display().to_string());
    tracing::info!(image = %info.image, target = %info.target.display(), writable = info.writable, "mounted");
    Ok(info)
}

/// Takes a mount down, and clears what belongs to it.
pub(crate) fn take_down(shared: &Shared, info: &MountInfo) -> Result<(), EngineError> {
    let name = || info.target.display().to_string();
    match layer_mount::unmount(&info.target) {
        // Somebody has unmounted it by hand: what is left is cleared.
        Ok(()) | Err(layer_mount::MountError::NotMounted { .. }) => {}
        Err(source) => return Err(EngineError::Mount { name: name(), source }),
    }
    shared.mounts.mounts.lock().unwrap_or_else(PoisonError::into_inner).remove(&info.id);
    clear(shared, &info.id);
    shared.journal.note(Action::Unmount, info.image, &name());
    tracing::info!(image = %info.image, target = name(), "unmounted");
    Ok(())
}

fn meant(shared: &Shared, what: &str) -> Result<Vec<MountInfo>, EngineError> {
    let all = shared.mounts.all();
    let path = Path::new(what);
    // The folder as it was named, or as it is really called.
    let real = path.canonicalize().ok();
    let here: Vec<_> = all
        .iter()
        .filter(|info| info.id == what || info.target == path || Some(&info.target) == real.as_ref())
        .cloned()
        .collect();
    if !here.is_empty() {
        return Ok(here);
    }
    // The name that a mount was made by, wherever that leads now: it is what lists show.
    if let Ok(name) = layer_reference::Reference::parse(what) {
        let name = name.or_latest().familiar();
        let named: Vec<_> = all.iter().filter(|info| info.reference.as_ref() == Some(&name)).cloned().collect();
        if !named.is_empty() {
            return Ok(named);
        }
    }
    let none = || EngineError::NotMounted { what: what.to_owned() };
    let image = lookup::find(&shared.store, what).map_err(|_| none())?.id();
    let of_image: Vec<_> = all.into_iter().filter(|info| info.image == image).collect();
    if of_image.is_empty() { Err(none()) } else { Ok(of_image) }
}

/// Decides where an image is mounted.
fn describe(
    shared: &Shared,
    found: &Found,
    variant: &Variant,
    request: &MountRequest,
) -> Result<MountInfo, EngineError> {
    let id = jiff::Timestamp::now().as_nanosecond();
    let id = format!("{id:x}");
    let target = match &request.target {
        Some(target) => {
            let bad = |reason| EngineError::BadTarget { target: target.clone(), reason };
            if !target.is_absolute() {
                return Err(bad("the path must be absolute"));
            }
            let real = target.canonicalize().map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => bad("there is no such folder"),
                _ => bad("the folder can't be reached"),
            })?;
            if real.starts_with(shared.store.path()) {
                return Err(bad("the folder lies in the store"));
            }
            if !real.is_dir() {
                return Err(bad("it is no folder"));
            }
            if shared.mounts.all().iter().any(|info| info.target == real) {
                return Err(bad("an image is mounted there already"));
            }
            real
        }
        None => shared.store.path().join(FOLDER).join(&id).join("merged"),
    };
    Ok(MountInfo {
        id,
        image: found.id(),
        reference: found.by.as_ref().map(layer_reference::Reference::familiar),
        target,
        writable: request.writable,
        layers: variant.config.diff_ids.clone(),
    })
}

/// Makes the mount's folders, and mounts. Gives the images among its layers.
fn build(
    shared: &Shared,
    found: &Found,
    info: &MountInfo,
    flags: MountFlags,
) -> Result<Vec<Arc<LayerImage>>, EngineError> {
    let store = &shared.store;
    let files = |action| move |source| EngineError::MountFiles { action, name: info.image.to_string(), source };
    let path = store.path().join(FOLDER).join(&info.id);
    let make = || -> io::Result<(Dir, Dir)> {
        let root = Dir::open(&store.path().join(FOLDER))?;
        let dir = root.create_dir(&info.id, 0o700)?;
        for name in ["merged", "upper", "work"] {
            dir.create_dir(name, 0o755)?;
        }
        let record = serde_json::to_vec(info)?;
        dir.write_atomic(RECORD, &record, 0o600)?;
        Ok((dir.create_dir("gaps", 0o755)?, dir.create_dir("rerouted", 0o755)?))
    };
    let (gaps, rerouted) = make().map_err(files("make the folders"))?;
    let stacked = |source| EngineError::Stack { name: found.shown(), source };
    let OpenLayers { layers, images } =
        OpenLayers::open(store, &shared.mounts.images, &info.layers).map_err(|error| match error {
            StackingError::Stack(error) => stacked(error),
            StackingError::Store(error) => error.into(),
        })?;
    let layers = reroute(layers, &rerouted, &path.join("rerouted")).map_err(stacked)?;
    // Topmost first, as a stack is looked through.
    let stack: Vec<_> = layers.iter().rev().map(|layer| (layer.path.clone(), Gaps::of(layer))).collect();
    let closed = close_gaps(&stack, gaps.as_fd()).map_err(stacked)?;
    let mut lowers = Vec::new();
    // The kernel's limit counts it, too: the largest images do without it if they can.
    if !closed.is_empty() || stack.len() < layer_mount::MAX_FOLDERS {
        lowers.push(path.join("gaps"));
    }
    // A layer that the image has twice is seen where it is topmost.
    for layer in layers.into_iter().rev() {
        if !lowers.contains(&layer.path) {
            lowers.push(layer.path);
        }
    }
    let upper = if info.writable {
        dress_root(&gaps, &path.join("upper")).map_err(files("dress the root"))?;
        Some(Upper { upper: path.join("upper"), work: path.join("work") })
    } else {
        None
    };
    // An image without layers, or with one, is stacked on an empty folder.
    while upper.is_none() && lowers.len() < 2 {
        lowers.push(path.join("work"));
    }
    let overlay = Overlay { lowers: &lowers, upper, flags };
    layer_mount::mount_images(&overlay, &images, &path.join(IMAGES), &info.target)
        .map_err(|source| EngineError::Mount { name: found.shown(), source })?;
    Ok(images)
}

/// Gives the folder for changes the looks of the image's root: the root of a tree is the root of its topmost folder.
fn dress_root(gaps: &Dir, upper: &Path) -> io::Result<()> {
    let upper = Dir::open(upper)?;
    let stat = rustix::fs::fstat(gaps)?;
    let owner = (rustix::fs::Uid::from_raw(stat.st_uid), rustix::fs::Gid::from_raw(stat.st_gid));
    rustix::fs::fchown(&upper, Some(owner.0), Some(owner.1))?;
    rustix::fs::fchmod(&upper, rustix::fs::Mode::from_raw_mode(stat.st_mode))?;
    layer_fs::copy_xattrs(gaps, &upper, |name| !name.to_bytes().starts_with(b"trusted.overlay."))?;
    let time = |seconds, nanos: u64| rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanos.cast_signed() };
    rustix::fs::futimens(
        &upper,
        &rustix::fs::Timestamps {
            last_access: time(stat.st_atime, stat.st_atime_nsec),
            last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
        },
    )?;
    Ok(())
}

/// Removes the files of a mount. What can't be removed now is at the next start.
fn clear(shared: &Shared, id: &str) {
    let remove = || -> io::Result<()> {
        let root = Dir::open(&shared.store.path().join(FOLDER))?;
        layer_fs::remove_tree(&root, &std::ffi::CString::new(id).map_err(io::Error::other)?)
    };
    if let Err(error) = remove() {
        tracing::warn!(%error, id, "could not clear what is left of a mount");
    }
}
