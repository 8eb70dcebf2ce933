//! What this machine can do at most: each part of a pull done alone, by the best tool for it, on the same layers and the same disk.

use std::fs::File;
use std::io::{BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use layer_compression::Decoder;
use layer_digest::{Algorithm, Hasher};
use serde::Serialize;

use super::corpus::{Corpus, Pattern};
use super::disk::{DISK, Disk};
use super::meter::{Meter, Usage, own_cpu};
use super::process::Call;
use super::stats::Spread;

/// As large as the buffers of a pull: smaller ones cost a quarter more.
const BUFFER: usize = 256 << 10;

/// One part done alone, in seconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Part {
    pub(crate) wall: f64,
    pub(crate) cpu: f64,
}

/// The parts of a pull of one image, each done alone.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Parts {
    pub(crate) inflate: Part,
    pub(crate) hash_wire: Part,
    pub(crate) hash_tar: Part,
    /// Files made by GNU tar, not synced.
    pub(crate) create: Part,
    /// What a sync took after that. It is no part of the limit, since it depends on how the files were made.
    pub(crate) sync: f64,
    /// The bytes of the tars in one file, synced.
    pub(crate) write: Part,
}

/// What follows from the parts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Limit {
    /// All that has to be computed, in seconds of a processor.
    pub(crate) cpu: f64,
    /// The dearest of what can only be done in a row, in seconds.
    pub(crate) serial: f64,
    /// The larger of that and of all processor time over all cores.
    pub(crate) wall: f64,
}

/// The limit, of the medians of the parts.
pub(crate) fn limit(rounds: &[Parts], cores: usize) -> Option<Limit> {
    let middle = |pick: fn(&Parts) -> f64| Spread::of(rounds.iter().map(pick)).map(|spread| spread.median);
    let serial = [
        middle(|parts| parts.inflate.wall)?,
        middle(|parts| parts.hash_wire.wall)?,
        middle(|parts| parts.hash_tar.wall)?,
        middle(|parts| parts.create.wall)?,
        middle(|parts| parts.write.wall)?,
    ];
    let serial = serial.into_iter().fold(0.0, f64::max);
    let cpu = middle(|parts| parts.inflate.cpu + parts.hash_wire.cpu + parts.hash_tar.cpu + parts.create.cpu)?;
    Some(Limit { cpu, serial, wall: serial.max(cpu / cores as f64) })
}

/// The layers of an image, packed and not, for as long as they are measured.
pub(crate) struct Subject {
    packed: Vec<PathBuf>,
    tars: Vec<PathBuf>,
    /// Holds the tars.
    _folder: tempfile::TempDir,
}

impl Subject {
    pub(crate) fn of(pattern: &Pattern, corpus: &Corpus, folder: &Path) -> Result<Self> {
        let folder = tempfile::tempdir_in(folder).context("make a folder")?;
        let packed: Vec<PathBuf> = pattern.layers.iter().map(|layer| corpus.folder.join(&layer.file)).collect();
        let mut tars = Vec::new();
        for (number, path) in packed.iter().enumerate() {
            let tar = folder.path().join(format!("{number}.tar"));
            let mut out = File::create(&tar).context("create a tar")?;
            inflate(path, |bytes| Ok(out.write_all(bytes)?))?;
            tars.push(tar);
        }
        Ok(Self { packed, tars, _folder: folder })
    }

    /// Does each part alone. The disk is made empty before those that write.
    pub(crate) fn measure(&self, disk: &mut Disk, meter: &Meter) -> Result<Parts> {
        let inflate = alone(|| self.packed.iter().try_for_each(|path| inflate(path, |_| Ok(()))))?;
        let hash_wire = alone(|| self.packed.iter().try_for_each(|path| hash(path)))?;
        let hash_tar = alone(|| self.tars.iter().try_for_each(|path| hash(path)))?;
        let create = self.run(
            disk,
            meter,
            r#"number=0; for tar; do
                mkdir "$0/$number"
                tar --extract --file "$tar" --directory "$0/$number" --numeric-owner --same-owner --preserve-permissions || exit 1
                number=$((number + 1))
            done"#,
        )?;
        let sync = disk.sync()?;
        let write = self.run(
            disk,
            meter,
            r#"for tar; do
                dd if="$tar" of="$0/all" bs=1M oflag=append conv=notrunc status=none || exit 1
            done
            sync "$0/all""#,
        )?;
        let part = |usage: Usage| Part { wall: usage.wall, cpu: usage.cpu };
        Ok(Parts { inflate, hash_wire, hash_tar, create: part(create), sync, write: part(write) })
    }

    fn run(&self, disk: &mut Disk, meter: &Meter, script: &str) -> Result<Usage> {
        disk.renew()?;
        let tars = self.tars.iter().map(|tar| tar.display().to_string());
        let call = tars.fold(Call::new(None, &["sh", "-c", script, DISK]), Call::arg);
        meter.account()?.measure(None, &[call])
    }
}

fn alone(work: impl FnOnce() -> Result<()>) -> Result<Part> {
    let (begun, cpu) = (Instant::now(), own_cpu()?);
    work()?;
    Ok(Part { wall: begun.elapsed().as_secs_f64(), cpu: own_cpu()? - cpu })
}

/// Hands on what a packed layer holds.
pub(crate) fn inflate(path: &Path, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let file = File::open(path).with_context(|| format!("open `{}`", path.display()))?;
    let mut decoder = Decoder::new(BufReader::with_capacity(BUFFER, file));
    read_all(&mut decoder, &mut take).with_context(|| format!("inflate `{}`", path.display()))
}

fn hash(path: &Path) -> Result<()> {
    let mut file = File::open(path).with_context(|| format!("open `{}`", path.display()))?;
    let mut hasher = Hasher::new(Algorithm::Sha256);
    read_all(&mut file, |bytes| {
        hasher.update(bytes);
        Ok(())
    })?;
    std::hint::black_box(hasher.finish());
    Ok(())
}

fn read_all(from: &mut impl Read, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            length => take(&buffer[..length])?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Limit, Part, Parts, limit};

    #[test]
    fn the_limit_is_the_dearest_part_or_all_over_the_cores() {
        let part = |seconds| Part { wall: seconds, cpu: seconds };
        let parts = Parts {
            inflate: part(3.0),
            hash_wire: part(0.5),
            hash_tar: part(1.0),
            create: part(2.0),
            sync: 9.0,
            write: Part { wall: 1.0, cpu: 0.1 },
        };
        assert_eq!(limit(&[parts], 2), Some(Limit { cpu: 6.5, serial: 3.0, wall: 3.25 }));
        assert_eq!(limit(&[parts], 4), Some(Limit { cpu: 6.5, serial: 3.0, wall: 3.0 }));
        assert_eq!(limit(&[], 2), None);
    }
}
