//! What is mounted is what GNU tar makes of the layers, one on the other.

use layer_testkit::debian_images;
use layer_testkit::image::{Image, ImageBuilder};
use layer_testkit::layer::{Compression, Entry, Layer, LayerBuilder, SparseForm, noise};
use layer_testkit::tree::{Tree, assert_same, gnu_tar_reference};

use crate::setup::{Setup, keeps_images};

/// Pulls and mounts an image, read-only and writable, and compares both trees with GNU tar's.
async fn compare(image: &Image) {
    let setup = Setup::new().await;
    let name = setup.bring("team/app", image).await;
    let oracle = tempfile::tempdir().unwrap();
    gnu_tar_reference(&image.tars().unwrap(), oracle.path()).unwrap();
    // An image shows holes as the zeros that they are read as.
    let holes = |tree: Tree| if keeps_images() { tree.without_holes() } else { tree };
    let want = holes(Tree::read(oracle.path()).unwrap());
    for writable in [false, true] {
        let mounted = setup.mount(&name, writable).await;
        // What overlayfs keeps for itself in the writable folder shows nowhere else.
        let got = holes(Tree::read(mounted.path()).unwrap().without_xattrs("trusted.overlay."));
        assert_same(&want, &got);
        setup.engine.unmount(&mounted.0.id).await.unwrap();
    }
}

fn image(layers: impl IntoIterator<Item = Layer>) -> Image {
    ImageBuilder::new().layers(layers).build()
}

#[tokio::test(flavor = "multi_thread")]
async fn root_busybox() {
    compare(&debian_images::busybox().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_installed_packages_in_three_layers() {
    compare(&debian_images::packages(&[&["base-files", "coreutils"], &["tar", "gzip"], &["dpkg"]]).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_120_layers() {
    compare(&debian_images::stacked(120, 7)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_every_kind_of_thing_in_every_packing() {
    let everything = || {
        LayerBuilder::new()
            .entry(Entry::dir(".").mode(0o751).owner(7, 8).mtime(1_000_000_000))
            .entry(Entry::dir("etc").mode(0o750).owner(1, 2).mtime(-86_400 * 365 * 20))
            .entry(Entry::file("etc/a", "one").mode(0o4711).owner(1000, 1000).mtime_nanos(1_700_000_000, 123_456_789))
            .entry(Entry::file("etc/b", "").mode(0).xattr("user.note", "a value with \0 in it"))
            .entry(Entry::symlink("etc/link", "../nowhere").owner(3, 4).mtime(5))
            .entry(Entry::hard_link("etc/hard", "etc/a"))
            .entry(Entry::dir("tmp").mode(0o1777))
            .entry(Entry::dir("shared").mode(0o2775).owner(0, 50))
            .entry(Entry::file("shared/f", "group must not be inherited"))
            .entry(Entry::char_device("dev-zero", 1, 5).mode(0o666))
            .entry(Entry::block_device("dev-loop", 7, 0).mode(0o660).owner(0, 6))
            .entry(Entry::fifo("pipe").mode(0o600))
            .entry(Entry::sparse("holes", SparseForm::OldGnu, 10 << 20, &[(0, &[1; 512]), (5 << 20, &[2; 512])]))
            .entry(Entry::sparse("holes-pax", SparseForm::Pax10, 8 << 20, &[(4096, &[3; 512])]))
            .entry(Entry::file("late", "far").mtime(4_000_000_000).owner(4_294_967_294, 2_097_152))
            .file("a".repeat(255), "long")
            .file(format!("{}/x", ["deep"; 60].join("/")), "deep")
            .file(b"not-utf8-\xff\xfe", "bytes")
            .file("noise", noise(1, 300_000))
    };
    for compression in [Compression::Plain, Compression::Gzip, Compression::GzipMembers(5), Compression::ZstdFrames(3)]
    {
        compare(&image([everything().pack(compression)])).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_layers_that_take_away_and_replace() {
    let base = LayerBuilder::new()
        .dir("a")
        .file("a/1", "1")
        .file("a/2", "2")
        .dir("a/sub")
        .file("a/sub/x", "x")
        .dir("b")
        .file("b/1", "1")
        .file("c", "a file")
        .dir("d")
        .file("d/1", "1")
        .symlink("e", "a")
        .dir("f")
        .file("f/1", "1")
        .gzip();
    let upper = LayerBuilder::new()
        .whiteout("a/1")
        .whiteout("a/sub")
        .dir("b")
        .opaque("b")
        .file("b/2", "2")
        .dir("c")
        .file("c/now-a-folder", "")
        .file("d", "now a file")
        .dir("e")
        .file("e/no-link", "")
        .whiteout("f")
        .dir("f")
        .file("f/2", "2")
        .gzip();
    let top = LayerBuilder::new()
        .dir("a")
        .dir("a/sub")
        .file("a/sub/y", "y")
        .whiteout("b")
        .whiteout("c")
        .file("c", "again")
        .gzip();
    compare(&image([base.clone()])).await;
    compare(&image([base.clone(), upper.clone()])).await;
    compare(&image([base, upper, top])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_folders_that_a_layer_does_not_name_look_as_below() {
    let base = LayerBuilder::new()
        .entry(Entry::dir(".").mode(0o700).mtime(77))
        .entry(Entry::dir("srv").mode(0o750).owner(10, 20).mtime(1_000_000).xattr("user.k", "v"))
        .entry(Entry::dir("srv/data").mode(0o2770).owner(30, 40).mtime(-5))
        .file("srv/data/1", "1")
        .gzip();
    let implied = LayerBuilder::new().file("srv/data/2", "2").file("fresh/x", "").gzip();
    let whiteout = LayerBuilder::new().whiteout("srv/data/1").gzip();
    compare(&image([base.clone(), implied.clone()])).await;
    compare(&image([base.clone(), implied.clone(), whiteout.clone()])).await;
    compare(&image([base, whiteout, implied])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_hard_links_to_files_of_other_layers() {
    let base = LayerBuilder::new().dir("bin").entry(Entry::file("bin/tool", "x").mode(0o755).mtime(9)).gzip();
    let link = LayerBuilder::new().hard_link("bin/alias", "bin/tool").hard_link("other", "/bin/tool").gzip();
    let hidden = LayerBuilder::new().whiteout("bin/alias").gzip();
    compare(&image([base.clone(), link.clone()])).await;
    compare(&image([base, link, hidden])).await;
}

/// What a program finds that unpacks one layer after the other through the links that are there by then; docker's classic driver hides the
/// link, and with it half the image.
#[tokio::test(flavor = "multi_thread")]
async fn root_a_layer_that_writes_through_a_link_of_a_layer_below() {
    let base = LayerBuilder::new()
        .entry(Entry::dir("usr/lib").mode(0o750).owner(5, 6).mtime(123))
        .file("usr/lib/old", "old")
        .file("usr/lib/gone", "gone")
        .symlink("lib", "usr/lib")
        .symlink("abs", "/usr/lib/../lib")
        .gzip();
    let through = LayerBuilder::new()
        .file("lib/new", "new")
        .whiteout("lib/gone")
        .entry(Entry::dir("lib/sub").mode(0o700).mtime(77))
        .file("lib/sub/x", "x")
        .file("abs/also", "also")
        .hard_link("abs/link", "usr/lib/old")
        .gzip();
    let top = LayerBuilder::new().file("usr/lib/top", "top").gzip();
    let setup = Setup::new().await;
    let name = setup.bring("team/app", &image([base, through, top])).await;
    let mounted = setup.mount(&name, false).await;
    let tree = Tree::read(mounted.path()).unwrap();
    let names: Vec<_> = tree.entries.keys().map(|path| path.to_str().unwrap()).collect();
    let want = [
        "abs",
        "lib",
        "usr",
        "usr/lib",
        "usr/lib/also",
        "usr/lib/link",
        "usr/lib/new",
        "usr/lib/old",
        "usr/lib/sub",
        "usr/lib/sub/x",
        "usr/lib/top",
    ];
    assert_eq!(names.into_iter().filter(|name| !name.is_empty() && *name != ".").collect::<Vec<_>>(), want);
    let folder = &tree.entries[std::path::Path::new("usr/lib")];
    assert_eq!((folder.mode & 0o7777, folder.uid, folder.gid, folder.mtime), (0o750, 5, 6, (123, 0)));
    let sub = &tree.entries[std::path::Path::new("usr/lib/sub")];
    assert_eq!((sub.mode & 0o7777, sub.mtime), (0o700, (77, 0)));
    assert_eq!(std::fs::read_to_string(mounted.path().join("lib/new")).unwrap(), "new");
    assert_eq!(std::fs::read_to_string(mounted.path().join("lib/link")).unwrap(), "old");
}

#[tokio::test(flavor = "multi_thread")]
async fn root_whiteouts_show_nowhere_and_an_opaque_root_hides_everything() {
    let base = LayerBuilder::new().dir("a").file("a/f", "1").file("b", "2").gzip();
    // A folder that merges with none is listed by overlayfs as it lies.
    let lonely = LayerBuilder::new().dir("new").whiteout("new/never-was").file("new/f", "3").gzip();
    compare(&image([base.clone(), lonely.clone()])).await;
    let emptied = LayerBuilder::new().entry(Entry::dir(".").mtime(5)).opaque("").file("c", "4").gzip();
    compare(&image([base.clone(), lonely, emptied.clone()])).await;
    compare(&image([base, emptied, LayerBuilder::new().file("a/g", "5").gzip()])).await;
}
