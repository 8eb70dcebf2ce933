//! Images of real content, made of what is installed on this Debian: no network, real binaries, real links.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::image::{Image, ImageBuilder};
use crate::layer::{Compression, Data, Entry, Layer, LayerBuilder, noise};

const BUSYBOX: &str = "/bin/busybox";

/// The layer of a small system: busybox, a link for each of its applets, and the folders and files that programs expect.
///
/// # Errors
/// busybox is not installed or not static.
pub fn busybox_layer() -> Result<Layer> {
    ensure!(Path::new(BUSYBOX).exists(), "`{BUSYBOX}` is missing: install the Debian package `busybox-static`");
    let output = Command::new(BUSYBOX).arg("--list").output().context("run `busybox --list`")?;
    let list = String::from_utf8(output.stdout).context("the list of applets")?;
    let bytes = fs::read(BUSYBOX).with_context(|| format!("read `{BUSYBOX}`"))?;
    let mut layer = LayerBuilder::new();
    for folder in ["bin", "dev", "etc", "home", "proc", "root", "sys", "usr", "usr/bin", "var"] {
        layer = layer.dir(folder);
    }
    layer = layer
        .entry(Entry::dir("root").mode(0o700))
        .entry(Entry::dir("tmp").mode(0o1777))
        .entry(Entry::char_device("dev/null", 1, 3).mode(0o666))
        .file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n")
        .file("etc/group", "root:x:0:\nnogroup:x:65534:\n")
        .entry(Entry::file("bin/busybox", bytes).mode(0o755));
    for applet in list.lines().filter(|applet| *applet != "busybox") {
        layer = layer.symlink(format!("bin/{applet}"), "busybox");
    }
    Ok(layer.symlink("usr/bin/env", "../../bin/busybox").gzip())
}

/// The image of [`busybox_layer`].
///
/// # Errors
/// As for its layer.
pub fn busybox() -> Result<Image> {
    let image = ImageBuilder::new().platform(&host_platform()).layer(busybox_layer()?);
    Ok(image.cmd(&["sh"]).container("Env", vec!["PATH=/bin:/usr/bin"]).build())
}

/// The layer of all files, links and folders of some installed packages, under their own names, with their owners, modes and times.
///
/// # Errors
/// A package is not installed, or a file of it can't be read.
pub fn package_layer(packages: &[&str], compression: Compression) -> Result<Layer> {
    let output = Command::new("dpkg").arg("-L").args(packages).output().context("run `dpkg -L`")?;
    if !output.status.success() {
        bail!("`dpkg -L`: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let list = String::from_utf8(output.stdout).context("the names of files")?;
    // Slim systems leave out manuals, though they are listed; lines about diversions begin with a word.
    let there = |path: &PathBuf| fs::symlink_metadata(path).is_ok();
    let paths = list.lines().filter(|line| line.starts_with('/')).map(PathBuf::from).filter(there);
    let tar = LayerBuilder::new().paths(paths).finish()?;
    Ok(Layer::pack(tar, compression))
}

/// The image of a base layer and one layer for each group of installed packages.
///
/// # Errors
/// As for [`busybox_layer`] and [`package_layer`].
pub fn packages(groups: &[&[&str]]) -> Result<Image> {
    let mut image = ImageBuilder::new().platform(&host_platform()).layer(busybox_layer()?);
    for group in groups {
        image = image.layer(package_layer(group, Compression::Gzip)?);
    }
    Ok(image.cmd(&["sh"]).build())
}

/// An image of `count` small layers that change what is below them in every way a build does: files added, rewritten, renamed by whiteout,
/// folders emptied, modes changed, links made. Compressions take turns. The same `count` and `seed` give the same image, and images of one
/// seed share their lower layers.
pub fn stacked(count: usize, seed: u64) -> Image {
    ImageBuilder::new().platform(&host_platform()).layers((0..count).map(|number| stacked_layer(number, seed))).build()
}

fn stacked_layer(number: usize, seed: u64) -> Layer {
    let file = |number: usize| format!("files/{number:03}");
    let own = seed.wrapping_mul(1000).wrapping_add(number as u64);
    let seconds = 1_600_000_000 + number as i64;
    let mut layer = LayerBuilder::new();
    if number == 0 {
        layer = layer.entry(Entry::dir("./").mode(0o755)).entry(Entry::dir("files").mode(0o2775).owner(1, 1));
        layer = layer.entry(Entry::dir("emptied").mode(0o711)).file("changed", "0");
    }
    layer = layer
        .entry(Entry::file(file(number), noise(own, 2000)).mtime(seconds))
        .entry(Entry::file("changed", number.to_string()).mode(if number.is_multiple_of(2) { 0o644 } else { 0o600 }))
        .entry(Entry::data(format!("emptied/{number}"), Data::Fill { byte: b'x', len: 5000 }));
    if number % 3 == 2 {
        layer = layer.whiteout(file(number - 2)).hard_link(format!("links/{number:03}"), file(number));
    }
    if number % 5 == 4 {
        layer = layer.entry(Entry::dir(format!("nested/{number}/deep")).mode(0o700)).symlink("newest", file(number));
    }
    if number % 10 == 9 {
        layer = layer.opaque("emptied");
    }
    layer.pack([Compression::Gzip, Compression::Zstd, Compression::Plain][number % 3])
}

/// This machine's platform as images name it.
pub fn host_platform() -> String {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("linux/{architecture}")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{busybox, package_layer, packages, stacked};
    use crate::layer::Compression;
    use crate::tree::{Kind, Tree, gnu_tar_reference};

    fn unpacked(layers: &[Vec<u8>]) -> Tree {
        let folder = tempfile::tempdir().unwrap();
        gnu_tar_reference(layers, folder.path()).unwrap();
        Tree::read(folder.path()).unwrap()
    }

    #[test]
    fn root_busybox_is_a_system() {
        let tree = unpacked(&busybox().unwrap().tars().unwrap());
        assert_eq!(tree.entries[Path::new("bin/sh")].target.as_deref(), Some(Path::new("busybox")));
        assert_eq!(tree.entries[Path::new("bin/busybox")].mode, 0o755);
        assert!(tree.entries.len() > 200, "{}", tree.entries.len());
    }

    #[test]
    fn root_a_package_is_as_it_is_installed() {
        let tree = unpacked(&packages(&[&["coreutils"], &["tar"]]).unwrap().tars().unwrap());
        let here = std::fs::canonicalize("/bin/ls").unwrap();
        let content = crate::sha256(&std::fs::read(&here).unwrap());
        assert_eq!(tree.entries[here.strip_prefix("/").unwrap()].content, Some(content));
        let missing = package_layer(&["no-such-package"], Compression::Gzip).unwrap_err();
        assert!(missing.to_string().contains("no-such-package"), "{missing}");
    }

    #[test]
    fn root_a_stack_has_what_its_last_layers_say() {
        let image = stacked(120, 1);
        assert_eq!(image.layers.len(), 120);
        assert_eq!(stacked(30, 1).layers[29].blob.digest, image.layers[29].blob.digest);
        assert_ne!(stacked(30, 2).layers[29].blob.digest, image.layers[29].blob.digest);
        let tree = unpacked(&image.tars().unwrap());
        assert_eq!(tree.entries[Path::new("changed")].content, Some(crate::sha256(b"119")));
        assert_eq!(tree.entries[Path::new("newest")].target.as_deref(), Some(Path::new("files/119")));
        assert!(!tree.entries.contains_key(Path::new("files/117")), "hidden by layer 119");
        assert_eq!(tree.entries[Path::new("links/119")].linked_to.as_deref(), Some(Path::new("files/119")));
        let emptied = tree.entries.keys().filter(|path| path.starts_with("emptied")).count();
        assert_eq!(emptied, 2, "the folder and the file of the layer that emptied it");
        assert_eq!(tree.entries[Path::new("files")].mode, 0o2775);
        assert_eq!(tree.entries[Path::new("nested/4")].kind, Kind::Folder);
    }
}
