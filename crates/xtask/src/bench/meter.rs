//! What a run costs, as the kernel counts it.
//!
//! Daemon, children and client of one run share a cgroup of version 2, whose `cpu.stat` counts also what ended long ago. Where none can be made,
//! times are added up from `/proc`: to a hundredth of a second, and without children that their parents never waited for.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use super::process::{Call, Running};

/// How often memory is looked at. A look costs some 50 µs.
const LOOK: Duration = Duration::from_millis(20);
/// What `/proc` counts in, on every Linux that Debian has.
const TICKS: f64 = 100.0;

/// What one run took.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Usage {
    /// From the call of the client to its end, in seconds.
    pub(crate) wall: f64,
    /// Of daemon, children and client, in seconds.
    pub(crate) cpu: f64,
    /// A sync of the file system afterwards, in seconds. layerd has synced by then, others have not.
    pub(crate) sync: f64,
    /// The most memory that the daemon and its lasting children had since the run began, in bytes.
    pub(crate) daemon_peak: Option<u64>,
    /// The most that all processes of the run had at one moment, of those looked at, in bytes.
    pub(crate) peak: u64,
}

/// Makes the accounts.
pub(crate) struct Meter {
    /// Where groups are made, if they can be.
    groups: Option<PathBuf>,
}

impl Meter {
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/mounts").context("read `/proc/mounts`")?;
        let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"));
        let root = mount.and_then(|line| line.split(' ').nth(1)).map(PathBuf::from);
        let name = folder.file_name().context("the folder has a name")?;
        let groups = root.map(|root| root.join(name)).filter(|group| {
            fs::create_dir(group).is_ok() && group.join("cpu.stat").exists() && group.join("cgroup.procs").exists()
        });
        Ok(Self { groups })
    }

    /// How times are counted, for the report.
    pub(crate) fn method(&self) -> &'static str {
        if self.groups.is_some() { "cgroup v2 cpu.stat" } else { "/proc/PID/stat" }
    }

    /// An account for one run.
    pub(crate) fn account(&self) -> Result<Account> {
        let group = match &self.groups {
            None => None,
            Some(groups) => {
                let group = groups.join("run");
                fs::create_dir(&group).context("make a cgroup")?;
                Some(group)
            }
        };
        Ok(Account { group })
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(groups) = &self.groups {
            let _ = fs::remove_dir(groups);
        }
    }
}

/// The account of one run.
pub(crate) struct Account {
    group: Option<PathBuf>,
}

impl Account {
    /// The file by which a process enters.
    pub(crate) fn entrance(&self) -> Option<PathBuf> {
        self.group.as_ref().map(|group| group.join("cgroup.procs"))
    }

    /// Starts a program that counts.
    pub(crate) fn start(&self, call: &Call, name: &str) -> Result<Running> {
        Running::start(call, self.entrance().as_deref(), name)
    }

    /// Runs the calls at the same time, and measures until the last has ended well.
    pub(crate) fn measure(&self, daemon: Option<u32>, calls: &[Call]) -> Result<Usage> {
        let group = self.group.clone();
        let own = std::process::id();
        let pids = move || match &group {
            Some(group) => group_pids(group),
            None => descendants(daemon.unwrap_or(own)),
        };
        if let Some(daemon) = daemon {
            for pid in self.lasting(daemon) {
                // An older kernel keeps the peak since the start, which is a little higher.
                let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
            }
        }
        let memory = Memory::watch(pids)?;
        let name = |number: usize| format!("client-{number}");
        let mut poised = Vec::new();
        if let Some(entrance) = self.entrance() {
            for (number, call) in calls.iter().enumerate() {
                poised.push(Running::poise(call, &entrance, &name(number))?);
            }
            for one in &mut poised {
                let pid = one.pid();
                one.until(|| self.lasting(pid).contains(&pid))?;
            }
        }
        let (begun, before) = (Instant::now(), self.cpu(daemon)?);
        let mut running = poised;
        running.iter_mut().try_for_each(Running::go)?;
        for (number, call) in calls.iter().enumerate().skip(running.len()) {
            running.push(self.start(call, &name(number))?);
        }
        for (one, call) in running.iter_mut().zip(calls) {
            let status = one.wait()?;
            ensure!(status.success(), "`{}` ended with {status}: {}", call.text(), one.said());
        }
        let wall = begun.elapsed().as_secs_f64();
        let cpu = self.cpu(daemon)? - before;
        let peak = memory.end();
        let daemon_peak = daemon.map(|daemon| self.lasting(daemon).into_iter().filter_map(high_water).sum());
        Ok(Usage { wall, cpu, sync: 0.0, daemon_peak, peak: peak.max(daemon_peak.unwrap_or(0)) })
    }

    /// The daemon and the children that it has now.
    fn lasting(&self, daemon: u32) -> Vec<u32> {
        match &self.group {
            Some(group) => group_pids(group),
            None => descendants(daemon),
        }
    }

    /// What the daemon and its lasting children have in memory now, in bytes.
    pub(crate) fn resident(&self, daemon: u32) -> u64 {
        self.lasting(daemon).into_iter().filter_map(resident).sum()
    }

    /// The processor time of the run so far, in seconds.
    fn cpu(&self, daemon: Option<u32>) -> Result<f64> {
        if let Some(group) = &self.group {
            let text = fs::read_to_string(group.join("cpu.stat")).context("read `cpu.stat`")?;
            let line = text.lines().find_map(|line| line.strip_prefix("usage_usec "));
            return Ok(line.context("`cpu.stat` has a usage")?.parse::<f64>()? / 1e6);
        }
        let of_daemon =
            daemon.map_or(0.0, |daemon| descendants(daemon).into_iter().map(|pid| ticks(pid, 11..15)).sum());
        // The clients are children of this program, and it has waited for them.
        Ok((of_daemon + ticks(std::process::id(), 13..15)) / TICKS)
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let Some(group) = &self.group else { return };
        // Whatever a daemon has left goes now. A group is free a moment after its last process.
        let _ = fs::write(group.join("cgroup.kill"), "1");
        let begun = Instant::now();
        while fs::remove_dir(group).is_err() && begun.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Looks at the memory of processes while they run. The usage that the kernel tells of an ended child is of no use: it begins with the
/// memory of the program that started it.
struct Memory {
    stop: std::sync::Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Memory {
    fn watch(pids: impl Fn() -> Vec<u32> + Send + 'static) -> Result<Self> {
        let stop = std::sync::Arc::new(AtomicBool::new(false));
        let seen = std::sync::Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("memory".to_owned()).spawn(move || {
            let mut peak = 0;
            while !seen.load(Ordering::Relaxed) {
                peak = peak.max(pids().into_iter().filter_map(resident).sum());
                std::thread::park_timeout(LOOK);
            }
            peak
        })?;
        Ok(Self { stop, thread })
    }

    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        self.thread.join().unwrap_or(0)
    }
}

fn group_pids(group: &Path) -> Vec<u32> {
    let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid != 0).collect()
}

/// A process and all below it.
fn descendants(root: u32) -> Vec<u32> {
    let mut parents: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if let Some(parent) = stat(pid).and_then(|fields| fields.get(1)?.parse().ok()) {
            parents.entry(parent).or_default().push(pid);
        }
    }
    let (mut found, mut seen, mut next) = (Vec::new(), HashSet::new(), vec![root]);
    while let Some(pid) = next.pop() {
        if seen.insert(pid) {
            found.push(pid);
            next.extend(parents.get(&pid).into_iter().flatten());
        }
    }
    found
}

/// The fields of a process behind its name, which may have spaces: its state is the first.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit_once(") ")?.1.split(' ').map(str::to_owned).collect())
}

fn ticks(pid: u32, fields: std::ops::Range<usize>) -> f64 {
    let all = stat(pid).unwrap_or_default();
    all.get(fields).into_iter().flatten().filter_map(|field| field.parse::<f64>().ok()).sum()
}

fn kibibytes(pid: u32, field: &str) -> Option<u64> {
    kibibytes_of(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, field)
}

/// A field of those that the kernel tells in kibibytes, in bytes.
pub(crate) fn kibibytes_of(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    Some(line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().ok()? << 10)
}

fn resident(pid: u32) -> Option<u64> {
    kibibytes(pid, "VmRSS")
}

fn high_water(pid: u32) -> Option<u64> {
    kibibytes(pid, "VmHWM")
}

/// The processor time of this thread, in seconds.
pub(crate) fn own_cpu() -> Result<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").context("read the times of this thread")?;
    Ok(text.split(' ').next().context("a time")?.parse::<f64>()? / 1e9)
}

#[cfg(test)]
mod tests {
    use super::{Meter, own_cpu, resident};
    use crate::bench::process::Call;

    #[test]
    fn root_work_is_counted_and_idleness_is_not() {
        let folder = tempfile::Builder::new().prefix("layerd-bench-meter-").tempdir().unwrap();
        let meter = Meter::new(folder.path()).unwrap();
        let account = meter.account().unwrap();
        let group = account.entrance();
        let busy = Call::new(None, &["sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"]);
        // Without the folder for logs, which is of the benchmark's own namespace.
        assert!(busy.command(group.as_deref()).status().unwrap().success());
        let worked = account.cpu(None).unwrap();
        assert!(worked > 0.01, "{worked}");
        assert!(Call::new(None, &["sleep", "0.2"]).command(group.as_deref()).status().unwrap().success());
        let idle = account.cpu(None).unwrap() - worked;
        assert!(idle < 0.15, "{idle}");
        assert!(resident(std::process::id()).unwrap() > 1 << 20);
        assert!(own_cpu().unwrap() > 0.0);
    }
}
