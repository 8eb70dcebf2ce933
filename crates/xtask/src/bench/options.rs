//! What can be asked for on the command line.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use super::{peers, scenario};

/// What to measure, and how often.
pub(crate) struct Options {
    /// A small corpus and few rounds: a minute in place of an hour.
    pub(crate) quick: bool,
    /// Beginnings of the names of scenarios; all if there are none.
    pub(crate) only: Vec<String>,
    /// Beginnings of the names of peers; all that are found if nothing was said.
    pub(crate) peers: Option<Vec<String>>,
    pub(crate) rounds: usize,
    pub(crate) out: Option<PathBuf>,
    pub(crate) peer_root: Option<PathBuf>,
}

impl Options {
    /// `None` when help is asked for.
    pub(crate) fn parse(words: &[&str]) -> Result<Option<Self>> {
        let mut options = Self { quick: false, only: Vec::new(), peers: None, rounds: 3, out: None, peer_root: None };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("`{word}` needs a value\n{}", help()));
            match *word {
                "--quick" => options.quick = true,
                "--only" => options.only = list(value()?),
                "--peers" => options.peers = Some(list(value()?)),
                "--rounds" => options.rounds = value()?.parse().context("`--rounds` needs a number")?,
                "--out" => options.out = Some(std::path::absolute(value()?)?),
                "--peer-root" => options.peer_root = Some(std::path::absolute(value()?)?),
                "--help" | "-h" => return Ok(None),
                _ => bail!("`{word}` is not known\n{}", help()),
            }
        }
        if options.rounds == 0 {
            bail!("`--rounds 0` measures nothing");
        }
        scenario::chosen(&options)?;
        Ok(Some(options))
    }

    /// How large the disk is that all stores lie on. The file behind it is sparse.
    pub(crate) fn disk_size(&self) -> u64 {
        if self.quick { 4 << 30 } else { 24 << 30 }
    }

    /// Whether a peer with this name is to be measured.
    pub(crate) fn wants_peer(&self, name: &str) -> bool {
        self.peers.as_ref().is_none_or(|chosen| chosen.iter().any(|one| name.starts_with(one.as_str())))
    }
}

fn list(words: &str) -> Vec<String> {
    words.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The text of `--help`.
pub(crate) fn help() -> String {
    format!(
        "usage: cargo xtask bench [--quick] [--only NAME,..] [--peers NAME,..|none] [--rounds N] [--out FOLDER] [--peer-root FOLDER]\n\n\
         --quick      a small corpus: a minute in all without peers\n\
         --only       the scenarios whose names begin so: {}\n\
         --peers      the peers whose names begin so, of those that are installed: {}\n\
         --rounds     how often each is measured (3)\n\
         --out        where results go (`bench/results` beside what cargo builds)\n\
         --peer-root  the root of a Debian in which peers are installed too",
        scenario::names().join(", "),
        peers::NAMES.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::Options;

    #[test]
    fn options_are_read_or_refused() {
        let options = Options::parse(&["--quick", "--peers", "none", "--only", "cold,rest"]).unwrap().unwrap();
        assert!(options.quick && !options.wants_peer("podman"));
        assert_eq!(options.only, ["cold", "rest"]);
        let all = Options::parse(&[]).unwrap().unwrap();
        assert!(all.wants_peer("podman") && all.rounds == 3);
        assert!(Options::parse(&["--help"]).unwrap().is_none());
        for wrong in [&["--rounds"][..], &["--rounds", "0"], &["--only", "nothing-of-that-name"], &["quick"]] {
            assert!(Options::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
