//! What the daemon is told: by flags, the environment and a file, in this order.

use std::path::{Path, PathBuf};

use clap::Parser;
use layer_engine::InsecureHost;
use serde::Deserialize;

const CONFIG: &str = "/etc/layerd/config.toml";
const ROOT: &str = "/var/lib/layerd";
const LISTEN: &str = "unix:///run/layerd/layerd.sock";
const GROUP: &str = "layerd";

/// Pulls, stores and serves container images.
#[derive(Debug, Parser)]
#[command(
    name = "layerd",
    version,
    about,
    after_help = "A flag goes before the environment, and that before the file."
)]
pub(crate) struct Args {
    /// Where the images are kept [default: /var/lib/layerd]
    #[arg(long, env = "LAYERD_ROOT", value_name = "FOLDER")]
    root: Option<PathBuf>,
    /// The socket to listen on, unix://PATH; may be given several times [default: unix:///run/layerd/layerd.sock]
    #[arg(long, env = "LAYERD_LISTEN", value_name = "ADDRESS", value_delimiter = ',')]
    listen: Vec<String>,
    /// The group that may use the socket, if there is such a group [default: layerd]
    #[arg(long, env = "LAYERD_GROUP")]
    group: Option<String>,
    /// The file with the settings that aren't given here [default: /etc/layerd/config.toml, if it is there]
    #[arg(long, env = "LAYERD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// What to log: error, warn, info, debug, trace, or a filter such as info,layer_transfer=debug [default: info]
    #[arg(long, env = "LAYERD_LOG", value_name = "FILTER")]
    log: Option<String>,
    /// A registry that need not prove who it is: HOST, HOST:PORT or a network; may be given several times
    #[arg(long, env = "LAYERD_INSECURE_REGISTRIES", value_name = "HOST", value_delimiter = ',')]
    insecure_registry: Vec<String>,
    /// How many layers are fetched from one registry at a time [default: 4]
    #[arg(long, env = "LAYERD_DOWNLOADS_PER_REGISTRY", value_name = "COUNT")]
    downloads_per_registry: Option<usize>,
}

/// The settings file. Names that it doesn't know are errors, so that a typing mistake isn't passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct File {
    root: Option<PathBuf>,
    listen: Option<Vec<String>>,
    group: Option<String>,
    log: Option<String>,
    insecure_registries: Option<Vec<String>>,
    downloads_per_registry: Option<usize>,
}

/// The settings, complete.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) root: PathBuf,
    /// The paths of the sockets.
    pub(crate) sockets: Vec<PathBuf>,
    pub(crate) group: String,
    pub(crate) log: String,
    pub(crate) insecure: Vec<InsecureHost>,
    pub(crate) downloads_per_registry: Option<usize>,
}

/// Why the settings can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("read the settings `{}`", .path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the settings `{}`: {reason}", .path.display())]
    Parse { path: PathBuf, reason: String },
    #[error("`{0}` is no address to listen on: it should read unix:///path/to/socket")]
    Listen(String),
    #[error("{0}")]
    Insecure(#[from] layer_engine::ParseInsecureHostError),
}

impl Config {
    pub(crate) fn load(args: Args) -> Result<Self, ConfigError> {
        let file = match &args.config {
            Some(path) => File::read(path)?,
            None if Path::new(CONFIG).exists() => File::read(Path::new(CONFIG))?,
            None => File::default(),
        };
        Self::merge(args, file)
    }

    fn merge(args: Args, file: File) -> Result<Self, ConfigError> {
        let given = |list: Vec<String>| (!list.is_empty()).then_some(list);
        let listen = given(args.listen).or(file.listen).unwrap_or_else(|| vec![LISTEN.to_owned()]);
        let insecure = given(args.insecure_registry).or(file.insecure_registries).unwrap_or_default();
        Ok(Self {
            root: args.root.or(file.root).unwrap_or_else(|| ROOT.into()),
            sockets: listen.iter().map(|address| socket(address)).collect::<Result<_, _>>()?,
            group: args.group.or(file.group).unwrap_or_else(|| GROUP.to_owned()),
            log: args.log.or(file.log).unwrap_or_else(|| "info".to_owned()),
            insecure: insecure.iter().map(|host| host.parse()).collect::<Result<_, _>>()?,
            downloads_per_registry: args.downloads_per_registry.or(file.downloads_per_registry),
        })
    }
}

impl File {
    fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        toml::from_str(&text)
            .map_err(|error| ConfigError::Parse { path: path.to_owned(), reason: error.message().replace('\n', " ") })
    }
}

/// The path in an address.
fn socket(address: &str) -> Result<PathBuf, ConfigError> {
    let path = address.strip_prefix("unix://").unwrap_or(address);
    if path.starts_with('/') { Ok(path.into()) } else { Err(ConfigError::Listen(address.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merge(args: &[&str], file: &str) -> Result<Config, ConfigError> {
        let args = Args::try_parse_from(std::iter::once("layerd").chain(args.iter().copied())).unwrap();
        Config::merge(args, toml::from_str(file).unwrap())
    }

    #[test]
    fn flags_go_before_the_file_and_that_before_the_defaults() {
        let config = merge(&[], "").unwrap();
        assert_eq!(config.root, Path::new("/var/lib/layerd"));
        assert_eq!(config.sockets, [Path::new("/run/layerd/layerd.sock")]);
        let file = "root = '/a'\nlisten = ['unix:///s']\ninsecure-registries = ['10.0.0.0/8']\nlog = 'debug'";
        let config = merge(&["--root", "/b", "--listen", "/t", "--listen", "unix:///u"], file).unwrap();
        assert_eq!(config.root, Path::new("/b"));
        assert_eq!(config.sockets, [Path::new("/t"), Path::new("/u")]);
        assert_eq!(config.log, "debug");
        assert_eq!(config.insecure.len(), 1);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        assert!(toml::from_str::<File>("rooot = '/a'").unwrap_err().message().contains("rooot"));
        assert!(merge(&["--listen", "tcp://0.0.0.0:1"], "").unwrap_err().to_string().contains("tcp://0.0.0.0:1"));
        assert!(merge(&["--insecure-registry", "what is this"], "").is_err());
    }
}
