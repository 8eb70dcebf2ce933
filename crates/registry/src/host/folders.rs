//! The folders in which an administrator says how registries are reached.

use std::path::{Path, PathBuf};

use super::certificates::{self, TlsFiles};
use super::error::HostConfigError;
use super::hosts_file::HostsFile;
use super::watch::Watch;

/// The folder for all registries that have none of their own.
const DEFAULT: &str = "_default";

/// What the folders say of one registry.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Its `hosts.toml`, or the one for all.
    pub(super) hosts: Option<HostsFile>,
    /// Whether that is the one for all.
    pub(super) is_default: bool,
}

/// Looks for the `hosts.toml` of `domain`: in the registry's folder under the first of `roots` that has one, or in `_default`.
pub(super) fn hosts_file(roots: &[PathBuf], domain: &str, watch: &mut Watch) -> Result<Found, HostConfigError> {
    let (folder, is_default) = match folder_of(roots, domain, watch) {
        Some(folder) => (Some(folder), false),
        None => (roots.iter().map(|root| root.join(DEFAULT)).find(|folder| watch.note(folder)), true),
    };
    let Some(folder) = folder else { return Ok(Found::default()) };
    let path = folder.join("hosts.toml");
    if !watch.note(&path) {
        return Ok(Found::default());
    }
    let text = String::from_utf8(certificates::read(&path, watch)?)
        .map_err(|_| HostConfigError::Unusable { path: path.clone(), reason: "is no text in UTF-8".to_owned() })?;
    Ok(Found { hosts: Some(HostsFile::parse(&path, &text)?), is_default })
}

/// The certificates for `host`, in docker's layout.
pub(super) fn certificates_of(roots: &[PathBuf], host: &str, watch: &mut Watch) -> Result<TlsFiles, HostConfigError> {
    folder_of(roots, host, watch).map_or(Ok(TlsFiles::default()), |folder| TlsFiles::of_folder(&folder))
}

/// The folder of `host` under the first of `roots` that has one. Two spellings of a port are known: `host_5000_` and `host:5000`.
fn folder_of(roots: &[PathBuf], host: &str, watch: &mut Watch) -> Option<PathBuf> {
    // A host as such never has these, and a path must not lead elsewhere.
    if host.is_empty() || host.starts_with('.') || host.contains('/') {
        return None;
    }
    let portable = host.rsplit_once(':').map(|(name, port)| format!("{name}_{port}_"));
    let names = || portable.iter().map(String::as_str).chain([host]);
    let folders = roots.iter().flat_map(|root: &PathBuf| names().map(move |name| Path::join(root, name)));
    folders.into_iter().find(|folder| watch.note(folder))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn the_first_root_that_knows_a_host_says_all_about_it() {
        let folder = tempfile::tempdir().unwrap();
        let roots = ["one", "two"].map(|name| folder.path().join(name));
        put(&roots[1], "r.example:5000/hosts.toml", "server = 'https://two'");
        put(&roots[1], "_default/hosts.toml", "server = 'https://all'");
        let last = |domain: &str| {
            let found = hosts_file(&roots, domain, &mut Watch::default()).unwrap();
            found.hosts.map(|hosts| (hosts.last.api.unwrap().host_str().unwrap().to_owned(), found.is_default))
        };
        assert_eq!(last("r.example:5000"), Some(("two".to_owned(), false)));
        assert_eq!(last("r.example"), Some(("all".to_owned(), true)));
        put(&roots[0], "r.example:5000/hosts.toml", "server = 'https://one'");
        assert_eq!(last("r.example:5000"), Some(("one".to_owned(), false)));
        put(&roots[0], "r.example_5000_/hosts.toml", "server = 'https://portable'");
        assert_eq!(last("r.example:5000"), Some(("portable".to_owned(), false)));
        // A folder with certificates alone is a registry's own, and what is said of all others is not said of it.
        put(&roots[0], "r.example/ca.crt", "");
        assert_eq!(last("r.example"), None);
        assert_eq!(last("../r.example"), Some(("all".to_owned(), true)));
    }

    #[test]
    fn what_appears_or_changes_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        let look = || {
            let mut watch = Watch::default();
            hosts_file(std::slice::from_ref(&root), "r.example", &mut watch).unwrap();
            certificates_of(std::slice::from_ref(&root), "r.example", &mut watch).unwrap();
            watch
        };
        for (path, text) in [
            ("_default/hosts.toml", ""),
            ("_default/hosts.toml", "# changed"),
            ("r.example/ca.crt", ""),
            ("r.example/hosts.toml", ""),
        ] {
            let before = look();
            assert!(before.holds(), "{path}");
            put(&root, path, text);
            assert!(!before.holds(), "{path}");
        }
    }

    #[test]
    fn a_pair_must_be_whole() {
        let folder = tempfile::tempdir().unwrap();
        for (present, missing) in [("c.cert", "c.key"), ("d.key", "d.cert")] {
            let root = folder.path().join(present);
            put(&root, &format!("r.example/{present}"), "");
            let error = certificates_of(&[root], "r.example", &mut Watch::default()).unwrap_err().to_string();
            assert!(error.contains(&format!("{present}` has no `{missing}` beside it")), "{error}");
        }
    }
}
