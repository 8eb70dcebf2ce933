//! The oracle: what a stack of layers must look like, by GNU tar.
//!
//! GNU tar knows neither whiteouts nor that a layer may leave out the parents of its files. So, for each layer, the marks are applied by hand
//! first, then GNU tar extracts the rest, and then the folders that the layer only passed through get back the times they had. What a correct
//! stack looks like, where GNU tar alone would not say so:
//!
//! - A folder that the layer doesn't name keeps its owner, mode, times and attributes. If it wasn't there, it is 0755, root's, of 1970.
//! - A folder that the layer names has the attributes (`xattr`) that the layer gives, none of those below.
//! - A name that changes its type replaces everything that was under it.
//! - All marks of a layer mean the layers below it; where they stand in the tar doesn't matter.
//!
//! A layer that writes through a symbolic link of a layer below has no single right answer, and is an error.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT};

use super::{path_of, xattrs};

/// Applies uncompressed layers, base first, to the folder `into`, which must be empty. Needs root.
///
/// # Errors
/// GNU tar refuses a layer, or `into` can't be written.
pub fn gnu_tar_reference(layers: &[Vec<u8>], into: &Path) -> Result<()> {
    fs::set_permissions(into, Permissions::from_mode(0o755)).context("set the mode of the root")?;
    set_mtime(into, (0, 0))?;
    for (number, tar) in layers.iter().enumerate() {
        gnu_tar_apply(tar, into).with_context(|| format!("layer {number}"))?;
    }
    Ok(())
}

/// Applies one uncompressed layer over what is in `into`. Needs root.
///
/// # Errors
/// As [`gnu_tar_reference`].
pub fn gnu_tar_apply(tar: &[u8], into: &Path) -> Result<()> {
    let scratch = tempfile::tempdir().context("make a scratch folder")?;
    let file = scratch.path().join("layer.tar");
    fs::write(&file, tar).context("write the layer for GNU tar")?;
    let listed = list(&file)?;
    let named: BTreeMap<&Path, u8> =
        listed.iter().filter(|(path, _)| mark(path).is_none()).map(|(path, kind)| (path.as_path(), *kind)).collect();
    let parents: BTreeSet<&Path> = listed.iter().flat_map(|(path, _)| path.ancestors().skip(1)).collect();
    let passed: Vec<&Path> = parents.into_iter().filter(|path| named.get(path) != Some(&b'd')).collect();
    let times: BTreeMap<&Path, (i64, i64)> = passed
        .iter()
        .filter_map(|path| {
            fs::symlink_metadata(into.join(path)).ok().map(|meta| (*path, (meta.mtime(), meta.mtime_nsec())))
        })
        .collect();
    for (path, _) in &listed {
        match mark(path) {
            Some(Mark::Opaque(folder)) => clear(into, folder)?,
            Some(Mark::Whiteout(path)) => remove(into, &path)?,
            Some(Mark::Other) | None => {}
        }
    }
    for (path, kind) in &named {
        make_way(into, path, *kind)?;
    }
    let mut restored = Vec::new();
    for path in passed {
        let place = into.join(path);
        match fs::symlink_metadata(&place) {
            Ok(meta) if meta.is_dir() => restored.push((place, times.get(path).copied().unwrap_or_default())),
            Ok(meta) if meta.is_symlink() => bail!("the layer writes through the link `{}` below it", path.display()),
            Ok(_) => {
                fs::remove_file(&place).with_context(|| format!("remove `{}`", place.display()))?;
                restored.push((implied(place)?, (0, 0)));
            }
            Err(_) => restored.push((implied(place)?, (0, 0))),
        }
    }
    extract(&file, into)?;
    restored.iter().try_for_each(|(place, time)| set_mtime(place, *time))
}

enum Mark<'a> {
    Opaque(&'a Path),
    Whiteout(PathBuf),
    /// Left over from AUFS; means nothing.
    Other,
}

fn mark(path: &Path) -> Option<Mark<'_>> {
    let name = path.file_name()?;
    let folder = path.parent()?;
    let hidden = name.as_encoded_bytes().strip_prefix(b".wh.")?;
    Some(match hidden {
        b".wh..opq" => Mark::Opaque(folder),
        _ if hidden.starts_with(b".wh.") => Mark::Other,
        _ => Mark::Whiteout(folder.join(path_of(hidden))),
    })
}

/// The entries of an archive in their order: the name, without leading slash and dots, and the letter of its type as `tar -tv` shows it.
fn list(file: &Path) -> Result<Vec<(PathBuf, u8)>> {
    let run = |option: &str| -> Result<Vec<u8>> {
        let mut command = gnu_tar(file);
        command.arg(option).arg("--quoting-style=escape").arg("--numeric-owner");
        let output = command.output().context("run `tar`")?;
        ensure!(output.status.success(), "GNU tar: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(output.stdout)
    };
    let (names, lines) = (run("--list")?, run("-tv")?);
    let names = names.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let kinds = lines.split(|&byte| byte == b'\n').filter_map(|line| line.first().copied());
    names.zip(kinds).map(|(name, kind)| Ok((relative(&path_of(&unescape(name)))?, kind))).collect()
}

fn relative(path: &Path) -> Result<PathBuf> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => bail!("`{}` is no name for an oracle", path.display()),
        }
    }
    Ok(clean)
}

fn unescape(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let digits = rest.iter().take(3).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
        if digits == 3 {
            let value = rest[..3].iter().fold(0_u32, |value, digit| value * 8 + u32::from(digit - b'0'));
            bytes.extend(u8::try_from(value));
            rest = &rest[3..];
        } else if let [letter, after @ ..] = rest {
            let letters: [(u8, u8); 7] =
                [(b'n', 10), (b't', 9), (b'r', 13), (b'a', 7), (b'b', 8), (b'f', 12), (b'v', 11)];
            bytes.push(letters.iter().find(|(name, _)| name == letter).map_or(*letter, |(_, byte)| *byte));
            rest = after;
        }
    }
    bytes
}

fn gnu_tar(file: &Path) -> Command {
    let mut command = Command::new("tar");
    command.env("LC_ALL", "C").arg("--file").arg(file).arg("--warning=no-timestamp");
    command
}

fn extract(file: &Path, into: &Path) -> Result<()> {
    let output = gnu_tar(file)
        .args(["--extract", "--preserve-permissions", "--same-owner", "--numeric-owner"])
        // A folder's time is that of its entry also when files come into it later in the tar.
        .arg("--delay-directory-restore")
        .args(["--xattrs", "--xattrs-include=*", "--xattrs-exclude=trusted.overlay.*", "--exclude=.wh.*"])
        .arg("--directory")
        .arg(into)
        .output()
        .context("run `tar`")?;
    ensure!(output.status.success(), "GNU tar: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

/// Whether `path` is reached in `into` through folders alone.
fn reached(into: &Path, path: &Path) -> bool {
    let is_folder = |path: &Path| fs::symlink_metadata(into.join(path)).is_ok_and(|meta| meta.is_dir());
    path.ancestors().skip(1).all(is_folder)
}

fn remove(into: &Path, path: &Path) -> Result<()> {
    let place = into.join(path);
    if !reached(into, path) {
        return Ok(());
    }
    let Ok(meta) = fs::symlink_metadata(&place) else {
        return Ok(());
    };
    let removed = if meta.is_dir() { fs::remove_dir_all(&place) } else { fs::remove_file(&place) };
    removed.with_context(|| format!("remove `{}`", place.display()))
}

fn clear(into: &Path, folder: &Path) -> Result<()> {
    let place = into.join(folder);
    if !reached(into, folder) || !fs::symlink_metadata(&place).is_ok_and(|meta| meta.is_dir()) {
        return Ok(());
    }
    for item in fs::read_dir(&place).with_context(|| format!("list `{}`", place.display()))? {
        let item = item.with_context(|| format!("list `{}`", place.display()))?;
        remove(into, &folder.join(item.file_name()))?;
    }
    Ok(())
}

/// Takes away what a new entry replaces and GNU tar would keep: other types, other attributes.
fn make_way(into: &Path, path: &Path, kind: u8) -> Result<()> {
    let place = into.join(path);
    let Ok(meta) = fs::symlink_metadata(&place) else {
        return Ok(());
    };
    if kind != b'd' || !meta.is_dir() {
        return remove(into, path);
    }
    for (name, _) in xattrs(&place)? {
        let name = std::ffi::CString::new(name).context("a name of an attribute")?;
        rustix::fs::lremovexattr(&place, &name).with_context(|| format!("strip `{}`", place.display()))?;
    }
    Ok(())
}

/// Makes a folder that nothing names. Parents that are still missing are named in the layer, and GNU tar will set them right.
fn implied(place: PathBuf) -> Result<PathBuf> {
    fs::create_dir_all(&place).with_context(|| format!("create `{}`", place.display()))?;
    fs::set_permissions(&place, Permissions::from_mode(0o755)).with_context(|| format!("set `{}`", place.display()))?;
    Ok(place)
}

fn set_mtime(place: &Path, (seconds, nanos): (i64, i64)) -> Result<()> {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: nanos },
    };
    rustix::fs::utimensat(CWD, place, &times, AtFlags::SYMLINK_NOFOLLOW)
        .with_context(|| format!("set the time of `{}`", place.display()))
}
