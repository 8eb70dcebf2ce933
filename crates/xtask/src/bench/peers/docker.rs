//! dockerd with each of its two stores, and docker's client.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::super::api;
use super::super::disk::{DISK, RUN};
use super::super::options::Options;
use super::super::process::Call;
use super::{Peer, root_with, version};

/// The first version whose containerd store is of use.
const CONTAINERD_STORE_SINCE: u32 = 25;

struct Docker {
    root: Option<PathBuf>,
    version: String,
    containerd_store: bool,
}

pub(super) fn find(options: &Options) -> Vec<Box<dyn Peer>> {
    let Some(root) = root_with(options, &["dockerd", "docker", "containerd"]) else { return Vec::new() };
    let version = version(root.as_deref(), &["dockerd", "--version"]);
    let major = version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
    let mut all: Vec<Box<dyn Peer>> = Vec::new();
    for containerd_store in [false, true] {
        if !containerd_store || major >= CONTAINERD_STORE_SINCE {
            all.push(Box::new(Docker { root: root.clone(), version: version.clone(), containerd_store }));
        }
    }
    all
}

fn socket() -> String {
    format!("{RUN}/docker.sock")
}

impl Peer for Docker {
    fn name(&self) -> &'static str {
        if self.containerd_store { "dockerd-containerd" } else { "dockerd-overlay2" }
    }

    fn version(&self) -> String {
        self.version.clone()
    }

    fn daemon(&self) -> Result<Option<Call>> {
        let config = format!("{RUN}/docker.json");
        let driver = if self.containerd_store { "overlayfs" } else { "overlay2" };
        let settings = serde_json::json!({
            "data-root": format!("{DISK}/docker"),
            "exec-root": format!("{RUN}/docker"),
            "pidfile": format!("{RUN}/docker.pid"),
            "hosts": [format!("unix://{}", socket())],
            "storage-driver": driver,
            "features": {"containerd-snapshotter": self.containerd_store},
            "iptables": false,
            "ip6tables": false,
            "bridge": "none",
        });
        fs::write(&config, settings.to_string())?;
        Ok(Some(Call::new(self.root.as_deref(), &["dockerd", "--config-file", &config])))
    }

    fn is_up(&self) -> bool {
        api::ping(Path::new(&socket())).is_ok()
    }

    fn api(&self) -> Option<PathBuf> {
        Some(socket().into())
    }

    fn pull(&self, image: &str) -> Call {
        let call = Call::new(self.root.as_deref(), &["docker", "--host"]).arg(format!("unix://{}", socket()));
        call.arg("pull").arg("--quiet").arg(image).env("DOCKER_CONFIG", format!("{RUN}/docker-client"))
    }
}
