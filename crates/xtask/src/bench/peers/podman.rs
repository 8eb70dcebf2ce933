//! podman, which has no daemon.

use std::path::PathBuf;

use super::super::disk::{DISK, RUN};
use super::super::options::Options;
use super::super::process::Call;
use super::{Peer, root_with, version};

struct Podman {
    root: Option<PathBuf>,
    version: String,
}

pub(super) fn find(options: &Options) -> Vec<Box<dyn Peer>> {
    let Some(root) = root_with(options, &["podman"]) else { return Vec::new() };
    let version = version(root.as_deref(), &["podman", "--version"]);
    vec![Box::new(Podman { root, version })]
}

impl Peer for Podman {
    fn name(&self) -> &'static str {
        "podman"
    }

    fn version(&self) -> String {
        self.version.clone()
    }

    fn pull(&self, image: &str) -> Call {
        let call = Call::new(self.root.as_deref(), &["podman", "--storage-driver", "overlay", "--root"]);
        let call = call.arg(format!("{DISK}/podman")).arg("--runroot").arg(format!("{RUN}/podman"));
        let call = call.arg("--events-backend").arg("none").arg("--cgroup-manager").arg("cgroupfs");
        call.arg("pull").arg("--quiet").arg("--tls-verify=false").arg(image)
    }
}
