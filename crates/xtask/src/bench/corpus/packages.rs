//! Debian's packages: fetched, never installed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use xshell::{Shell, cmd};

use super::LayerRecipe;

/// Packages in files, fetched when they are asked for.
pub(crate) struct Packages {
    folder: PathBuf,
}

impl Packages {
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let folder = folder.join("packages");
        // apt wants the second, too.
        for place in ["partial", "none/partial"] {
            fs::create_dir_all(folder.join(place)).context("make a folder for packages")?;
        }
        Ok(Self { folder })
    }

    /// Extracts into `tree` what the layer has.
    pub(crate) fn extract(&self, recipe: &LayerRecipe, tree: &Path) -> Result<()> {
        let below = if recipe.below.is_empty() { BTreeSet::new() } else { self.files(&recipe.below, recipe.closure)? };
        let files = self.files(&recipe.packages, recipe.closure)?;
        self.fetch(&recipe.packages, recipe.closure)?;
        let shell = Shell::new()?;
        for copy in 0..recipe.copies {
            let place = if recipe.copies == 1 { tree.to_owned() } else { tree.join(format!("srv/app-{copy}")) };
            fs::create_dir_all(&place).context("make a folder")?;
            for file in files.difference(&below) {
                let package = self.folder.join(file);
                cmd!(shell, "dpkg-deb --extract {package} {place}")
                    .quiet()
                    .run()
                    .with_context(|| format!("extract `{}`", package.display()))?;
            }
        }
        if let Some(text) = &recipe.change {
            fs::write(tree.join("changed"), text).context("write a file")?;
        }
        Ok(())
    }

    /// The names of the files of some packages, and with `closure` of all that they depend on.
    fn files(&self, packages: &[String], closure: bool) -> Result<BTreeSet<String>> {
        match self.ask(packages, closure) {
            Ok(files) => Ok(files),
            // A machine that is new has no lists.
            Err(_) => {
                let shell = Shell::new()?;
                println!("apt's lists of packages don't have them all, and are brought up to date");
                cmd!(shell, "apt-get update -qq").run().context("the corpus is made of Debian's packages")?;
                self.ask(packages, closure)
            }
        }
    }

    fn ask(&self, packages: &[String], closure: bool) -> Result<BTreeSet<String>> {
        let shell = Shell::new()?;
        let text = if closure {
            // Of what is there already, apt would say nothing.
            let options = options(&self.folder.join("none"));
            cmd!(shell, "apt-get -qq {options...} --print-uris install {packages...}").quiet().ignore_stderr().read()?
        } else {
            cmd!(shell, "apt-get -qq --print-uris download {packages...}").quiet().ignore_stderr().read()?
        };
        let files: BTreeSet<String> = text
            .lines()
            .filter_map(|line| Some(line.split(' ').nth(1)?.to_owned()))
            .filter(|name| name.ends_with(".deb"))
            .collect();
        ensure!(!files.is_empty(), "apt knows none of {}", packages.join(" "));
        Ok(files)
    }

    fn fetch(&self, packages: &[String], closure: bool) -> Result<()> {
        let files = self.files(packages, closure)?;
        if files.iter().all(|file| self.folder.join(file).is_file()) {
            return Ok(());
        }
        let shell = Shell::new()?;
        if closure {
            let options = options(&self.folder);
            cmd!(shell, "apt-get -qq {options...} --download-only install {packages...}")
                .quiet()
                .ignore_stdout()
                .run()?;
        } else {
            shell.change_dir(&self.folder);
            cmd!(shell, "apt-get -qq -o APT::Sandbox::User=root download {packages...}")
                .quiet()
                .ignore_stdout()
                .run()?;
        }
        let missing: Vec<&String> = files.iter().filter(|file| !self.folder.join(file).is_file()).collect();
        if !missing.is_empty() {
            bail!("apt has not fetched {missing:?}");
        }
        Ok(())
    }
}

/// As if nothing were installed, and nothing of this machine's state is touched.
fn options(archives: &Path) -> Vec<String> {
    let archives = format!("Dir::Cache::archives={}/", archives.display());
    let settings = ["Dir::State::status=/dev/null", "Debug::NoLocking=true", "APT::Sandbox::User=root", &archives];
    let settings = settings.into_iter().flat_map(|setting| ["-o", setting]);
    ["-y", "--no-install-recommends"].into_iter().chain(settings).map(str::to_owned).collect()
}
