//! Third-party clients of the Docker API, for the checks in `tests/clients`: installed once into the build's folder, from lists that pin them
//! to the byte.
//!
//! Both the chores and a test that is run by hand come here, so that neither has to wait for the other to have run.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::sha256;

/// The folder of the checks that are written in the languages of the clients.
pub const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/clients");

/// The file of a folder that says what all of the rest was made of. It is written last.
const DONE: &str = "installed";

/// What stands in for the library for SSH that docker-py's tests import, and use with containers alone.
const PARAMIKO: &str = "class Channel:\n    pass\n";

/// Makes an environment with docker-py and pytest. Gives its interpreter.
///
/// # Errors
/// There is no Python with `venv`, or a package can't be had.
pub fn docker_py() -> Result<PathBuf> {
    Ok(environment("docker-py", "python/requirements.txt")?.join("bin/python"))
}

/// Makes an environment with schemathesis, which asks an API what its document says that it can be asked. Gives the program.
///
/// # Errors
/// As for [`docker_py`].
pub fn schemathesis() -> Result<PathBuf> {
    Ok(environment("schemathesis", "python/schemathesis.txt")?.join("bin/schemathesis"))
}

/// Makes an environment of a list of packages. Gives its folder.
fn environment(name: &str, list: &str) -> Result<PathBuf> {
    let list = source(list);
    let interpreter = said(Command::new("python3").args(["-c", "import sys; print(sys.version, sys.executable)"]))?;
    once(name, &[&fs::read(&list).context("read the list")?, interpreter.as_bytes()], |folder| {
        said(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        let mut pip = pip(folder, "install");
        said(pip.arg("--require-hashes").arg("--requirement").arg(&list)).map(drop)
    })
}

/// Fetches docker-py's own tests. Gives the folder that has them in `tests`.
///
/// # Errors
/// As for [`docker_py`], whose interpreter this takes.
pub fn docker_py_tests(python: &Path) -> Result<PathBuf> {
    let list = source("python/upstream.txt");
    let environment = python.ancestors().nth(2).context("an interpreter lies in an environment")?;
    once("docker-py-tests", &[&fs::read(&list).context("read the list")?, PARAMIKO.as_bytes()], |folder| {
        // What reading the archive takes is in the environment already, pinned.
        let mut pip = pip(environment, "download");
        pip.args(["--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--require-hashes"]);
        said(pip.arg("--requirement").arg(&list).arg("--dest").arg(folder))?;
        let archive = fs::read_dir(folder)?.next().context("no archive came")??.path();
        let tar = ["--strip-components", "1", "--wildcards", "*/tests/*", "-xzf"];
        said(Command::new("tar").current_dir(folder).args(tar).arg(&archive))?;
        fs::remove_file(archive)?;
        Ok(fs::write(folder.join("paramiko.py"), PARAMIKO)?)
    })
}

/// Installs dockerode. Gives the folder `node_modules` that it is in.
///
/// # Errors
/// There is no Node.js or no npm, or a package can't be had.
pub fn dockerode() -> Result<PathBuf> {
    let lists = ["package.json", "package-lock.json"].map(|name| source("node").join(name));
    let version = said(Command::new("node").arg("--version"))?;
    let major = version.trim_start_matches('v').split('.').next().and_then(|number| number.parse::<u32>().ok());
    ensure!(major.is_some_and(|major| major >= 18), "Node.js here is {version}, and the checks take 18 or newer");
    let mut inputs = vec![version.into_bytes()];
    for list in &lists {
        inputs.push(fs::read(list).context("read the list")?);
    }
    let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
    let made = once("dockerode", &inputs, |folder| {
        for list in &lists {
            fs::copy(list, folder.join(list.file_name().unwrap_or_default()))?;
        }
        // Scripts of packages would build a part that only connections by SSH use.
        let words = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"];
        said(Command::new("npm").args(words).current_dir(folder)).map(drop)
    })?;
    Ok(made.join("node_modules"))
}

fn source(name: &str) -> PathBuf {
    Path::new(SOURCES).join(name)
}

fn pip(environment: &Path, command: &str) -> Command {
    let mut pip = Command::new(environment.join("bin/python"));
    pip.args(["-m", "pip", command, "--quiet", "--disable-pip-version-check"]);
    pip
}

/// The folder of a client in the build's folder. It is made if there is none yet that was made of the same.
fn once(name: &str, inputs: &[&[u8]], make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    once_in(&target()?.join("clients"), name, inputs, make)
}

fn once_in(parent: &Path, name: &str, inputs: &[&[u8]], make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let what = || format!("install {name}, of which tests/clients has the list");
    fs::create_dir_all(parent).with_context(what)?;
    let lock = File::create(parent.join(format!("{name}.lock"))).with_context(what)?;
    // Tests of one run wait here for the first of them.
    lock.lock().with_context(what)?;
    let folder = parent.join(name);
    let made_of = sha256(&inputs.iter().flat_map(|input| sha256(input).into_bytes()).collect::<Vec<u8>>());
    let stamp = folder.join(DONE);
    if fs::read_to_string(&stamp).is_ok_and(|text| text == made_of) {
        return Ok(folder);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(what)?;
    }
    fs::create_dir(&folder).with_context(what)?;
    make(&folder).with_context(what)?;
    fs::write(stamp, made_of).with_context(what)?;
    Ok(folder)
}

/// The folder that cargo builds into, which it marks for programs that make backups.
fn target() -> Result<PathBuf> {
    let own = std::env::current_exe().context("find this program")?;
    let target = own.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
    Ok(target.context("this program doesn't lie where cargo builds")?.to_owned())
}

/// Runs a program, and gives what it prints.
fn said(command: &mut Command) -> Result<String> {
    let words = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("run {words}"))?;
    let text = |bytes| String::from_utf8_lossy(bytes).trim().to_owned();
    ensure!(output.status.success(), "{words}: {}\n{}", text(&output.stderr), text(&output.stdout));
    Ok(text(&output.stdout))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use anyhow::bail;

    use super::once_in;

    #[test]
    fn what_was_made_of_the_same_is_made_once() {
        let parent = tempfile::tempdir().unwrap();
        let times = || fs::read_to_string(parent.path().join("times")).unwrap_or_default();
        let make = |input: &[u8], fails: bool| {
            once_in(parent.path(), "thing", &[b"a", input], |folder| {
                fs::write(folder.join(if fails { "half" } else { "whole" }), "")?;
                fs::write(parent.path().join("times"), times() + "1")?;
                if fails { bail!("no network") } else { Ok(()) }
            })
        };
        let folder = make(b"b", false).unwrap();
        assert_eq!(make(b"b", false).unwrap(), folder);
        assert_eq!(times(), "1");
        // Another list takes its place; what fails is made again, on clean ground.
        let error = format!("{:#}", make(b"c", true).unwrap_err());
        assert_eq!(error, "install thing, of which tests/clients has the list: no network");
        make(b"c", false).unwrap();
        assert_eq!(times(), "111");
        assert!(folder.join("whole").exists() && !folder.join("half").exists());
    }
}
