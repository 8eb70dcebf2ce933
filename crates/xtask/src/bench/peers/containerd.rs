//! containerd and `ctr`, in the settings that make a difference to a pull.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::Result;
use layer_testkit::debian_images::host_platform;

use super::super::disk::{DISK, RUN};
use super::super::options::Options;
use super::super::process::Call;
use super::{Peer, Yield, has, root_with, version};

/// What is fetched at once of a layer by parts, in bytes: the value of its documentation's example.
const RANGE: u64 = 8 << 20;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Setting {
    /// It inflates by itself.
    Plain,
    /// It inflates by `igzip`, which it looks for.
    Igzip,
    /// A layer becomes a file of EROFS, made by `mkfs.erofs`; it inflates by `igzip` if that is there.
    Erofs,
    /// It fetches parts of a layer at the same time.
    Ranges,
}

struct Containerd {
    root: Option<PathBuf>,
    version: String,
    setting: Setting,
}

pub(super) fn find(options: &Options) -> Vec<Box<dyn Peer>> {
    let Some(root) = root_with(options, &["containerd", "ctr"]) else { return Vec::new() };
    let version = version(root.as_deref(), &["ctr", "--version"]);
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let erofs = known.contains("\terofs")
        && has(root.as_deref(), "mkfs.erofs")
        && !version.starts_with("1.")
        && !version.starts_with("2.0");
    let mut settings = vec![Setting::Plain];
    if has(root.as_deref(), "igzip") {
        settings.push(Setting::Igzip);
    }
    if erofs {
        settings.push(Setting::Erofs);
    }
    if !version.starts_with("1.") && !version.starts_with("2.0") {
        settings.push(Setting::Ranges);
    }
    let peer = |setting| Containerd { root: root.clone(), version: version.clone(), setting };
    settings.into_iter().map(|setting| Box::new(peer(setting)) as Box<dyn Peer>).collect()
}

fn socket() -> String {
    format!("{RUN}/containerd.sock")
}

impl Containerd {
    fn snapshotter(&self) -> &'static str {
        if self.setting == Setting::Erofs { "erofs" } else { "overlayfs" }
    }

    fn config(&self) -> String {
        let (snapshotter, platform) = (self.snapshotter(), host_platform());
        let differ = if self.setting == Setting::Erofs { "erofs" } else { "walking" };
        let buffer = if self.setting == Setting::Ranges { RANGE } else { 0 };
        format!(
            "version = 3\n\
             root = '{DISK}/containerd'\n\
             state = '{RUN}/containerd'\n\
             disabled_plugins = ['io.containerd.grpc.v1.cri', 'io.containerd.cri.v1.images', 'io.containerd.cri.v1.runtime', \
             'io.containerd.nri.v1.nri', 'io.containerd.snapshotter.v1.btrfs', 'io.containerd.snapshotter.v1.zfs', \
             'io.containerd.snapshotter.v1.devmapper', 'io.containerd.internal.v1.opt']\n\
             [grpc]\n\
             address = '{}'\n\
             [plugins.'io.containerd.service.v1.diff-service']\n\
             default = ['{differ}'{}]\n\
             [plugins.'io.containerd.transfer.v1.local']\n\
             concurrent_layer_fetch_buffer = {buffer}\n\
             [[plugins.'io.containerd.transfer.v1.local'.unpack_config]]\n\
             platform = '{platform}'\n\
             snapshotter = '{snapshotter}'\n\
             differ = '{differ}'\n",
            socket(),
            if differ == "erofs" { ", 'walking'" } else { "" }
        )
    }
}

impl Peer for Containerd {
    fn name(&self) -> &'static str {
        match self.setting {
            Setting::Plain => "containerd",
            Setting::Igzip => "containerd-igzip",
            Setting::Erofs => "containerd-erofs",
            Setting::Ranges => "containerd-ranges",
        }
    }

    fn version(&self) -> String {
        self.version.clone()
    }

    fn yields(&self) -> Yield {
        if self.setting == Setting::Erofs { Yield::Files } else { Yield::Folders }
    }

    fn lines_only(&self) -> bool {
        self.setting == Setting::Ranges
    }

    fn daemon(&self) -> Result<Option<Call>> {
        let config = format!("{RUN}/containerd.toml");
        fs::write(&config, self.config())?;
        let call = Call::new(self.root.as_deref(), &["containerd", "--config", &config, "--log-level", "warn"]);
        Ok(Some(if self.setting == Setting::Plain {
            call.env("CONTAINERD_DISABLE_IGZIP", "1").env("CONTAINERD_DISABLE_PIGZ", "1")
        } else {
            call
        }))
    }

    fn is_up(&self) -> bool {
        UnixStream::connect(Path::new(&socket())).is_ok()
    }

    fn pull(&self, image: &str) -> Call {
        let call = Call::new(self.root.as_deref(), &["ctr", "--address"]).arg(socket());
        call.arg("images").arg("pull").arg("--plain-http").arg("--snapshotter").arg(self.snapshotter()).arg(image)
    }
}
