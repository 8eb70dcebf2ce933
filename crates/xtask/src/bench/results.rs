//! All that was measured, to be written as JSON.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::corpus::Pattern;
use super::disk::Disk;
use super::limit::{Limit, Parts, limit};
use super::meter::{Meter, Usage};
use super::options::Options;
use super::peers::{Peer, Yield};
use super::served::Traffic;
use super::stats::Spread;

/// One pull, or several at the same time.
#[derive(Debug, Serialize)]
pub(crate) struct Run {
    pub(crate) scenario: &'static str,
    pub(crate) image: String,
    pub(crate) peer: String,
    pub(crate) round: usize,
    #[serde(flatten)]
    pub(crate) usage: Usage,
    /// What the registry was asked for.
    pub(crate) traffic: Traffic,
    /// What is taken of the disk afterwards, in bytes, and in inodes.
    pub(crate) stored: u64,
    pub(crate) inodes: u64,
}

/// How long a request took, of many, in milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) peer: String,
    pub(crate) request: &'static str,
    /// What else the daemon did at the time.
    pub(crate) state: &'static str,
    pub(crate) count: usize,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// What a daemon takes that does nothing.
#[derive(Debug, Serialize)]
pub(crate) struct Rest {
    pub(crate) peer: String,
    pub(crate) images: usize,
    /// From the call to the first answer, in milliseconds.
    pub(crate) start: Spread,
    /// In bytes.
    pub(crate) resident: Spread,
}

/// One step of a series: how costs grow.
#[derive(Debug, Serialize)]
pub(crate) struct Growth {
    pub(crate) who: &'static str,
    pub(crate) series: &'static str,
    pub(crate) amount: u64,
    pub(crate) wall: Spread,
    pub(crate) cpu: Spread,
    pub(crate) daemon_peak: u64,
    /// Of a list of all images, in milliseconds, where the series is about their number.
    pub(crate) list_p50: Option<f64>,
    /// Of the removal of one of them, in milliseconds.
    pub(crate) remove_p50: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Machine {
    processor: String,
    cores: usize,
    kernel: String,
    memory_kib: u64,
    disk: String,
    accounting: &'static str,
}

#[derive(Debug, Serialize)]
struct Known {
    version: String,
    yields: Yield,
}

#[derive(Debug, Serialize)]
struct Size {
    layers: usize,
    files: u64,
    packed: u64,
    unpacked: u64,
}

/// All of it.
#[derive(Serialize)]
pub(crate) struct Results {
    quick: bool,
    rounds: usize,
    revision: String,
    machine: Machine,
    peers: BTreeMap<String, Known>,
    /// In the order in which they are shown.
    #[serde(skip)]
    order: Vec<String>,
    images: BTreeMap<String, Size>,
    pub(crate) runs: Vec<Run>,
    parts: BTreeMap<String, Vec<Parts>>,
    limits: BTreeMap<String, Limit>,
    pub(crate) latencies: Vec<Latency>,
    pub(crate) rests: Vec<Rest>,
    pub(crate) growth: Vec<Growth>,
    /// What a peer could not do, and why.
    pub(crate) failures: Vec<String>,
}

impl Results {
    pub(crate) fn new(options: &Options, disk: &Disk, meter: &Meter, peers: &[Box<dyn Peer>]) -> Result<Self> {
        let order = peers.iter().map(|peer| peer.name().to_owned()).collect();
        let known = |peer: &dyn Peer| Known { version: peer.version(), yields: peer.yields() };
        Ok(Self {
            quick: options.quick,
            rounds: options.rounds,
            revision: revision(),
            machine: machine(disk, meter)?,
            peers: peers.iter().map(|peer| (peer.name().to_owned(), known(peer.as_ref()))).collect(),
            order,
            images: BTreeMap::new(),
            runs: Vec::new(),
            parts: BTreeMap::new(),
            limits: BTreeMap::new(),
            latencies: Vec::new(),
            rests: Vec::new(),
            growth: Vec::new(),
            failures: Vec::new(),
        })
    }

    pub(crate) fn image(&mut self, pattern: &Pattern) {
        let size = Size {
            layers: pattern.layers.len(),
            files: pattern.files(),
            packed: pattern.packed(),
            unpacked: pattern.unpacked(),
        };
        self.images.insert(pattern.name.clone(), size);
    }

    pub(crate) fn parts(&mut self, image: &str, parts: Parts) {
        let all = self.parts.entry(image.to_owned()).or_default();
        all.push(parts);
        if let Some(limit) = limit(all, self.machine.cores) {
            self.limits.insert(image.to_owned(), limit);
        }
    }

    pub(crate) fn limit(&self, image: &str) -> Option<Limit> {
        self.limits.get(image).copied()
    }

    /// The medians of each part alone, by name.
    pub(crate) fn part_medians(&self, image: &str) -> Vec<(&'static str, f64, f64)> {
        let all = self.parts.get(image).map_or(&[][..], Vec::as_slice);
        let row = |name, pick: fn(&Parts) -> super::limit::Part| {
            let wall = Spread::of(all.iter().map(|parts| pick(parts).wall))?;
            let cpu = Spread::of(all.iter().map(|parts| pick(parts).cpu))?;
            Some((name, wall.median, cpu.median))
        };
        let rows = [
            row("inflate", |parts| parts.inflate),
            row("SHA-256 of the packed layers", |parts| parts.hash_wire),
            row("SHA-256 of the tars", |parts| parts.hash_tar),
            row("files by GNU tar", |parts| parts.create),
            row("write and sync by dd", |parts| parts.write),
        ];
        rows.into_iter().flatten().collect()
    }

    /// The peers, layerd first.
    pub(crate) fn peers(&self) -> &[String] {
        &self.order
    }

    /// Whether it unpacks into folders, as layerd does, or into files.
    pub(crate) fn unpacks(&self, peer: &str, folders: bool) -> bool {
        let wanted = if folders { Yield::Folders } else { Yield::Files };
        self.peers.get(peer).is_some_and(|known| known.yields == wanted)
    }

    /// Spreads of one peer in one scenario, if it was measured there.
    pub(crate) fn spread(&self, scenario: &str, image: &str, peer: &str, pick: fn(&Usage) -> f64) -> Option<Spread> {
        let own = self.runs.iter().filter(|run| run.scenario == scenario && run.image == image && run.peer == peer);
        Spread::of(own.map(|run| pick(&run.usage)))
    }

    /// The pairs of scenario and image that were measured, in order.
    pub(crate) fn measured(&self) -> Vec<(&'static str, String)> {
        let mut all: Vec<(&'static str, String)> = Vec::new();
        for run in &self.runs {
            let pair = (run.scenario, run.image.clone());
            if !all.contains(&pair) {
                all.push(pair);
            }
        }
        all
    }

    /// What an image is like, in words.
    pub(crate) fn described(&self, image: &str) -> String {
        self.images.get(image).map_or(String::new(), |size| {
            let megabytes = |bytes: u64| bytes / 1_000_000;
            let (packed, unpacked) = (megabytes(size.packed), megabytes(size.unpacked));
            format!("{} layers, {} files, {packed} → {unpacked} MB", size.layers, size.files)
        })
    }

    /// Where and with what it was measured, in words.
    pub(crate) fn circumstances(&self) -> String {
        let Machine { processor, cores, kernel, memory_kib, disk, accounting } = &self.machine;
        let peers = self.order.iter().map(|name| match self.peers.get(name) {
            Some(known) => format!("{name} {}", known.version),
            None => name.clone(),
        });
        format!(
            "{cores} × {processor}, {} GiB, Linux {kernel}; {disk}; times by {accounting}; {} rounds{}; revision {}. {}.",
            memory_kib >> 20,
            self.rounds,
            if self.quick { ", quick corpus" } else { "" },
            self.revision,
            peers.collect::<Vec<_>>().join(", ")
        )
    }

    pub(crate) fn write(&self, out: &Path) -> Result<()> {
        let path = out.join("results.json");
        fs::write(&path, serde_json::to_vec_pretty(self)?).with_context(|| format!("write `{}`", path.display()))
    }
}

fn machine(disk: &Disk, meter: &Meter) -> Result<Machine> {
    let processors = fs::read_to_string("/proc/cpuinfo").context("read `/proc/cpuinfo`")?;
    let name = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|pair| pair.1));
    let memory = fs::read_to_string("/proc/meminfo").context("read `/proc/meminfo`")?;
    let memory = memory.lines().next().and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    let writes = if disk.direct { "direct" } else { "cached" };
    Ok(Machine {
        processor: name.unwrap_or(std::env::consts::ARCH).to_owned(),
        cores: std::thread::available_parallelism()?.get(),
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        memory_kib: memory.unwrap_or(0),
        disk: format!("journaled ext4 of {} GiB on a loop device, {writes} I/O", disk.size >> 30),
        accounting: meter.method(),
    })
}

/// The commit that was measured, with a mark if more was changed.
fn revision() -> String {
    let told = || -> Result<String> {
        let shell = xshell::Shell::new()?;
        shell.change_dir(crate::machine::project()?);
        Ok(xshell::cmd!(shell, "git describe --always --dirty").quiet().ignore_stderr().read()?)
    };
    // A source archive has no history, and is measured all the same.
    told().unwrap_or_else(|_| "?".to_owned())
}
