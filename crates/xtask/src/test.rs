//! Everything that must hold before a change lands.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use xshell::{Shell, cmd};

use crate::clients;
use crate::machine::{self, Build, as_by_hand};

type Step = fn(&Shell) -> Result<Checked>;

/// What a step that didn't fail has checked.
enum Checked {
    All,
    /// All but this, which can't be checked here.
    Except(Vec<String>),
}

/// The cheap ones first; the tests last, so that their summary is what is read.
const STEPS: [(&str, Step); 11] = [
    ("programs", |shell| all(machine::install_programs(shell))),
    ("tools", |shell| all(install_tools(shell))),
    ("format", |shell| all(format(shell))),
    ("lints", |shell| all(lints(shell))),
    ("dependencies", dependencies),
    ("documents", |shell| all(documents(shell))),
    ("service files", |shell| all(service_files(shell))),
    ("demonstration", |shell| all(demonstration(shell))),
    ("speed", speed),
    ("tests with layers as images", |shell| all(image_tests(shell))),
    ("tests", tests),
];

/// The tests of layers on the disk that don't depend on the form that these have: they run once more for the form that isn't the usual one.
const OF_BOTH_FORMS: &str = "test(trees) + test(mounts) + test(prune) + test(crash::) + test(power::) + test(full_disk) + test(manage) \
    + test(archives) + test(archive_faults) + test(bundle) + test(concurrency) + test(memory)";

fn all(result: Result<()>) -> Result<Checked> {
    result.map(|()| Checked::All)
}

/// Runs all steps, and tells how long each took. The first that fails ends it.
pub(crate) fn run() -> Result<()> {
    let shell = Shell::new()?;
    shell.change_dir(machine::project()?);
    machine::need_root(&shell)?;
    machine::need_overlay(&shell)?;
    machine::need_erofs(&shell)?;
    let (mut times, mut unchecked) = (Vec::new(), Vec::new());
    for (name, step) in STEPS {
        println!("\n== {name}");
        let begun = Instant::now();
        if let Checked::Except(what) = step(&shell).with_context(|| format!("step `{name}` failed"))? {
            what.iter().for_each(|what| println!("NOT CHECKED: {what}"));
            unchecked.extend(what);
        }
        times.push(format!("{name} {} s", begun.elapsed().as_secs()));
    }
    println!("\nAll steps passed: {}.", times.join(", "));
    for what in unchecked {
        println!("NOT CHECKED: {what}");
    }
    Ok(())
}

fn install_tools(shell: &Shell) -> Result<()> {
    machine::install_tool(shell, "nextest")?;
    machine::install_tool(shell, "deny")
}

fn format(shell: &Shell) -> Result<()> {
    Ok(cmd!(shell, "cargo fmt --all --check").run()?)
}

fn lints(shell: &Shell) -> Result<()> {
    Ok(as_by_hand(cmd!(shell, "cargo clippy --workspace --all-targets --locked -- -D warnings")).run()?)
}

/// Licences, sources and bans hold without a network. Advisories come from a list that is kept elsewhere.
fn dependencies(shell: &Shell) -> Result<Checked> {
    cmd!(shell, "cargo deny --locked check bans licenses sources").run()?;
    if cmd!(shell, "cargo deny fetch db").quiet().ignore_stdout().ignore_stderr().run().is_err() {
        let what = "security advisories of dependencies, since their list can't be fetched from here";
        return Ok(Checked::Except(vec![what.to_owned()]));
    }
    all(cmd!(shell, "cargo deny --locked check advisories").run().map_err(Into::into))
}

fn documents(shell: &Shell) -> Result<()> {
    let _flags = shell.push_env("RUSTDOCFLAGS", "-D warnings");
    Ok(as_by_hand(cmd!(shell, "cargo doc --workspace --no-deps --document-private-items --locked --quiet")).run()?)
}

fn demonstration(shell: &Shell) -> Result<()> {
    Ok(as_by_hand(cmd!(shell, "cargo xtask demo --debug")).run()?)
}

/// A pull beside what this machine can do at most. It says how fast it was, and nothing follows from that.
fn speed(shell: &Shell) -> Result<Checked> {
    let measured = as_by_hand(cmd!(shell, "cargo xtask bench --quick --peers none --only cold")).run();
    Ok(match measured {
        Ok(()) => Checked::All,
        Err(_) => Checked::Except(vec![
            "how fast a pull is, since that can't be measured here for the reason given above".to_owned(),
        ]),
    })
}

/// The unit files, with the daemon that was just built in place of the installed one.
fn service_files(shell: &Shell) -> Result<()> {
    let daemon = machine::build(shell, Build::Debug)?.layerd;
    let folder = tempfile::tempdir()?;
    let units = shell.current_dir().join("systemd");
    let service = shell.read_file(units.join("layerd.service"))?;
    ensure!(service.contains("ExecStart=/usr/local/bin/layerd\n"), "the unit starts another program");
    let own = format!("ExecStart={}\n", daemon.display());
    shell
        .write_file(folder.path().join("layerd.service"), service.replace("ExecStart=/usr/local/bin/layerd\n", &own))?;
    shell.copy_file(units.join("layerd.socket"), folder.path())?;
    let (service, socket) = (folder.path().join("layerd.service"), folder.path().join("layerd.socket"));
    let output = cmd!(shell, "systemd-analyze verify {service} {socket}").read_stderr()?;
    ensure!(output.trim().is_empty(), "systemd-analyze: {output}");
    // Into folders of their own: nothing of the machine is changed.
    let root = folder.path().join("root");
    for name in ["etc", "run", "var/lib"] {
        shell.create_dir(root.join(name))?;
    }
    // The tool wants to know the users that there are.
    for name in ["passwd", "group"] {
        shell.copy_file(Path::new("/etc").join(name), root.join("etc"))?;
    }
    let (users, files) = (units.join("layerd.sysusers"), units.join("layerd.tmpfiles"));
    cmd!(shell, "systemd-sysusers --root={root} {users}").run()?;
    let groups = shell.read_file(root.join("etc/group"))?;
    ensure!(
        groups.lines().any(|line| line.starts_with("layerd:")),
        "there is no group `layerd` after systemd-sysusers"
    );
    cmd!(shell, "systemd-tmpfiles --create --root={root} {files}").run()?;
    ensure!(root.join("var/lib/layerd").is_dir(), "there is no /var/lib/layerd after systemd-tmpfiles");
    Ok(())
}

fn image_tests(shell: &Shell) -> Result<()> {
    as_by_hand(cmd!(shell, "cargo nextest run --locked --package layer-engine --package layer-tests --no-run"))
        .run()?;
    build_failpoints(shell)?;
    machine::settle(shell)?;
    let _environment = [shell.push_env("RUST_BACKTRACE", "0"), shell.push_env("TEST_LAYERS", "erofs")];
    let run = cmd!(shell, "cargo nextest run --locked --package layer-engine --package layer-tests -E {OF_BOTH_FORMS}");
    Ok(as_by_hand(run).run()?)
}

/// The daemon of the crash tests. They would build it themselves, in the middle of the run, while others wait for the disk.
fn build_failpoints(shell: &Shell) -> Result<()> {
    let build = cmd!(shell, "cargo build --locked --package layerd --bin layerd-failpoints --features failpoints");
    Ok(as_by_hand(build).run()?)
}

fn tests(shell: &Shell) -> Result<Checked> {
    as_by_hand(cmd!(shell, "cargo test --workspace --doc --locked --quiet")).run()?;
    as_by_hand(cmd!(shell, "cargo nextest run --workspace --locked --no-run")).run()?;
    build_failpoints(shell)?;
    let missing = clients::install(shell);
    machine::settle(shell)?;
    // A failure says where it is. Stacks as well would fill the log, of which the end is what is read.
    let _environment = shell.push_env("RUST_BACKTRACE", "0");
    let selection = clients::others(&missing);
    let result = as_by_hand(cmd!(shell, "cargo nextest run --workspace --locked -E {selection}")).run();
    let mounts = shell.read_file("/proc/mounts")?;
    let left: Vec<&str> =
        mounts.lines().filter(|line| line.starts_with("overlay ") && line.contains("/mounts/")).collect();
    result?;
    ensure!(left.is_empty(), "tests have left mounts behind: {}", left.join("; "));
    Ok(if missing.is_empty() {
        Checked::All
    } else {
        Checked::Except(missing.into_iter().map(|client| client.what).collect())
    })
}
