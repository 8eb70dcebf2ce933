//! `layer mount`, `layer umount`, `layer mounts`.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use layer_proto::{Mount, MountRequest};

use super::go_on;
use crate::api::Api;
use crate::cli::{Format, MountArgs, MountsArgs, UmountArgs};
use crate::error::Error;
use crate::exit::Exit;
use crate::render::table::Table;
use crate::render::text::{clean, short_id};
use crate::render::{json, output};

/// Mounts an image and prints the folder.
pub(super) async fn run(api: &Api, args: MountArgs) -> Result<Exit, Error> {
    let target = args.target.as_deref().map(|folder| absolute(folder).and_then(in_json)).transpose()?;
    let request = MountRequest { image: args.image, target, writable: args.writable, platform: args.platform };
    let mount = api.mount(&request).await.map_err(|error| error.during("mount", request.image))?;
    folder(&mount.target)?;
    Ok(Exit::Done)
}

/// Takes mounts down and prints their folders.
pub(super) async fn unmount(api: &Api, args: UmountArgs) -> Result<Exit, Error> {
    let mut exit = Exit::Done;
    for what in args.what {
        let shown = what.display().to_string();
        let unmounted = async {
            let what = meant(api, &what).await?;
            api.unmount(&what).await
        };
        match unmounted.await {
            Ok(mounts) => mounts.iter().try_for_each(|mount| folder(&mount.target))?,
            Err(error) => go_on(error.during("unmount", shown), &mut exit)?,
        }
    }
    Ok(exit)
}

/// Prints what is mounted.
pub(super) async fn list(api: &Api, args: MountsArgs) -> Result<Exit, Error> {
    let mounts = api.mounts().await?;
    if args.quiet {
        mounts.iter().try_for_each(|mount| folder(&mount.target))?;
        return Ok(Exit::Done);
    }
    match args.format {
        Format::Json => mounts.iter().try_for_each(|mount| output::data(&json::line(mount)))?,
        Format::Table => output::data(&table(&mounts))?,
    }
    Ok(Exit::Done)
}

fn table(mounts: &[Mount]) -> String {
    let mut table = Table::new(&["MOUNT ID", "IMAGE", "IMAGE ID", "MODE", "FOLDER"]);
    for mount in mounts {
        let name = mount.reference.as_deref().unwrap_or("<none>");
        table.row([&mount.id, name, &short_id(&mount.image), if mount.writable { "rw" } else { "ro" }, &mount.target]);
    }
    table.text()
}

/// Prints a folder: to the letter for a program, safely for a terminal.
pub(super) fn folder(path: &str) -> Result<(), Error> {
    if std::io::stdout().is_terminal() { output::outcome(&clean(path)) } else { output::outcome(path) }
}

/// What `what` stands for. `mnt` may be a folder here or an image; it is the folder if something is mounted there.
async fn meant(api: &Api, what: &Path) -> Result<String, Error> {
    let Some(text) = what.to_str() else { return in_json(absolute(what)?) };
    if text.is_empty() || what.is_absolute() {
        return Ok(text.to_owned());
    }
    let folder = in_json(absolute(what)?);
    if text.starts_with('.') {
        return folder;
    }
    match folder {
        Ok(folder) if api.mounts().await?.iter().any(|mount| mount.target == folder) => Ok(folder),
        _ => Ok(text.to_owned()),
    }
}

/// The folder as the daemon must name it, which works elsewhere: absolute, and without links as far as it exists.
pub(super) fn absolute(folder: &Path) -> Result<PathBuf, Error> {
    if let Ok(real) = folder.canonicalize() {
        return Ok(real);
    }
    let absolute = std::path::absolute(folder).map_err(|source| Error::Folder { folder: folder.to_owned(), source })?;
    // A folder that is still to be made: what is in front of it may exist.
    let real = absolute
        .parent()
        .zip(absolute.file_name())
        .and_then(|(parent, name)| Some(parent.canonicalize().ok()?.join(name)));
    Ok(real.unwrap_or(absolute))
}

pub(super) fn in_json(folder: PathBuf) -> Result<String, Error> {
    folder.into_os_string().into_string().map_err(|folder| Error::NotText { folder: folder.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_listed_by_name() {
        let mount = Mount {
            id: "3f2a9c".into(),
            image: "sha256:0cdb4c5716699f8e4c068f58b52bf3c46a03df3a64891f81e4c45cff63f1114f".into(),
            reference: Some("docker.io/library/busybox:latest".into()),
            target: "/mnt/a".into(),
            writable: false,
        };
        let nameless = Mount { reference: None, writable: true, ..mount.clone() };
        insta::assert_snapshot!(table(&[mount, nameless]), @r"
        MOUNT ID   IMAGE                              IMAGE ID       MODE      FOLDER
        3f2a9c     docker.io/library/busybox:latest   0cdb4c571669   ro        /mnt/a
        3f2a9c     <none>                             0cdb4c571669   rw        /mnt/a
        ");
    }

    #[test]
    fn folders_are_named_without_links() {
        let here = tempfile::tempdir().unwrap();
        let real = here.path().canonicalize().unwrap();
        std::fs::create_dir(here.path().join("real")).unwrap();
        std::os::unix::fs::symlink("real", here.path().join("link")).unwrap();
        assert_eq!(absolute(&here.path().join("link")).unwrap(), real.join("real"));
        assert_eq!(absolute(&here.path().join("link/new")).unwrap(), real.join("real/new"));
        assert_eq!(absolute(&here.path().join("no/such/new")).unwrap(), here.path().join("no/such/new"));
        assert!(absolute(Path::new("new")).unwrap().is_absolute());
    }
}
