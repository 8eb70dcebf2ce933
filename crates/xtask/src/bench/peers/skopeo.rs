//! skopeo into a folder: what fetching and proving alone takes, without unpacking.

use std::path::PathBuf;

use super::super::disk::DISK;
use super::super::options::Options;
use super::super::process::Call;
use super::{Peer, Yield, root_with, version};

struct Skopeo {
    root: Option<PathBuf>,
    version: String,
}

pub(super) fn find(options: &Options) -> Vec<Box<dyn Peer>> {
    let Some(root) = root_with(options, &["skopeo"]) else { return Vec::new() };
    let version = version(root.as_deref(), &["skopeo", "--version"]);
    vec![Box::new(Skopeo { root, version })]
}

impl Peer for Skopeo {
    fn name(&self) -> &'static str {
        "skopeo"
    }

    fn version(&self) -> String {
        self.version.clone()
    }

    fn yields(&self) -> Yield {
        Yield::Download
    }

    fn pull(&self, image: &str) -> Call {
        // A folder for each image, or two pulls at once would write into one.
        let folder = image.rsplit(':').next().unwrap_or("image");
        let call = Call::new(
            self.root.as_deref(),
            &["skopeo", "--insecure-policy", "copy", "--quiet", "--src-tls-verify=false"],
        );
        call.arg(format!("docker://{image}")).arg(format!("dir:{DISK}/skopeo-{folder}"))
    }
}
