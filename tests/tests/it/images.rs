//! Layers that are EROFS images: made, mounted, damaged, and beside folders in one store.
//!
//! What doesn't depend on the form is tested in both: `cargo xtask test` runs those tests again with `TEST_LAYERS=erofs`.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use layer_testkit::debian_images::{busybox, busybox_layer};
use layer_testkit::image::{Image, ImageBuilder};
use layer_testkit::layer::{Compression, Entry, Layer, LayerBuilder, SparseForm, noise};
use layer_testkit::registry::Registry;
use layer_testkit::tree::{Tree, assert_same, gnu_tar_reference};

use crate::disk::{Disk, Kind};
use crate::service::{Daemon, run};

/// A daemon whose layers are of this form from now on, on the store of the last one.
fn launch(daemon: &mut Daemon, form: &str) {
    daemon.kill_if_running();
    let mut command = daemon.command();
    command.env_remove("LAYERD_LAYERS").args(["--layers", form]);
    daemon.launch(&mut command);
}

fn start() -> Daemon {
    let mut daemon = Daemon::prepare();
    launch(&mut daemon, "erofs");
    daemon
}

fn folder_of(daemon: &Daemon, layer: &Layer) -> PathBuf {
    daemon.root().join("layers").join(layer.diff_id.replace(':', "/"))
}

fn names_in(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

/// Whether this process sees an EROFS mounted anywhere below the daemon's store.
fn shows_an_image(daemon: &Daemon) -> bool {
    let table = fs::read("/proc/self/mountinfo").unwrap();
    let root = daemon.root().canonicalize().unwrap();
    String::from_utf8_lossy(&table)
        .lines()
        .any(|line| line.contains(" - erofs ") && line.contains(root.to_str().unwrap()))
}

#[track_caller]
fn compare(daemon: &Daemon, name: &str, image: &Image) {
    let folder = daemon.layer(&["mount", name]).ok();
    let expected = tempfile::tempdir().unwrap();
    gnu_tar_reference(&image.tars().unwrap(), expected.path()).unwrap();
    let [mounted, expected] =
        [Path::new(&folder), expected.path()].map(|path| Tree::read(path).unwrap().without_holes());
    assert_same(&mounted, &expected);
    daemon.layer(&["umount", &folder]).ok();
}

#[test]
fn root_a_layer_is_one_file_that_programs_run_from() {
    let (daemon, registry) = (start(), Registry::start().unwrap());
    let image = busybox().unwrap();
    let name = registry.put_image("lab/busybox", "1", &image);
    daemon.layer(&["pull", "--quiet", &name]).ok();
    for layer in &image.layers {
        let folder = folder_of(&daemon, layer);
        assert_eq!(names_in(&folder), ["SHA256SUMS", "layer.erofs", "layer.json"]);
        let meta = fs::metadata(folder.join("layer.erofs")).unwrap();
        assert_eq!((meta.mode() & 0o7777, meta.uid()), (0o400, 0));
        run(Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(&folder)).ok();
    }
    assert!(daemon.layer(&["verify", &name]).ok().ends_with(": all is well"));
    compare(&daemon, &name, &image);

    // Two mounts, one of them to be written to, and no image is to be seen.
    let (one, other) = (daemon.layer(&["mount", &name]).ok(), daemon.layer(&["mount", "--rw", &name]).ok());
    assert!(!shows_an_image(&daemon));
    for folder in [&one, &other] {
        assert_eq!(run(Command::new(format!("{folder}/bin/busybox")).args(["echo", "runs"])).ok(), "runs");
    }
    fs::write(format!("{other}/etc/passwd"), "changed").unwrap();
    assert_ne!(fs::read_to_string(format!("{one}/etc/passwd")).unwrap(), "changed");
    for folder in [&one, &other] {
        daemon.layer(&["umount", folder]).ok();
    }
    daemon.layer(&["rmi", &name]).ok();
    assert_eq!(daemon.list("layers/sha256"), [""; 0]);
}

#[test]
fn root_a_mount_of_images_outlives_the_daemon() {
    let (mut daemon, registry) = (start(), Registry::start().unwrap());
    let name = registry.put_image("lab/busybox", "1", &busybox().unwrap());
    daemon.layer(&["pull", "--quiet", &name]).ok();
    let folder = daemon.layer(&["mount", &name]).ok();
    daemon.kill();
    // As a kernel needs it that stacks only what can be seen, and a process that was killed leaves it.
    let left = daemon.root().join("mounts").join(&daemon.list("mounts")[0]).join("images/0");
    fs::create_dir_all(&left).unwrap();
    let layer = daemon.root().join("layers/sha256").join(&daemon.list("layers/sha256")[0]).join("layer.erofs");
    rustix::mount::mount(&layer, &left, c"erofs", rustix::mount::MountFlags::RDONLY, None).unwrap();
    assert!(shows_an_image(&daemon));
    launch(&mut daemon, "folders");
    assert!(!shows_an_image(&daemon), "{}", daemon.log());
    assert_eq!(run(Command::new(format!("{folder}/bin/busybox")).args(["echo", "runs"])).ok(), "runs");
    daemon.layer(&["rmi", &name]).fails(1);
    daemon.layer(&["umount", &folder]).ok();
    daemon.layer(&["rmi", &name]).ok();
    assert_eq!(daemon.list("mounts"), [""; 0]);
}

/// What is done to a file.
type Harm = Box<dyn Fn(&Path)>;

/// Flips a byte of a file.
fn flip(file: &Path, at: u64) {
    let open = File::options().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    open.read_exact_at(&mut byte, at).unwrap();
    open.write_all_at(&[!byte[0]], at).unwrap();
}

#[test]
fn root_any_damage_is_found_and_healed() {
    let (daemon, registry) = (start(), Registry::start().unwrap());
    let layer = LayerBuilder::new().file("a", noise(1, 10_000)).symlink("l", "a").dir("d").gzip();
    let tar_size = layer.tar.to_vec().unwrap().len() as u64;
    let image = ImageBuilder::new().layer(layer).build();
    let name = registry.put_image("lab/damaged", "1", &image);
    daemon.layer(&["pull", "--quiet", &name]).ok();
    let file = folder_of(&daemon, &image.layers[0]).join("layer.erofs");
    let size = fs::metadata(&file).unwrap().len();
    let in_place: [(&str, u64); 6] = [
        ("the superblock", 1024),
        ("what is before it", 3),
        ("the first header", 4096),
        ("a content", 4096 + 2000),
        ("the index", 4096 + tar_size + 64),
        ("its last byte", size - 1),
    ];
    let length =
        |length: u64| move |file: &Path| File::options().write(true).open(file).unwrap().set_len(length).unwrap();
    let mut harms: Vec<(&str, Harm)> = Vec::new();
    for (what, at) in in_place {
        harms.push((what, Box::new(move |file: &Path| flip(file, at))));
    }
    harms.push(("cut short", Box::new(length(size - 1))));
    harms.push(("longer", Box::new(length(size + 512))));
    harms.push(("gone", Box::new(|file: &Path| fs::remove_file(file).unwrap())));
    harms.push((
        "a pipe, which nobody ever writes to",
        Box::new(|file: &Path| {
            fs::remove_file(file).unwrap();
            run(Command::new("mkfifo").arg(file)).ok();
        }),
    ));
    for (what, harm) in harms {
        harm(&file);
        let said = daemon.layer(&["verify", &name]);
        assert_eq!(said.code, Some(1), "{what}: {}", said.stdout);
        assert!(said.stdout.contains(&image.layers[0].diff_id[..19]), "{what}: {}", said.stdout);
        assert!(said.stdout.ends_with(": 1 part damaged\n"), "{what}: {}", said.stdout);
        // It is made anew of the blob.
        let before = registry.requests().len();
        daemon.layer(&["verify", "--repair", &name]).ok();
        assert_eq!(registry.requests().len(), before, "{what}");
        compare(&daemon, &name, &image);
        // A pull sees what was found, too.
        harm(&file);
        daemon.layer(&["verify", &name]).fails(1);
        assert!(!daemon.layer(&["pull", &name]).ok().contains("Already exists"), "{what}");
        assert!(daemon.layer(&["verify", &name]).ok().ends_with(": all is well"), "{what}");
    }
}

#[test]
fn root_what_a_restart_finds_cut_short_is_brought_anew() {
    let (mut daemon, registry) = (start(), Registry::start().unwrap());
    let image = ImageBuilder::new().layer(LayerBuilder::new().file("a", noise(1, 10_000)).gzip()).build();
    let name = registry.put_image("lab/cut", "1", &image);
    daemon.layer(&["pull", "--quiet", &name]).ok();
    let file = folder_of(&daemon, &image.layers[0]).join("layer.erofs");
    let size = fs::metadata(&file).unwrap().len();
    daemon.kill();
    File::options().write(true).open(&file).unwrap().set_len(size / 2).unwrap();
    launch(&mut daemon, "erofs");
    assert!(!daemon.layer(&["pull", &name]).ok().contains("Already exists"));
    assert_eq!(fs::metadata(&file).unwrap().len(), size);
    compare(&daemon, &name, &image);
}

#[test]
fn root_a_store_may_have_both_forms() {
    let (mut daemon, registry) = (start(), Registry::start().unwrap());
    let base = busybox_layer().unwrap();
    let above = |number: u64| {
        LayerBuilder::new()
            .file("bin/own", noise(number, 3000))
            .whiteout("etc/passwd")
            .hard_link("bin/also", "bin/busybox")
    };
    let images =
        [1, 2].map(|number| ImageBuilder::new().layers([base.clone(), above(number).pack(Compression::Zstd)]).build());
    let names = [1, 2].map(|number| registry.put_image("lab/both", &number.to_string(), &images[number - 1]));
    daemon.layer(&["pull", "--quiet", &names[0]]).ok();
    launch(&mut daemon, "folders");
    daemon.layer(&["pull", "--quiet", &names[1]]).ok();
    let kept = |image: &Image| -> Vec<bool> {
        image.layers.iter().map(|layer| folder_of(&daemon, layer).join("layer.erofs").exists()).collect()
    };
    assert_eq!((kept(&images[0]), kept(&images[1])), (vec![true, true], vec![true, false]));
    for (name, image) in names.iter().zip(&images) {
        assert!(daemon.layer(&["verify", name]).ok().ends_with(": all is well"));
        compare(&daemon, name, image);
    }
    // Repaired, a layer gets the form of the day.
    flip(&folder_of(&daemon, &images[0].layers[1]).join("layer.erofs"), 5000);
    daemon.layer(&["verify", "--repair", &names[0]]).ok();
    assert_eq!(kept(&images[0]), [true, false]);
    compare(&daemon, &names[0], &images[0]);
    launch(&mut daemon, "erofs");
    let file = folder_of(&daemon, &images[1].layers[1]).join("fs/bin/own");
    fs::write(file, "damaged").unwrap();
    daemon.layer(&["verify", "--repair", &names[1]]).ok();
    assert!(folder_of(&daemon, &images[1].layers[1]).join("layer.erofs").exists());
    compare(&daemon, &names[1], &images[1]);
}

#[test]
fn root_what_no_image_can_hold_gets_a_folder_by_whichever_way_it_comes() {
    let (mut daemon, registry) = (start(), Registry::start().unwrap());
    // An image has 2 TiB at most, and the file systems of folders have more.
    let hole = |name: &str| Entry::sparse(name, SparseForm::Pax10, 3 << 40, &[(1 << 30, b"within")]);
    let unfit = LayerBuilder::new().entry(hole("large")).file("small", "beside it").gzip();
    let tar = unfit.tar.to_vec().unwrap();
    let image = ImageBuilder::new().layers([busybox_layer().unwrap(), unfit]).build();
    let name = registry.put_image("lab/unfit", "1", &image);
    let check = |daemon: &Daemon, name: &str| {
        let folder = daemon.layer(&["mount", name]).ok();
        let large = File::open(format!("{folder}/large")).unwrap();
        let mut found = [0; 8];
        large.read_exact_at(&mut found, (1 << 30) - 1).unwrap();
        assert_eq!((large.metadata().unwrap().len(), &found), (3 << 40, b"\0within\0"));
        drop(large);
        assert_eq!(fs::read(format!("{folder}/small")).unwrap(), b"beside it");
        daemon.layer(&["umount", &folder]).ok();
    };
    daemon.layer(&["pull", "--quiet", &name]).ok();
    let forms = |daemon: &Daemon| -> Vec<bool> {
        image.layers.iter().map(|layer| folder_of(daemon, layer).join("layer.erofs").exists()).collect()
    };
    assert_eq!(forms(&daemon), [true, false]);
    check(&daemon, &name);
    let fetched = || {
        let requests = registry.requests();
        let gets = |layer: &Layer| requests.iter().filter(|one| one.path.ends_with(&layer.blob.digest)).count();
        image.layers.iter().map(gets).collect::<Vec<_>>()
    };
    assert_eq!(fetched(), [1, 1]);
    // A blob that has gone bad on the disk is fetched once more, and not again for the folder.
    daemon.kill();
    let layer = &image.layers[1];
    fs::remove_dir_all(folder_of(&daemon, layer)).unwrap();
    flip(&daemon.root().join("blobs").join(layer.blob.digest.replace(':', "/")), 30);
    launch(&mut daemon, "erofs");
    daemon.layer(&["pull", "--quiet", &name]).ok();
    assert_eq!((forms(&daemon), fetched()), (vec![true, false], vec![1, 2]), "{}", daemon.log());
    check(&daemon, &name);
    // Damaged, it gets a folder again.
    fs::write(folder_of(&daemon, &image.layers[1]).join("fs/small"), "damaged").unwrap();
    daemon.layer(&["verify", &name]).fails(1);
    daemon.layer(&["pull", "--quiet", &name]).ok();
    check(&daemon, &name);

    let archive = daemon.path("archive.tar");
    daemon.layer(&["save", "--output", archive.to_str().unwrap(), &name]).ok();
    daemon.layer(&["rmi", &name]).ok();
    assert_eq!(daemon.list("layers/sha256"), [""; 0]);
    daemon.layer(&["load", "--input", archive.to_str().unwrap()]).ok();
    assert_eq!(forms(&daemon), [true, false]);
    check(&daemon, &name);
    daemon.layer(&["rmi", &name]).ok();

    let file = daemon.path("layer.tar");
    fs::write(&file, tar).unwrap();
    daemon.layer(&["import", file.to_str().unwrap(), "lab/imported:1"]).ok();
    check(&daemon, "lab/imported:1");
    assert_eq!(daemon.list("staging"), [""; 0]);
}

#[test]
fn root_where_no_image_can_be_mounted_the_daemon_says_so_and_what_to_do() {
    let mut daemon = Daemon::prepare();
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let said = run(daemon.layerd().env_remove("LAYERD_LAYERS").arg("--root").arg(folder.path()).args([
        "--layers",
        "erofs",
        "--listen",
        "unix:///nowhere",
    ]))
    .fails(1);
    assert!(said.contains("keep layers as EROFS images") && said.contains("--layers erofs"), "{said}");
    // The setting may be in the file, too; and a store that can have them starts.
    fs::write(daemon.path("config.toml"), "layers = \"erofs\"\n").unwrap();
    daemon.again();
    fs::write(daemon.path("config.toml"), "layers = \"squashfs\"\n").unwrap();
    let said = run(&mut daemon.layerd()).fails(1);
    assert!(said.contains("unknown variant `squashfs`, expected `folders` or `erofs`"), "{said}");
}

/// What a mount has to copy may be more than there is room for. That is the disk's state, no fault of ours, and over when there is room.
#[test]
fn root_a_mount_that_finds_no_room_says_so() {
    let (disk, mut daemon) = {
        let daemon = Daemon::prepare();
        (Disk::mount(Kind::Ext4, 80 << 20, &daemon.root()), daemon)
    };
    launch(&mut daemon, "erofs");
    let registry = Registry::start().unwrap();
    let below = LayerBuilder::new().file("large", noise(1, 8 << 20)).gzip();
    // A name for a file of another layer: overlayfs has none of these, so that it is a copy.
    let above = LayerBuilder::new().hard_link("also", "large").gzip();
    let image = ImageBuilder::new().layers([below, above]).build();
    let name = registry.put_image("lab/linked", "1", &image);
    daemon.layer(&["pull", "--quiet", &name]).ok();
    // Not even for a folder, and not for the copy.
    for (left, fails_at) in [(0, "make the folders for a mount of"), (4 << 20, "stack the layers of")] {
        disk.fill(left);
        let body = serde_json::json!({"image": name}).to_string();
        let mut socket = UnixStream::connect(daemon.socket()).unwrap();
        let head = format!(
            "POST /layerd/v1/mounts HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Length: {}",
            body.len()
        );
        write!(socket, "{head}\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 507 ") && answer.contains(fails_at), "{answer}");
        let said = daemon.layer(&["mount", &name]).fails(1);
        assert!(said.contains("No space left on device"), "{said}");
        assert!(said.contains("hint: make room where the store lies"), "{said}");
        assert_eq!(daemon.list("mounts"), [""; 0]);
        disk.make_room();
    }
    compare(&daemon, &name, &image);
}

#[test]
fn root_a_mount_is_one_device_whose_holes_cost_nothing() {
    let (daemon, registry) = (start(), Registry::start().unwrap());
    let hole = Entry::sparse("log/last", SparseForm::Pax10, 2 << 30, &[(1 << 30, &[b'x'; 512])]);
    let layers = [busybox_layer().unwrap(), LayerBuilder::new().dir("log").entry(hole).gzip()];
    let name = registry.put_image("lab/holes", "1", &ImageBuilder::new().layers(layers).build());
    daemon.layer(&["pull", "--quiet", &name]).ok();
    let folder = daemon.layer(&["mount", "--rw", &name]).ok();
    let device = |path: &str| fs::metadata(format!("{folder}/{path}")).unwrap().dev();
    for path in ["bin", "bin/busybox", "log", "log/last"] {
        assert_eq!(device(path), device(""), "{path}");
    }
    // A change copies the file, and not its holes.
    let last = File::options().write(true).open(format!("{folder}/log/last")).unwrap();
    last.write_all_at(b"y", 5).unwrap();
    drop(last);
    let copy = daemon.root().join("mounts").join(&daemon.list("mounts")[0]).join("upper/log/last");
    let meta = fs::metadata(copy).unwrap();
    assert_eq!(meta.len(), 2 << 30);
    // The kernel copies a mebibyte at a time.
    assert!(meta.blocks() * 512 < 4 << 20, "{} blocks", meta.blocks());
    daemon.layer(&["umount", &folder]).ok();
}

#[test]
fn root_mounts_of_one_image_read_it_into_memory_once() {
    let (daemon, registry) = (start(), Registry::start().unwrap());
    let layer = LayerBuilder::new().file("large", noise(7, 8 << 20)).gzip();
    let name = registry.put_image("lab/shared", "1", &ImageBuilder::new().layer(layer).build());
    daemon.layer(&["pull", "--quiet", &name]).ok();
    let folders = [(); 2].map(|()| daemon.layer(&["mount", &name]).ok());
    // What one mount has read, the other finds in memory: the kernel tells of each page of a mapping whether it is there.
    let read = |folder: &str| fs::read(format!("{folder}/large")).unwrap().len();
    assert_eq!(read(&folders[0]), 8 << 20);
    let resident = run(Command::new("fincore")
        .args(["--bytes", "--noheadings", "--output", "RES"])
        .arg(format!("{}/large", folders[1])))
    .ok();
    assert_eq!(resident.trim(), (8 << 20).to_string());
    for folder in &folders {
        daemon.layer(&["umount", folder]).ok();
    }
}

#[test]
fn root_what_is_known_to_be_damaged_is_not_mounted() {
    let (daemon, registry) = (start(), Registry::start().unwrap());
    let image = ImageBuilder::new().layer(LayerBuilder::new().file("a", noise(1, 10_000)).gzip()).build();
    let name = registry.put_image("lab/known", "1", &image);
    daemon.layer(&["pull", "--quiet", &name]).ok();
    let file = folder_of(&daemon, &image.layers[0]).join("layer.erofs");
    flip(&file, 1024);
    // The kernel notices what is wrong with a superblock, and who asks is told what to do.
    let said = daemon.layer(&["mount", &name]).fails(1);
    assert!(said.contains("layer.erofs") && said.contains("layer verify --repair"), "{said}");
    flip(&file, 1024);
    flip(&file, 5000);
    daemon.layer(&["verify", &name]).fails(1);
    let said = daemon.layer(&["mount", &name]).fails(1);
    assert!(said.contains("is not in the store") && said.contains("pull the image again"), "{said}");
    daemon.layer(&["pull", "--quiet", &name]).ok();
    compare(&daemon, &name, &image);
}
