//! Where logins lie.

use std::ffi::OsString;
use std::path::PathBuf;

use super::CredentialsError;
use super::key::Dialect;

/// The file of podman and its relatives, in several folders.
const CONTAINERS_FILE: &str = "containers/auth.json";

/// A file of logins, which may not be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    pub(crate) dialect: Dialect,
}

/// The files of logins of whoever runs this program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    /// Those that are looked into, the first first.
    pub(crate) reading: Vec<Place>,
    /// The one that is written to: the first of them. `None` if there is no folder for it.
    writing: Option<Place>,
}

impl Places {
    /// The places that the environment says.
    pub(crate) fn of_user() -> Self {
        let user = rustix::process::getuid().as_raw();
        Self::from(|name| std::env::var_os(name), std::env::home_dir(), user)
    }

    fn from(variable: impl Fn(&str) -> Option<OsString>, home: Option<PathBuf>, user: u32) -> Self {
        // An empty variable means the same as none.
        let folder = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = home.filter(|home| !home.as_os_str().is_empty());
        if let Some(path) = folder("REGISTRY_AUTH_FILE") {
            // Whoever names a file means that one and no other.
            let place = Place { path, dialect: Dialect::Containers };
            return Self { reading: vec![place.clone()], writing: Some(place) };
        }
        let docker = folder("DOCKER_CONFIG").or_else(|| Some(home.clone()?.join(".docker")));
        let docker = docker.map(|folder| Place { path: folder.join("config.json"), dialect: Dialect::Docker });
        let running = folder("XDG_RUNTIME_DIR").map(|folder| folder.join(CONTAINERS_FILE));
        let running = running.unwrap_or_else(|| format!("/run/containers/{user}/auth.json").into());
        let settings = folder("XDG_CONFIG_HOME").or_else(|| Some(home?.join(".config")));
        let settings = settings.map(|folder| folder.join(CONTAINERS_FILE));
        let containers = [Some(running), settings].into_iter().flatten();
        let containers = containers.map(|path| Place { path, dialect: Dialect::Containers });
        Self { reading: docker.iter().cloned().chain(containers).collect(), writing: docker }
    }

    /// The file that logins are written to.
    pub(crate) fn writing(&self) -> Result<&Place, CredentialsError> {
        self.writing.as_ref().ok_or(CredentialsError::NoHome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(variables: &[(&str, &str)], home: Option<&str>) -> (Vec<String>, Option<String>) {
        let variable = |name: &str| variables.iter().find(|(own, _)| *own == name).map(|(_, value)| value.into());
        let places = Places::from(variable, home.map(PathBuf::from), 1000);
        let text = |place: &Place| place.path.display().to_string();
        (places.reading.iter().map(text).collect(), places.writing.as_ref().map(text))
    }

    #[test]
    fn files_are_looked_into_in_a_fixed_order() {
        let (reading, writing) =
            places(&[("XDG_RUNTIME_DIR", "/run/user/1000"), ("DOCKER_CONFIG", "")], Some("/home/bob"));
        let docker = "/home/bob/.docker/config.json";
        let podman = ["/run/user/1000/containers/auth.json", "/home/bob/.config/containers/auth.json"];
        assert_eq!(reading, [docker, podman[0], podman[1]]);
        assert_eq!(writing.as_deref(), Some(docker));
        let (reading, writing) = places(&[("DOCKER_CONFIG", "/d"), ("XDG_CONFIG_HOME", "/x")], Some("/home/bob"));
        assert_eq!(reading, ["/d/config.json", "/run/containers/1000/auth.json", "/x/containers/auth.json"]);
        assert_eq!(writing.as_deref(), Some("/d/config.json"));
    }

    #[test]
    fn a_file_that_is_named_is_the_only_one() {
        let (reading, writing) = places(&[("REGISTRY_AUTH_FILE", "/f"), ("DOCKER_CONFIG", "/d")], Some("/home/bob"));
        assert_eq!((reading, writing.as_deref()), (vec!["/f".to_owned()], Some("/f")));
    }

    #[test]
    fn without_a_home_there_is_nothing_to_write_to() {
        let (reading, writing) = places(&[], None);
        assert_eq!((reading, writing), (vec!["/run/containers/1000/auth.json".to_owned()], None));
    }
}
