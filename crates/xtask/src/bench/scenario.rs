//! What is measured, and how a run goes: an empty disk, a fresh daemon, the pull.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail, ensure};

use super::corpus::{Corpus, Pattern};
use super::disk::Disk;
use super::limit::Subject;
use super::meter::{Account, Meter, Usage};
use super::options::Options;
use super::peers::{LAYERD, Peer, Yield};
use super::process::Running;
use super::results::{Results, Run};
use super::served::{Served, Traffic};
use super::{growth, line, rest};

/// Everything that a scenario works with.
pub(crate) struct Bench {
    pub(crate) options: Options,
    pub(crate) corpus: Corpus,
    pub(crate) disk: Disk,
    pub(crate) meter: Meter,
    pub(crate) peers: Vec<Box<dyn Peer>>,
    pub(crate) folder: PathBuf,
}

/// How often what is there already is pulled in a run, of which the median counts: one such pull takes less than what varies.
const WARM_PULLS: usize = 7;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// A pull of this image into an empty store.
    Cold(&'static str, &'static str),
    /// A pull of an image of which all layers but one are there.
    Update,
    /// Pulls of several images at the same time that share most of their layers.
    Together,
    /// A cold pull over a slow line.
    Shaped,
    /// A pull of what is there, over a long line.
    Warm,
    /// What a daemon takes at rest, and how fast it answers.
    Rest,
    /// How costs grow with the size of things.
    Growth,
}

const ALL: [Scenario; 11] = [
    Scenario::Cold("cold-many", "many"),
    Scenario::Cold("cold-large", "large"),
    Scenario::Cold("cold-layers", "layers"),
    Scenario::Cold("cold-node", "node"),
    Scenario::Cold("cold-many-zstd", "many-zstd"),
    Scenario::Update,
    Scenario::Together,
    Scenario::Shaped,
    Scenario::Warm,
    Scenario::Rest,
    Scenario::Growth,
];

/// The names of all.
pub(crate) fn names() -> Vec<&'static str> {
    ALL.map(Scenario::name).to_vec()
}

/// Those that were asked for.
pub(crate) fn chosen(options: &Options) -> Result<Vec<Scenario>> {
    for name in &options.only {
        ensure!(
            names().iter().any(|known| known.starts_with(name.as_str())),
            "no scenario begins with `{name}`: there are {}",
            names().join(", ")
        );
    }
    let wanted = |name: &str| options.only.iter().any(|one| name.starts_with(one.as_str()));
    // A quick run is for a look: series are not.
    let usual = |scenario: &Scenario| !options.quick || *scenario != Scenario::Growth;
    let chosen = |scenario: &Scenario| if options.only.is_empty() { usual(scenario) } else { wanted(scenario.name()) };
    Ok(ALL.into_iter().filter(chosen).collect())
}

impl Scenario {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cold(name, _) => name,
            Self::Update => "update",
            Self::Together => "together",
            Self::Shaped => "shaped",
            Self::Warm => "warm",
            Self::Rest => "rest",
            Self::Growth => "growth",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Cold(_, "many") => "Cold pull: many small files in six layers",
            Self::Cold(_, "large") => "Cold pull: few large files in one layer",
            Self::Cold(_, "layers") => "Cold pull: many small layers",
            Self::Cold(_, "node") => "Cold pull: a node application, one layer of small files",
            Self::Cold(..) => "Cold pull: many small files in six layers, packed by zstd",
            Self::Update => "Update: one of six layers has changed",
            Self::Together => "Images that share five layers, at the same time",
            Self::Shaped => "Cold pull of few large files over 40 ms and 12 MB/s a connection",
            Self::Warm => "Warm pull over a round trip of 40 ms",
            Self::Rest => "At rest, and answers over the socket",
            Self::Growth => "Growth",
        }
    }

    pub(crate) fn run(self, bench: &mut Bench, results: &mut Results) -> Result<()> {
        match self {
            Self::Cold(name, image) => cold(bench, results, name, image),
            Self::Update => update(bench, results),
            Self::Together => together(bench, results),
            Self::Shaped => shaped(bench, results),
            Self::Warm => warm(bench, results),
            Self::Rest => rest::run(bench, results),
            Self::Growth => growth::run(bench, results),
        }
    }
}

/// A peer whose daemon runs on an empty disk.
pub(crate) struct Session<'a> {
    pub(crate) peer: &'a dyn Peer,
    pub(crate) account: &'a Account,
    pub(crate) daemon: Option<Running>,
    pub(crate) disk: &'a Disk,
}

impl Session<'_> {
    /// Pulls images at the same time, and measures that.
    pub(crate) fn pull(&self, images: &[String]) -> Result<Usage> {
        let calls: Vec<_> = images.iter().map(|image| self.peer.pull(image)).collect();
        let mut usage = self.account.measure(self.daemon.as_ref().map(Running::pid), &calls)?;
        usage.sync = self.disk.sync()?;
        Ok(usage)
    }

    /// Ends the daemon and starts it again on what it has; returns the time to the first answer, in milliseconds.
    pub(crate) fn restart(&mut self) -> Result<f64> {
        if let Some(daemon) = self.daemon.take() {
            daemon.stop()?;
        }
        let begun = Instant::now();
        self.daemon = start(self.peer, self.account)?;
        Ok(begun.elapsed().as_secs_f64() * 1e3)
    }
}

fn start(peer: &dyn Peer, account: &Account) -> Result<Option<Running>> {
    let Some(call) = peer.daemon()? else { return Ok(None) };
    let mut daemon = account.start(&call, peer.name())?;
    daemon.until(|| peer.is_up())?;
    Ok(Some(daemon))
}

impl Bench {
    /// Starts a peer on an empty disk, lets `work` work with it, and ends it.
    pub(crate) fn session<T>(&mut self, peer: usize, work: impl FnOnce(&mut Session<'_>) -> Result<T>) -> Result<T> {
        self.disk.renew()?;
        let account = self.meter.account()?;
        let peer = self.peers[peer].as_ref();
        let daemon = start(peer, &account)?;
        let mut session = Session { peer, account: &account, daemon, disk: &self.disk };
        let result = work(&mut session);
        if let Some(daemon) = session.daemon.take() {
            // One that can't end has no say in what was measured, and is killed.
            if let Err(error) = daemon.stop() {
                println!("{error:#}");
            }
        }
        result
    }

    /// One measured run of each peer that `which` takes, in a turn that begins elsewhere each round. What another one fails at is noted.
    fn turn(
        &mut self,
        results: &mut Results,
        scenario: &'static str,
        image: &str,
        round: usize,
        which: impl Fn(&dyn Peer) -> bool,
        mut work: impl FnMut(&mut Session<'_>) -> Result<(Usage, Traffic)>,
    ) -> Result<()> {
        for offset in 0..self.peers.len() {
            let index = (offset + round) % self.peers.len();
            if !which(self.peers[index].as_ref()) {
                continue;
            }
            let peer = self.peers[index].name().to_owned();
            let measured = self.session(index, |session| {
                let (usage, traffic) = work(session)?;
                Ok((usage, traffic, session.disk.used()?))
            });
            match measured {
                Ok((usage, traffic, (stored, inodes))) => {
                    println!(
                        "{peer:<20} wall {:7.3} s, sync {:6.3} s, CPU {:7.3} s, peak {:4} MiB, {} blobs fetched",
                        usage.wall,
                        usage.sync,
                        usage.cpu,
                        usage.daemon_peak.unwrap_or(usage.peak) >> 20,
                        traffic.gets
                    );
                    let image = image.to_owned();
                    results.runs.push(Run { scenario, image, peer, round, usage, traffic, stored, inodes });
                }
                Err(error) if index == 0 => return Err(error.context(peer)),
                Err(error) => {
                    let text = format!("{scenario}, {peer}: {error:#}");
                    println!("FAILED: {text}");
                    results.failures.push(text);
                }
            }
        }
        Ok(())
    }

    /// A registry that has the images.
    pub(crate) fn serve(&self, patterns: &[Pattern]) -> Result<(Served, Vec<String>)> {
        let mut served = Served::start(&self.folder)?;
        let mut names = Vec::new();
        for pattern in patterns {
            names.push(served.put(&pattern.name, || self.corpus.built(pattern))?);
        }
        Ok((served, names))
    }
}

fn everywhere(peer: &dyn Peer) -> bool {
    !peer.lines_only()
}

fn unpacking(peer: &dyn Peer) -> bool {
    everywhere(peer) && peer.yields() != Yield::Download
}

/// Pulls, and sees what the registry was asked for meanwhile.
fn watched(served: &Served, session: &Session<'_>, images: &[String]) -> Result<(Usage, Traffic)> {
    let before = served.traffic();
    let usage = session.pull(images)?;
    let after = served.traffic();
    Ok((usage, Traffic { gets: after.gets - before.gets, bytes: after.bytes - before.bytes }))
}

fn cold(bench: &mut Bench, results: &mut Results, name: &'static str, image: &str) -> Result<()> {
    let pattern = bench.corpus.image(image)?;
    results.image(&pattern);
    let (served, names) = bench.serve(std::slice::from_ref(&pattern))?;
    let subject = Subject::of(&pattern, &bench.corpus, &bench.folder)?;
    for round in 0..bench.options.rounds {
        results.parts(image, subject.measure(&mut bench.disk, &bench.meter)?);
        served.warm(&pattern)?;
        bench.turn(results, name, image, round, everywhere, |session| {
            let measured = watched(&served, session, &names)?;
            // Who reports success before the files are there would win every comparison. Hard links take no inodes.
            let made = session.disk.used()?.1;
            ensure!(
                session.peer.yields() != Yield::Folders || made > pattern.files() / 2,
                "it has made {made} files of {}",
                pattern.files()
            );
            Ok(measured)
        })?;
    }
    if let Some(limit) = results.limit(image) {
        println!("{:<20} wall {:7.3} s, CPU {:20.3} s", "this machine's limit", limit.wall, limit.cpu);
    }
    Ok(())
}

fn update(bench: &mut Bench, results: &mut Results) -> Result<()> {
    let patterns =
        [bench.corpus.image("many")?, bench.corpus.image("many-updated")?, bench.corpus.image("updated-alone")?];
    for pattern in &patterns {
        results.image(pattern);
    }
    let (served, names) = bench.serve(&patterns)?;
    let [before, after, alone] = names.as_slice() else { bail!("three images are served") };
    for round in 0..bench.options.rounds {
        bench.turn(results, "update", "many-updated", round, unpacking, |session| {
            session.pull(std::slice::from_ref(before))?;
            watched(&served, session, std::slice::from_ref(after))
        })?;
        // The changed layer as all there is: what an update should cost.
        bench.turn(
            results,
            "update",
            "updated-alone",
            round,
            |peer| peer.name() == LAYERD,
            |session| watched(&served, session, std::slice::from_ref(alone)),
        )?;
    }
    Ok(())
}

fn together(bench: &mut Bench, results: &mut Results) -> Result<()> {
    let patterns = bench.corpus.together().iter().map(|name| bench.corpus.image(name)).collect::<Result<Vec<_>>>()?;
    let mut all = Pattern { name: "together".to_owned(), layers: Vec::new() };
    for layer in patterns.iter().flat_map(|pattern| &pattern.layers) {
        if !all.layers.iter().any(|known| known.digest == layer.digest) {
            all.layers.push(layer.clone());
        }
    }
    results.image(&all);
    let (served, names) = bench.serve(&patterns)?;
    println!("{} different layers and {} configs", all.layers.len(), patterns.len());
    for round in 0..bench.options.rounds {
        served.warm(&all)?;
        bench.turn(results, "together", &all.name, round, unpacking, |session| watched(&served, session, &names))?;
    }
    Ok(())
}

fn shaped(bench: &mut Bench, results: &mut Results) -> Result<()> {
    let pattern = bench.corpus.image("large")?;
    results.image(&pattern);
    let (served, names) = bench.serve(std::slice::from_ref(&pattern))?;
    served.warm(&pattern)?;
    // The line takes most of the time, and always the same.
    bench.turn(
        results,
        "shaped",
        "large",
        0,
        |_| true,
        |session| {
            let link = line::shaped(&served)?;
            let names: Vec<String> = names.iter().map(|name| link.name(name)).collect();
            watched(&served, session, &names)
        },
    )
}

fn warm(bench: &mut Bench, results: &mut Results) -> Result<()> {
    let pattern = bench.corpus.image("layers")?;
    results.image(&pattern);
    let (served, names) = bench.serve(std::slice::from_ref(&pattern))?;
    for round in 0..bench.options.rounds {
        bench.turn(results, "warm", "layers", round, unpacking, |session| {
            let link = line::far(&served)?;
            let names: Vec<String> = names.iter().map(|name| link.name(name)).collect();
            session.pull(&names)?;
            let mut pulls = (0..WARM_PULLS).map(|_| watched(&served, session, &names)).collect::<Result<Vec<_>>>()?;
            pulls.sort_by(|one, next| one.0.wall.total_cmp(&next.0.wall));
            Ok(pulls.swap_remove(WARM_PULLS / 2))
        })?;
    }
    Ok(())
}
