//! How fast a tar is gone through, and unpacked: into memory, where only the calls cost, and onto the disk that `TMPDIR` names.

use std::path::Path;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use layer_fs::Dir;
use layer_testkit::layer::{Entry, LayerBuilder};
use layer_unpack::{Reader, apply, apply_image};

/// As many files as a package of a language's library has, and of their size.
const FILES: usize = 2_000;
const FILE: usize = 12_000;
/// How many lie in one folder.
const FOLDER: usize = 20;

fn main() {
    divan::main();
}

fn tar() -> Vec<u8> {
    let mut layer = LayerBuilder::new();
    for number in 0..FILES {
        let folder = format!("usr/lib/part-{}", number / FOLDER);
        if number % FOLDER == 0 {
            layer = layer.entry(Entry::dir(&folder).mode(0o755));
        }
        let text = format!("{number} ").repeat(FILE / 5);
        layer = layer.entry(Entry::file(format!("{folder}/{number}"), text).mode(0o644));
    }
    layer.finish().expect("nothing of it comes from a file")
}

#[divan::bench(sample_count = 20)]
fn walk(bencher: Bencher<'_, '_>) {
    let tar = tar();
    bencher.counter(ItemsCount::new(FILES)).counter(BytesCount::new(tar.len())).bench_local(|| {
        let mut reader = Reader::new(&tar[..]);
        let mut entries = 0;
        while let Some(_entry) = reader.next_entry().expect("the tar is whole") {
            entries += 1;
            while let length @ 1.. = reader.data().expect("the tar is whole").len() {
                reader.consume(length);
            }
        }
        entries
    });
}

#[divan::bench(sample_count = 10)]
fn into_memory(bencher: Bencher<'_, '_>) {
    unpack(bencher, Path::new("/dev/shm"));
}

#[divan::bench(sample_count = 10)]
fn onto_disk(bencher: Bencher<'_, '_>) {
    unpack(bencher, &std::env::temp_dir());
}

/// The same as an image, which takes no rights.
#[divan::bench(sample_count = 10)]
fn into_image_in_memory(bencher: Bencher<'_, '_>) {
    image(bencher, Path::new("/dev/shm"));
}

#[divan::bench(sample_count = 10)]
fn into_image_on_disk(bencher: Bencher<'_, '_>) {
    image(bencher, &std::env::temp_dir());
}

fn image(bencher: Bencher<'_, '_>, place: &Path) {
    let tar = tar();
    let file = || tempfile::tempfile_in(place).expect("a file can be made");
    bencher.counter(ItemsCount::new(FILES)).counter(BytesCount::new(tar.len())).with_inputs(file).bench_local_values(
        |file| {
            apply_image(&tar[..], &file).expect("the tar is whole");
            // Given back, so that removing it is not measured.
            file
        },
    );
}

/// Owners are kept, so only root can measure this.
fn unpack(bencher: Bencher<'_, '_>, place: &Path) {
    let tar = tar();
    let folder = || tempfile::tempdir_in(place).expect("a folder can be made");
    bencher.counter(ItemsCount::new(FILES)).counter(BytesCount::new(tar.len())).with_inputs(folder).bench_local_values(
        |folder| {
            let root = Dir::open(folder.path()).expect("the folder is there");
            apply(&tar[..], &root).expect("the tar is whole");
            // Given back, so that removing it is not measured.
            folder
        },
    );
}
