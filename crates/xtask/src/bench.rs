//! How fast it is, beside what else there is and beside what this machine can do at most: docs/performance.md.

mod api;
mod cache;
mod corpus;
mod disk;
mod growth;
mod limit;
mod line;
mod meter;
mod options;
mod peers;
mod plot;
mod process;
mod report;
mod rest;
mod results;
mod scenario;
mod served;
mod stats;

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use xshell::Shell;

use crate::machine::{self, Build};
use options::Options;

/// The programs that are called, and the Debian packages that have them. Peers are measured if they are there.
const PROGRAMS: [(&str, &str); 9] = [
    ("docker-registry", "docker-registry"),
    ("mkfs.ext4", "e2fsprogs"),
    ("losetup", "mount"),
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
    ("apt-get", "apt"),
    ("dpkg-deb", "dpkg"),
    ("tar", "tar"),
    ("zstd", "zstd"),
];

/// Where a run keeps what it needs no longer than itself.
const FOLDER: &str = "LAYERD_BENCH_FOLDER";

/// Runs the benchmark in namespaces of its own: its mounts and all of its processes, daemons of others among them, end with it however it
/// ends, and the loop device is free when the last mount of it has gone. All processes inside inherit the lock: it is free again when the last
/// one has gone. It keeps two runs from measuring each other, and who has it may remove what a killed one has left.
const SCRIPT: &str = r#"
    cd "${LAYERD_BENCH_FOLDER%/*}"
    exec 9>lock
    flock --nonblock 9 || { echo "another benchmark runs here" >&2; rmdir "$LAYERD_BENCH_FOLDER"; exit 1; }
    trap : INT TERM HUP
    setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc -- \
        sh -c '"$0" "$@" & wait "$!"' "$0" bench-inside "$@" &
    child=$!
    wait "$child"
    status=$?
    trap "" INT TERM HUP
    kill -KILL "$child" 2>/dev/null
    exec 9>&-
    exec 9>lock
    flock 9
    for left in layerd-bench-*; do
        find /sys/fs/cgroup -depth -type d -path "*/$left*" -exec rmdir {} \; 2>/dev/null
        rm -rf "$left" || status=1
    done
    exit $status
"#;

/// Builds the programs and measures them.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    // Before anything is built, so that a wrong word costs no minute.
    if Options::parse(words)?.is_none() {
        println!("{}", options::help());
        return Ok(());
    }
    let shell = Shell::new()?;
    machine::need_root(&shell)?;
    machine::need_overlay(&shell)?;
    machine::need_programs(&PROGRAMS)?;
    disk::need_loop_and_ext4()?;
    shell.change_dir(machine::project()?);
    println!("== Building the daemon and its client");
    let programs = machine::build(&shell, Build::Release)?;
    let place = place()?;
    std::fs::create_dir_all(&place).with_context(|| format!("make `{}`", place.display()))?;
    let folder = tempfile::Builder::new().prefix("layerd-bench-").tempdir_in(&place)?.keep();
    let error = Command::new("sh")
        .args(["-c", SCRIPT])
        .arg(std::env::current_exe()?)
        .args([programs.layerd, programs.layer])
        .args(words)
        .env(FOLDER, folder)
        .exec();
    Err(error).context("run `sh`")
}

/// Where corpus, disk and results lie: beside what cargo builds.
fn place() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own.ancestors().nth(2).context("this program lies where cargo has built it")?.join("bench"))
}

/// The benchmark itself, in namespaces of its own.
pub(crate) fn inside(layerd: &Path, layer: &Path, words: &[&str]) -> Result<()> {
    let folder = PathBuf::from(std::env::var_os(FOLDER).context("run this by `cargo xtask bench`")?);
    let options = Options::parse(words)?.context("there are options")?;
    let place = place()?;
    let out = options.out.clone().unwrap_or_else(|| place.join("results"));
    std::fs::create_dir_all(&out).with_context(|| format!("make `{}`", out.display()))?;
    let cache = if options.quick { None } else { Some(cache::Cache::new(&folder)?) };
    let disk = disk::Disk::make(&folder, options.disk_size(), options.peer_root.as_deref(), cache)?;
    // Only now there is all that programs in the other root need to be asked for their version.
    let peers = peers::find(layerd, layer, &options)?;
    println!("== Measured: {}", peers.iter().map(|peer| peer.name()).collect::<Vec<_>>().join(", "));
    let scenarios = scenario::chosen(&options)?;
    let corpus = corpus::Corpus::open(&place, options.quick)?;
    let meter = meter::Meter::new(&folder)?;
    let mut results = results::Results::new(&options, &disk, &meter, &peers)?;
    let mut bench = scenario::Bench { options, corpus, disk, meter, peers, folder };
    for one in scenarios {
        println!("\n== {}", one.title());
        one.run(&mut bench, &mut results).with_context(|| format!("scenario `{}`", one.name()))?;
        // What was measured stays, whatever happens to the next.
        results.write(&out)?;
    }
    let table = report::markdown(&results);
    println!("\n{table}");
    std::fs::write(out.join("results.md"), &table)?;
    std::fs::write(out.join("results.svg"), plot::svg(&results))?;
    println!("{}\nIn `{}`: results.json, results.md, results.svg", report::ratios(&results), out.display());
    Ok(())
}
