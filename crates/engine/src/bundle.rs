//! OCI runtime bundles: a folder from which `runc` or `crun` starts an image.
//!
//! ```text
//! <bundle>/           0700, root's: set-user-ID programs of the image work in it, and are for the runtime alone
//!   config.json       what to run, and how: what the image's config says, the rest as runc's own default has it
//!   rootfs/           a writable mount of the image
//! ```
//!
//! The mount is one like all others: it is listed, keeps the image, outlives the daemon, and is taken down by its folder. Only what it forbids differs:
//! a runtime expects that set-user-ID bits and devices work, and limits them by means of its own.
//!
//! Spec: OCI runtime-spec 1.0, bundle.md, config.md; image-spec 1.1, conversion.md.

mod accounts;
mod spec;

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use layer_digest::ImageId;
use layer_fs::{Dir, FileKind};
use layer_mount::MountFlags;
use layer_oci::Platform;

use crate::engine::Shared;
use crate::lookup;
use crate::mounts::{mount_variant, take_down};
use crate::{Engine, EngineError, MountInfo, MountRequest};

const CONFIG: &str = "config.json";
const ROOT: &str = "rootfs";

/// What to make a bundle of, and where.
#[derive(Clone, Debug)]
pub struct BundleRequest {
    /// The image: a name, an ID, or the beginning of one.
    pub image: String,
    /// The platform; by default the host's.
    pub platform: Option<Platform>,
    /// The bundle's folder. It is made if it isn't there.
    pub target: PathBuf,
}

/// A bundle that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleInfo {
    /// The image.
    pub image: ImageId,
    /// The bundle's folder.
    pub target: PathBuf,
    /// The mount of its root.
    pub mount: MountInfo,
}

impl Engine {
    /// Makes a bundle.
    ///
    /// # Errors
    ///
    /// When there is no such image, the folder holds a bundle or is open to others, the image can't be mounted, or its user can't be made out.
    pub async fn bundle(&self, request: BundleRequest) -> Result<BundleInfo, EngineError> {
        self.blocking(move |shared| {
            let naming = shared.store.naming();
            let found = lookup::find(&shared.store, &request.image)?;
            let variant = found.variant(&shared.store, request.platform.as_ref())?;
            let (target, dir) = prepare(shared, &request.target)?;
            let mount = MountRequest {
                image: request.image.clone(),
                platform: request.platform.clone(),
                target: Some(target.join(ROOT)),
                writable: true,
            };
            let flags = MountFlags { nodev: false, nosuid: false, noexec: false };
            let mount = mount_variant(shared, naming, &found, &variant, &mount, flags)?;
            let write = || {
                let failed = |action| {
                    let target = target.clone();
                    move |source| EngineError::Bundle { action, target, source }
                };
                let root = Dir::open(&mount.target).map_err(failed("open the root of"))?;
                let account = accounts::resolve(&root, &variant.config.config.user)?;
                let config = spec::config(&variant, &account, &found.target.digest.short())
                    .map_err(failed("write the config of"))?;
                dir.write_atomic(CONFIG, &config, 0o600).map_err(failed("write the config of"))
            };
            if let Err(error) = write() {
                // What it fails for is told, not what follows from it.
                if let Err(error) = take_down(shared, &mount) {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "could not take the mount of a bundle down"
                    );
                }
                return Err(error);
            }
            tracing::info!(image = %mount.image, target = %target.display(), "made a bundle");
            Ok(BundleInfo { image: mount.image, target, mount })
        })
        .await
    }
}

/// Makes the bundle's folder, or takes one that is there, and the folder for its root.
fn prepare(shared: &Shared, target: &Path) -> Result<(PathBuf, Dir), EngineError> {
    let bad = |reason| EngineError::BadTarget { target: target.to_owned(), reason };
    let failed = |action| {
        let target = target.to_owned();
        move |source| EngineError::Bundle { action, target, source }
    };
    if !target.is_absolute() {
        return Err(bad("the path must be absolute"));
    }
    // So that nothing is made in the store.
    let above = target.parent().ok_or_else(|| bad("it is the root of the host"))?;
    let above = above.canonicalize().map_err(|_| bad("there is no folder to make it in"))?;
    if above.starts_with(shared.store.path()) {
        return Err(bad("the folder lies in the store"));
    }
    match std::fs::DirBuilder::new().mode(0o700).create(target) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed("make")(error)),
        _ => {}
    }
    let real = target.canonicalize().map_err(failed("find"))?;
    if real.starts_with(shared.store.path()) {
        return Err(bad("the folder lies in the store"));
    }
    let dir = Dir::open(&real).map_err(failed("open"))?;
    let stat = rustix::fs::fstat(&dir).map_err(|error| failed("look at")(error.into()))?;
    if stat.st_uid != rustix::process::geteuid().as_raw() || stat.st_mode & 0o077 != 0 {
        return Err(bad(
            "others can reach into the folder, and would have the image's set-user-ID programs: it must be root's, with mode 0700",
        ));
    }
    if dir.stat(CONFIG).map_err(failed("look into"))?.is_some() {
        return Err(bad("there is a `config.json` in it already"));
    }
    match dir.stat(ROOT).map_err(failed("look into"))? {
        None => drop(dir.create_dir(ROOT, 0o755).map_err(failed("make the root of"))?),
        Some(stat) if FileKind::of(&stat) == FileKind::Folder => {
            let root = dir.open_dir(ROOT).map_err(failed("open the root of"))?;
            if !root.entries().map_err(failed("open the root of"))?.is_empty() {
                return Err(bad("its `rootfs` is not empty"));
            }
        }
        Some(_) => return Err(bad("its `rootfs` is no folder")),
    }
    Ok((real, dir))
}
