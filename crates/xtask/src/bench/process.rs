//! Programs that are measured: daemons and the clients that call them.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::disk::RUN;

/// How long a daemon may take to answer or to end. It is killed by then.
const PATIENCE: Duration = Duration::from_secs(60);

/// Puts itself into a group whose use of processors the kernel counts, then becomes the program.
const ENTER: &str = r#"echo 0 > "$0" && exec "$@""#;
/// The same, but waits for a word before it does. To enter a group takes the kernel some 15 ms, which are nobody's.
const ENTER_AND_WAIT: &str = r#"echo 0 > "$0" && read -r word && exec "$@" < /dev/null"#;

/// A call of a program, in our root or in another one.
#[derive(Clone)]
pub(crate) struct Call {
    root: Option<PathBuf>,
    words: Vec<String>,
    environment: Vec<(&'static str, String)>,
}

impl Call {
    pub(crate) fn new(root: Option<&Path>, words: &[&str]) -> Self {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Self { root: root.map(Path::to_owned), words, environment: Vec::new() }
    }

    pub(crate) fn arg(mut self, word: impl Into<String>) -> Self {
        self.words.push(word.into());
        self
    }

    pub(crate) fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// The command, to be run in the group of that file of processes, if there is one.
    pub(crate) fn command(&self, group: Option<&Path>) -> Command {
        self.command_by(ENTER, group)
    }

    fn command_by(&self, enter: &str, group: Option<&Path>) -> Command {
        let mut words: Vec<String> = Vec::new();
        if let Some(group) = group {
            words.extend(["sh", "-c", enter].map(str::to_owned));
            words.push(group.display().to_string());
        }
        if let Some(root) = &self.root {
            words.extend(["chroot".to_owned(), root.display().to_string()]);
        }
        words.extend(self.words.iter().cloned());
        let mut command = Command::new(words.remove(0));
        command.args(words).stdin(Stdio::null());
        // The same for all, wherever the benchmark was started from.
        command.env_remove("http_proxy").env_remove("https_proxy").env_remove("HTTP_PROXY").env_remove("HTTPS_PROXY");
        command.env("HOME", RUN).env("TMPDIR", super::disk::DISK).env("LC_ALL", "C");
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.envs(self.environment.iter().map(|(name, value)| (*name, value.as_str())));
        command
    }

    /// Runs it to its end, outside of all that is measured, and returns what it prints.
    pub(crate) fn read(&self) -> Result<String> {
        let output = self.command(None).output().with_context(|| format!("run `{}`", self.text()))?;
        if !output.status.success() {
            bail!("`{}`: {}", self.text(), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    pub(crate) fn text(&self) -> String {
        self.words.join(" ")
    }
}

/// A program that runs, with its output in a file; dropping it ends it.
pub(crate) struct Running {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Running {
    pub(crate) fn start(call: &Call, group: Option<&Path>, name: &str) -> Result<Self> {
        Self::start_as(call, call.command(group), name)
    }

    /// Brings it to where a call of [`go`](Self::go) is all that it waits for: once it is in the group.
    pub(crate) fn poise(call: &Call, group: &Path, name: &str) -> Result<Self> {
        let mut command = call.command_by(ENTER_AND_WAIT, Some(group));
        command.stdin(Stdio::piped());
        Self::start_as(call, command, name)
    }

    /// Lets one that waits go on.
    pub(crate) fn go(&mut self) -> Result<()> {
        let mut word = self.child.stdin.take().context("it waits for a word")?;
        word.write_all(b"\n").with_context(|| format!("let `{}` go on", self.name))
    }

    fn start_as(call: &Call, mut command: Command, name: &str) -> Result<Self> {
        let log = Path::new(RUN).join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("create `{}`", log.display()))?;
        let child = command
            .stdout(file.try_clone().context("share a log")?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("run `{}`", call.text()))?;
        Ok(Self { child, name: name.to_owned(), log })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it answers, which nothing tells by itself.
    pub(crate) fn until(&mut self, answers: impl Fn() -> bool) -> Result<()> {
        let begun = Instant::now();
        while !answers() {
            if let Some(status) = self.child.try_wait()? {
                bail!("`{}` ended with {status}: {}", self.name, self.said());
            }
            if begun.elapsed() > PATIENCE {
                bail!("`{}` doesn't answer within {PATIENCE:?}: {}", self.name, self.said());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Waits for its own end.
    pub(crate) fn wait(&mut self) -> Result<ExitStatus> {
        self.child.wait().with_context(|| format!("wait for `{}`", self.name))
    }

    /// Whether it has not ended.
    pub(crate) fn runs(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// The end of what it has printed.
    pub(crate) fn said(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }

    /// Asks it to end, and has it killed if it doesn't.
    pub(crate) fn stop(mut self) -> Result<()> {
        let pid = self.pid().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let begun = Instant::now();
        while self.child.try_wait()?.is_none() {
            if begun.elapsed() > PATIENCE {
                bail!("`{}` doesn't end: {}", self.name, self.said());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After a proper end there is nothing to kill, which is no error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
