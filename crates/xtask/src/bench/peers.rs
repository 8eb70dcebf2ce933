//! Who is measured: layerd, and what of others is installed here or in a root beside ours.

mod containerd;
mod docker;
mod layerd;
mod podman;
mod skopeo;

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::options::Options;
use super::process::Call;

/// layerd as it is without settings.
pub(crate) const LAYERD: &str = "layerd";

/// layerd with a file of EROFS for each layer.
pub(crate) const LAYERD_EROFS: &str = "layerd-erofs";

/// All that can be measured beside layerd.
pub(crate) const NAMES: [&str; 8] = [
    "dockerd-overlay2",
    "dockerd-containerd",
    "containerd",
    "containerd-igzip",
    "containerd-erofs",
    "containerd-ranges",
    "podman",
    "skopeo",
];

/// What a pull leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Yield {
    /// A folder for each layer, to be stacked.
    Folders,
    /// A file for each layer, to be mounted.
    Files,
    /// The packed layers.
    Download,
}

/// A program that pulls images, in one of its settings. Each run has a daemon of its own, on an empty disk.
pub(crate) trait Peer {
    fn name(&self) -> &'static str;

    fn version(&self) -> String;

    fn yields(&self) -> Yield {
        Yield::Folders
    }

    /// Whether it differs from another one only over a slow line, and is measured there alone.
    fn lines_only(&self) -> bool {
        false
    }

    /// Writes what settings it needs, and says how its daemon is called, if it has one.
    fn daemon(&self) -> Result<Option<Call>> {
        Ok(None)
    }

    /// Whether the daemon answers.
    fn is_up(&self) -> bool {
        true
    }

    /// The socket on which it speaks Docker's API.
    fn api(&self) -> Option<PathBuf> {
        None
    }

    /// A pull of that image.
    fn pull(&self, image: &str) -> Call;
}

/// All who are to be measured, layerd first, in both of its forms.
pub(crate) fn find(layerd: &Path, layer: &Path, options: &Options) -> Result<Vec<Box<dyn Peer>>> {
    let own = |form| -> Box<dyn Peer> { Box::new(layerd::Layerd::new(layerd, layer, form)) };
    let mut all = vec![own(layerd::Form::Folders), own(layerd::Form::Erofs)];
    let others = [docker::find(options), containerd::find(options), podman::find(options), skopeo::find(options)];
    for peer in others.into_iter().flatten() {
        if options.wants_peer(peer.name()) {
            all.push(peer);
        }
    }
    Ok(all)
}

/// The root in which all of the programs are: the one that was named, or else ours. `None` if they are in neither.
fn root_with(options: &Options, programs: &[&str]) -> Option<Option<PathBuf>> {
    let has_all = |root: &Path| programs.iter().all(|program| is_in(root, program));
    match &options.peer_root {
        Some(root) if has_all(root) => Some(Some(root.clone())),
        _ => has_all(Path::new("/")).then_some(None),
    }
}

/// Whether a program is installed in a root, which may be `None` for ours.
fn has(root: Option<&Path>, program: &str) -> bool {
    is_in(root.unwrap_or(Path::new("/")), program)
}

fn is_in(root: &Path, program: &str) -> bool {
    let folders = ["usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin"];
    folders.iter().any(|folder| root.join(folder).join(program).exists())
}

/// What a program says of its version: the first word of its answer that begins with a digit.
fn version(root: Option<&Path>, words: &[&str]) -> String {
    let text = Call::new(root, words).read().unwrap_or_default();
    let mut words = text.split_whitespace().map(|word| word.trim_matches([',', 'v']));
    words.find(|word| word.starts_with(|first: char| first.is_ascii_digit())).unwrap_or("?").to_owned()
}
