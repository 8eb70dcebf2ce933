//! Clients of others, by which tests talk to the daemon. They come from where their languages keep packages, which not every machine can reach.

use anyhow::{Context as _, Result};
use layer_testkit::clients::{docker_py, docker_py_tests, dockerode, schemathesis};
use xshell::Shell;

use crate::machine;

/// A client that can't be had here.
pub(crate) struct Missing {
    /// The tests that it would take, as nextest selects them.
    pub(crate) tests: &'static str,
    /// What is therefore not checked, and why.
    pub(crate) what: String,
}

type Install = fn(&Shell) -> Result<()>;

const CLIENTS: [(&str, &str, Install); 4] = [
    ("docker-py", "test(=clients::root_docker_py)", |shell| {
        machine::install_venv(shell).context("install python3-venv")?;
        docker_py().map(drop)
    }),
    ("docker-py by its own tests", "test(=clients::root_docker_py_s_own_tests)", |_| {
        docker_py_tests(&docker_py()?).map(drop)
    }),
    ("schemathesis", "test(=clients::root_the_document_is_true)", |shell| {
        machine::install_venv(shell).context("install python3-venv")?;
        schemathesis().map(drop)
    }),
    ("dockerode", "test(=clients::root_dockerode)", |_| dockerode().map(drop)),
];

/// Installs those that aren't there, and tells which can't be had.
pub(crate) fn install(shell: &Shell) -> Vec<Missing> {
    let missing = CLIENTS.iter().filter_map(|(name, tests, install)| {
        let error = install(shell).err()?;
        println!("{name}: {error:#}");
        Some(Missing {
            tests,
            what: format!("{name}, which can't be installed here for the reason given before the tests"),
        })
    });
    missing.collect()
}

/// The tests that are left, as nextest selects them. Those whose client isn't there would fail.
pub(crate) fn others(missing: &[Missing]) -> String {
    let without = missing.iter().map(|client| format!(" - {}", client.tests));
    std::iter::once("all()".to_owned()).chain(without).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_left_out() {
        assert_eq!(others(&[]), "all()");
        let missing = |tests| Missing { tests, what: String::new() };
        assert_eq!(others(&[missing("test(=a)"), missing("test(=b)")]), "all() - test(=a) - test(=b)");
    }

    /// A name that no test has would leave out nothing, and a client that is missing would fail its test.
    #[test]
    fn the_names_are_those_of_tests() {
        let source = include_str!("../../../tests/tests/it/clients.rs");
        for (_, tests, _) in CLIENTS {
            let name = tests.strip_prefix("test(=clients::").and_then(|name| name.strip_suffix(')')).unwrap();
            assert!(source.contains(&format!("#[test]\nfn {name}()")), "{name}");
        }
    }
}
