//! How the costs of a pull by layerd grow: with the size of a layer, with the number of layers and of files, with the images that are there.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use layer_testkit::debian_images::{host_platform, stacked};
use layer_testkit::image::{Image, ImageBuilder};

use super::corpus;
use super::meter::Usage;
use super::peers::{LAYERD, LAYERD_EROFS};
use super::results::{Growth, Results};
use super::scenario::Bench;
use super::served::Served;
use super::stats::Spread;
use super::{limit, rest};

/// A layer of so many megabytes.
const SIZES: [u64; 5] = [1, 16, 128, 1_000, 8_000];
/// So many layers, of three or four files each.
const LAYERS: [u64; 4] = [1, 10, 40, 120];
/// A layer of so many files, of a kilobyte each.
const FILES: [u64; 4] = [10, 1_000, 10_000, 100_000];
/// So many images in the store.
const IMAGES: [u64; 4] = [10, 100, 1_000, 5_000];
/// How many of them are removed again.
const REMOVED: usize = 5;
/// How much of a series is taken in a quick run.
const QUICK: usize = 2;

pub(crate) fn run(bench: &mut Bench, results: &mut Results) -> Result<()> {
    let steps = |all: &[u64]| all[..if bench.options.quick { QUICK } else { all.len() }].to_vec();
    let (sizes, layers, files, images) = (steps(&SIZES), steps(&LAYERS), steps(&FILES), steps(&IMAGES));
    let work = tempfile::tempdir_in(&bench.folder).context("make a folder")?;
    fs::create_dir(work.path().join("layers")).context("make a folder")?;
    let mut served = Served::start(&bench.folder)?;
    let source = Content::of(bench, work.path())?;
    let mut both = |bench: &mut Bench, served: &mut Served, series, amount, image| {
        let name = put(served, series, amount, image)?;
        for who in [LAYERD, LAYERD_EROFS] {
            step(bench, results, Step { who, series, amount, name: &name, before: &[] })?;
        }
        Ok::<_, anyhow::Error>(())
    };
    for amount in sizes {
        let image = tree_image(work.path(), &format!("size-{amount}"), |tree| source.file(tree, amount))?;
        both(bench, &mut served, "megabytes in a layer", amount, image)?;
    }
    for amount in files {
        let image = tree_image(work.path(), &format!("files-{amount}"), |tree| small_files(tree, amount))?;
        both(bench, &mut served, "files in a layer", amount, image)?;
    }
    for amount in layers {
        both(bench, &mut served, "layers", amount, stacked(usize::try_from(amount)?, 1))?;
    }
    let last = usize::try_from(images.last().copied().unwrap_or(0))?;
    let small = rest::put_small(&mut served, last)?;
    for amount in images {
        let (series, before) = ("images in the store", &small[..usize::try_from(amount)?]);
        let name = put(&mut served, series, amount, stacked(3, 2))?;
        // The form of layers has no part in this.
        step(bench, results, Step { who: LAYERD, series, amount, name: &name, before })?;
    }
    Ok(())
}

fn put(served: &mut Served, series: &str, amount: u64, image: Image) -> Result<String> {
    served.put(&format!("{}-{amount}", series.replace(' ', "-")), || Ok(image))
}

/// One step of a series.
struct Step<'a> {
    who: &'static str,
    series: &'static str,
    amount: u64,
    /// The image that is pulled.
    name: &'a str,
    /// The images that are there before.
    before: &'a [String],
}

/// Measures the pull of one image by layerd.
fn step(bench: &mut Bench, results: &mut Results, step: Step<'_>) -> Result<()> {
    let Step { who, series, amount, name, before } = step;
    let Some(index) = bench.peers.iter().position(|peer| peer.name() == who) else { return Ok(()) };
    let mut usages: Vec<Usage> = Vec::new();
    let (mut list, mut remove) = (None, None);
    for _ in 0..bench.options.rounds {
        usages.push(bench.session(index, |session| {
            rest::fill(session, before)?;
            let socket = session.peer.api().filter(|_| !before.is_empty());
            if let Some(socket) = &socket {
                list = Some(rest::list_p50(socket)?);
            }
            let usage = session.pull(&[name.to_owned()])?;
            if let Some(socket) = &socket {
                remove = Some(rest::remove_p50(socket, &before[..REMOVED])?);
            }
            Ok(usage)
        })?);
    }
    let spread = |pick: fn(&Usage) -> f64| Spread::of(usages.iter().map(pick)).context("a round was made");
    let (wall, cpu) = (spread(|usage| usage.wall)?, spread(|usage| usage.cpu)?);
    let daemon_peak = usages.iter().filter_map(|usage| usage.daemon_peak).max().unwrap_or(0);
    println!(
        "{who:<20} {amount:>8} {series:<22} wall {:7.3} s, CPU {:7.3} s, peak {} MiB",
        wall.median,
        cpu.median,
        daemon_peak >> 20
    );
    results.growth.push(Growth { who, series, amount, wall, cpu, daemon_peak, list_p50: list, remove_p50: remove });
    Ok(())
}

/// An image of one layer: the tree that `fill` makes.
fn tree_image(work: &Path, name: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<Image> {
    let tree = work.join(name).join("tree");
    fs::create_dir_all(&tree).context("make a folder")?;
    fill(&tree)?;
    let stored = corpus::pack(work, &tree, name)?;
    fs::remove_dir_all(work.join(name)).context("remove a folder")?;
    Ok(ImageBuilder::new().platform(&host_platform()).layer(corpus::layer(work, &stored)?).build())
}

fn small_files(tree: &Path, count: u64) -> Result<()> {
    for number in 0..count {
        let folder = tree.join(format!("{}", number / 100));
        if number % 100 == 0 {
            fs::create_dir(&folder).context("make a folder")?;
        }
        let text = format!("file {number} of the series\n").repeat(32);
        fs::write(folder.join(format!("{number}.txt")), text).context("write a file")?;
    }
    Ok(())
}

/// Real content to make files of, as long as need be.
struct Content {
    tar: std::path::PathBuf,
}

impl Content {
    fn of(bench: &Bench, work: &Path) -> Result<Self> {
        let pattern = bench.corpus.image("large")?;
        let packed = pattern.layers.first().context("the image has a layer")?;
        let tar = work.join("content.tar");
        let mut out = File::create(&tar).context("create a file")?;
        limit::inflate(&bench.corpus.folder.join(&packed.file), |bytes| Ok(out.write_all(bytes)?))?;
        Ok(Self { tar })
    }

    /// Makes a file of so many megabytes, of the content again and again.
    fn file(&self, tree: &Path, megabytes: u64) -> Result<()> {
        let mut out = File::create(tree.join("content")).context("create a file")?;
        let mut left = megabytes * 1_000_000;
        while left > 0 {
            let tar = File::open(&self.tar).context("open the content")?;
            left -= std::io::copy(&mut tar.take(left), &mut out)?;
        }
        Ok(())
    }
}
