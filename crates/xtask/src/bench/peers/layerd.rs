//! layerd and its client, as they were just built.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::super::api;
use super::super::disk::{DISK, RUN};
use super::super::process::Call;
use super::{LAYERD, LAYERD_EROFS, Peer, Yield, version};

/// How it keeps layers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Folders,
    Erofs,
}

pub(crate) struct Layerd {
    daemon: String,
    client: String,
    form: Form,
}

impl Layerd {
    pub(crate) fn new(daemon: &Path, client: &Path, form: Form) -> Self {
        Self { daemon: daemon.display().to_string(), client: client.display().to_string(), form }
    }

    fn socket() -> String {
        format!("{RUN}/layerd.sock")
    }
}

impl Peer for Layerd {
    fn name(&self) -> &'static str {
        match self.form {
            Form::Folders => LAYERD,
            Form::Erofs => LAYERD_EROFS,
        }
    }

    fn yields(&self) -> Yield {
        match self.form {
            Form::Folders => Yield::Folders,
            Form::Erofs => Yield::Files,
        }
    }

    fn version(&self) -> String {
        version(None, &[&self.daemon, "--version"])
    }

    fn daemon(&self) -> Result<Option<Call>> {
        // The settings of this machine, if it has any, are not its own.
        let config = format!("{RUN}/layerd.toml");
        let text = match self.form {
            Form::Folders => "layers = 'folders'\n",
            Form::Erofs => "layers = 'erofs'\n",
        };
        fs::write(&config, text)?;
        let call = Call::new(None, &[&self.daemon, "--config", &config, "--root"]).arg(format!("{DISK}/layerd"));
        Ok(Some(call.arg("--listen").arg(format!("unix://{}", Self::socket()))))
    }

    fn is_up(&self) -> bool {
        api::ping(Path::new(&Self::socket())).is_ok()
    }

    fn api(&self) -> Option<PathBuf> {
        Some(Self::socket().into())
    }

    fn pull(&self, image: &str) -> Call {
        Call::new(None, &[&self.client, "--host"])
            .arg(format!("unix://{}", Self::socket()))
            .arg("pull")
            .arg("-q")
            .arg(image)
    }
}
