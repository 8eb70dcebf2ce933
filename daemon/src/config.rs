//! The settings: from arguments, environment, file and defaults.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use layer_engine::{Form, InsecureHost, ParseProxyError};
use serde::{Deserialize, Deserializer};
use tracing_subscriber::EnvFilter;

mod network;
mod registries;

use crate::cli::{Args, DEFAULT_CONFIG};
use crate::collection::{GcSection, GcSettings};
use network::{Asked, Number, Speed};
pub(crate) use network::{NetworkArgs, Retries, Seconds};
use registries::{MirrorTable, OneRegistry, ProxyTable};
pub(crate) use registries::{Registries, RegistryArgs};

/// The store when nobody names one.
const DEFAULT_ROOT: &str = "/var/lib/layerd";
/// The group when nobody names one.
const DEFAULT_GROUP: &str = "layerd";
/// The level of the log when nobody names one.
const DEFAULT_LOG: &str = "info";
/// systemd waits 90 seconds before it kills; a registry rarely finishes a layer in much more than this.
const DEFAULT_SHUTDOWN: Duration = Duration::from_secs(10);
/// The largest file that is taken for settings.
const MAX_FILE: u64 = 1 << 20;

/// How the daemon is set up, with nothing left open.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) root: PathBuf,
    /// Empty when nobody named any.
    pub(crate) listen: Vec<Address>,
    pub(crate) group: Group,
    pub(crate) log: LogFilter,
    pub(crate) registries: Registries,
    pub(crate) layers: Form,
    pub(crate) downloads: Option<u16>,
    pub(crate) network: NetworkArgs,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) gc: GcSettings,
}

/// Who may use the sockets besides root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// Somebody named it: it must be there.
    Named(String),
    /// Nobody did: if it isn't there, the socket is root's alone.
    Default(&'static str),
}

/// The file with settings. Its keys are the long names of the options.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct File {
    root: Option<PathBuf>,
    #[serde(deserialize_with = "parsed_list")]
    listen: Option<Vec<Address>>,
    group: Option<String>,
    #[serde(deserialize_with = "parsed")]
    log: Option<LogFilter>,
    #[serde(deserialize_with = "parsed_list")]
    insecure_registry: Option<Vec<InsecureHost>>,
    certs_dir: Option<Vec<PathBuf>>,
    mirrors: Option<MirrorTable>,
    search_registry: Option<OneRegistry>,
    proxy: Option<ProxyTable>,
    layers: Option<Layers>,
    #[serde(deserialize_with = "downloads")]
    downloads: Option<u16>,
    downloads_total: Option<Number>,
    connections: Option<Number>,
    retries: Option<Retries>,
    connect_timeout: Option<Seconds>,
    first_byte_timeout: Option<Seconds>,
    stall_timeout: Option<Seconds>,
    minimum_speed: Option<Speed>,
    minimum_speed_time: Option<Seconds>,
    longest_retry_after: Option<Asked>,
    shutdown_timeout: Option<u16>,
    gc: GcSection,
}

/// How layers are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Layers {
    Folders,
    Erofs,
}

impl Layers {
    fn form(self) -> Form {
        match self {
            Self::Folders => Form::Folder,
            Self::Erofs => Form::Image,
        }
    }
}

/// A place to listen at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A socket of our own making, at an absolute path.
    Unix(PathBuf),
    /// The sockets that were passed.
    Passed,
}

/// What is logged. The text is known to be a filter.
#[derive(Clone, Debug)]
pub(crate) struct LogFilter(String);

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ConfigError {
    /// The file can't be read.
    #[error("read the settings in `{}`", .path.display())]
    Read { path: PathBuf, source: io::Error },
    /// It is too large to be one.
    #[error("the settings in `{}` are larger than {MAX_FILE} bytes", .path.display())]
    TooLarge { path: PathBuf },
    /// It says something that makes no sense.
    #[error("the settings in `{}`, line {line}: {reason}", .path.display())]
    Parse { path: PathBuf, line: usize, reason: String },
    /// The environment names a proxy that is none.
    #[error(transparent)]
    Proxy(#[from] ParseProxyError),
    /// The section about collections contradicts itself.
    #[error("the settings in `[gc]`: {reason}")]
    Gc { reason: String },
    /// A path can't be made absolute.
    #[error("find the folder `{}`", .path.display())]
    Path { path: PathBuf, source: io::Error },
}

impl Settings {
    /// Puts the settings together: what the arguments (and with them the environment) leave open is taken from the file, and what that leaves
    /// open too, from the defaults.
    pub(crate) fn new(args: Args) -> Result<Self, ConfigError> {
        let file = match &args.config {
            Some(path) => read(path)?
                .ok_or_else(|| ConfigError::Read { path: path.clone(), source: io::ErrorKind::NotFound.into() })?,
            None => read(Path::new(DEFAULT_CONFIG))?.unwrap_or_default(),
        };
        let gc = file.gc.settings().map_err(|reason| ConfigError::Gc { reason })?;
        let root = args.root.or(file.root).unwrap_or_else(|| DEFAULT_ROOT.into());
        Ok(Self {
            root: std::path::absolute(&root).map_err(|source| ConfigError::Path { path: root, source })?,
            listen: args.listen.or(file.listen).unwrap_or_default(),
            group: args.group.or(file.group).map_or(Group::Default(DEFAULT_GROUP), Group::Named),
            log: args.log.or(file.log).unwrap_or_else(|| LogFilter(DEFAULT_LOG.to_owned())),
            registries: Registries::new(
                args.registries,
                args.insecure_registry.or(file.insecure_registry).unwrap_or_default(),
                file.certs_dir,
                file.mirrors,
                file.search_registry,
                file.proxy,
            )?,
            layers: args.layers.or(file.layers).map_or_else(Form::default, Layers::form),
            downloads: args.downloads.or(file.downloads),
            network: args.network.or(NetworkArgs {
                downloads_total: file.downloads_total,
                connections: file.connections,
                retries: file.retries,
                connect_timeout: file.connect_timeout,
                first_byte_timeout: file.first_byte_timeout,
                stall_timeout: file.stall_timeout,
                minimum_speed: file.minimum_speed,
                minimum_speed_time: file.minimum_speed_time,
                longest_retry_after: file.longest_retry_after,
            }),
            shutdown_timeout: args
                .shutdown_timeout
                .or(file.shutdown_timeout)
                .map_or(DEFAULT_SHUTDOWN, |seconds| Duration::from_secs(seconds.into())),
            gc,
        })
    }
}

/// Reads a file with settings; `None` if there is no such file.
fn read(path: &Path) -> Result<Option<File>, ConfigError> {
    use io::Read as _;
    let failed = |source| ConfigError::Read { path: path.to_owned(), source };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut text = String::new();
    let size = file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(failed)?;
    if size as u64 > MAX_FILE {
        return Err(ConfigError::TooLarge { path: path.to_owned() });
    }
    toml::from_str(&text).map(Some).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
        // Parsers explain themselves over several lines; ours is one.
        let reason = error.message().lines().collect::<Vec<_>>().join(", ");
        ConfigError::Parse { path: path.to_owned(), line, reason }
    })
}

impl ConfigError {
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Some(format!("without `--config`, `{DEFAULT_CONFIG}` is read if it is there"))
            }
            Self::Parse { .. } => Some("`layerd --help` lists the settings".to_owned()),
            Self::Read { .. } | Self::TooLarge { .. } | Self::Proxy(_) | Self::Path { .. } | Self::Gc { .. } => None,
        }
    }
}

/// Reads what is written as a text in the file.
fn parsed<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    String::deserialize(deserializer)?.parse().map(Some).map_err(serde::de::Error::custom)
}

/// Reads what is written as a list of texts in the file.
fn parsed_list<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    let texts = Vec::<String>::deserialize(deserializer)?;
    let parsed: Result<_, _> = texts.iter().map(|text| text.parse()).collect();
    parsed.map(Some).map_err(serde::de::Error::custom)
}

fn downloads<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    match u16::deserialize(deserializer)? {
        number @ 1..=100 => Ok(Some(number)),
        number => Err(serde::de::Error::custom(format!("`downloads` is {number}, and must be from 1 to 100"))),
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path = match text.split_once("://") {
            Some(("fd", "")) => return Ok(Self::Passed),
            Some(("fd", _)) => return Err(format!("`{text}`: `fd://` stands for all sockets that were passed")),
            Some(("unix", path)) => path,
            Some(_) => return Err(format!("`{text}` is not supported: layerd listens at `unix://PATH` or `fd://`")),
            None => text,
        };
        if !path.starts_with('/') {
            return Err(format!("`{text}` is no absolute path: write `unix:///PATH`"));
        }
        Ok(Self::Unix(path.into()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Passed => f.write_str("fd://"),
        }
    }
}

impl LogFilter {
    /// The filter itself. The database tells about every page it writes; who wants that has to name it.
    pub(crate) fn filter(&self) -> EnvFilter {
        EnvFilter::new(format!("sled=warn,{}", self.0))
    }
}

impl FromStr for LogFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match EnvFilter::try_new(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(error) => Err(format!("`{text}` is no filter for the log: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        use std::io::Write as _;
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn settings(text: &str, words: &[&str]) -> Result<Settings, ConfigError> {
        let file = file(text);
        let path = file.path().to_str().unwrap();
        Settings::new(Args::parse_from(["layerd", "--config", path].iter().chain(words)))
    }

    #[test]
    fn the_file_fills_what_the_arguments_leave_open() {
        let text = "root = '/from/file'\nlisten = ['unix:///a', 'fd://']\ndownloads = 7\nshutdown-timeout = 3\n\
                    insecure-registry = ['10.0.0.0/8']\nlog = 'debug'\ngroup = 'staff'\n";
        let from_file = settings(text, &[]).unwrap();
        assert_eq!(from_file.root, Path::new("/from/file"));
        assert_eq!(from_file.listen, [Address::Unix("/a".into()), Address::Passed]);
        assert_eq!(from_file.downloads, Some(7));
        assert_eq!(from_file.shutdown_timeout, Duration::from_secs(3));
        assert_eq!(from_file.group, Group::Named("staff".into()));
        assert_eq!(from_file.log.0, "debug");
        let both = settings(text, &["--root", "/from/flag", "--listen", "unix:///b,unix:///c"]).unwrap();
        assert_eq!(both.root, Path::new("/from/flag"));
        assert_eq!(both.listen, [Address::Unix("/b".into()), Address::Unix("/c".into())]);
        let neither = settings("", &[]).unwrap();
        assert_eq!(neither.root, Path::new(DEFAULT_ROOT));
        assert_eq!(neither.group, Group::Default(DEFAULT_GROUP));
        assert!(neither.listen.is_empty());
    }

    #[test]
    fn what_is_said_about_networks_is_set_and_the_rest_stays() {
        let text = "retries = 0\nstall-timeout = 5\nminimum-speed = 0\nlongest-retry-after = 7\ndownloads-total = 9\n";
        let words = ["--connections", "2", "--stall-timeout", "3", "--connect-timeout=1", "--first-byte-timeout=2"];
        let mut options = layer_engine::Options::default();
        let before = options.registry.clone();
        settings(text, &words).unwrap().network.apply(&mut options);
        let (registry, limits) = (options.registry, options.limits);
        assert_eq!((registry.retry.tries, limits.downloads, limits.connections_per_registry), (1, 9, 2));
        let seconds = [registry.stall_timeout, registry.connect_timeout, registry.first_byte_timeout];
        assert_eq!(seconds.map(|limit| limit.as_secs()), [3, 1, 2]);
        assert_eq!((registry.minimum_speed, registry.retry.longest_retry_after.as_secs()), (0, 7));
        assert_eq!(registry.minimum_speed_time, before.minimum_speed_time);
        assert_eq!(registry.retry.first_wait, before.retry.first_wait);
    }

    #[test]
    fn how_registries_are_reached_is_put_together() {
        let text = "insecure-registry = ['10.0.0.0/8']\ncerts-dir = ['/a', '/b']\n\
                    [mirrors]\n'docker.io' = ['https://m.lab:5000', 'http://n.lab/hub']\n'*' = ['all.lab']\n\
                    [proxy]\nhttp = 'http://file:1'\nhttps = 'http://file:2'\nno-proxy = 'x,y'\n";
        let options = |text: &str, words: &[&str]| {
            let mut options = layer_engine::RegistryOptions::default();
            settings(text, words).unwrap().registries.apply(&mut options);
            options
        };
        let shown = |options: &layer_engine::RegistryOptions, registry: &str| {
            options.mirrors[registry].iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let from_file = options(text, &[]);
        assert_eq!(from_file.insecure.len(), 1);
        assert_eq!(from_file.certs_dirs, [Path::new("/a"), Path::new("/b")]);
        assert_eq!(shown(&from_file, "docker.io"), ["https://m.lab:5000/", "http://n.lab/hub/"]);
        assert_eq!(shown(&from_file, "*"), ["https://all.lab/"]);
        let words = [
            "--certs-dir=/c",
            "--mirror=quay.io=https://q.lab,quay.io=https://r.lab",
            "--http-proxy=http://bob:hidden@flag:3",
        ];
        let both = options(text, &words);
        assert_eq!(both.certs_dirs, [Path::new("/c")]);
        assert_eq!(both.mirrors.len(), 1);
        assert_eq!(shown(&both, "quay.io"), ["https://q.lab/", "https://r.lab/"]);
        let proxies = both.proxies.unwrap();
        assert_eq!(proxies.http.unwrap().to_string(), "http://xxxxx:xxxxx@flag:3");
        assert_eq!(proxies.https.unwrap().to_string(), "http://file:2");
        assert_eq!(proxies.no_proxy.as_deref(), Some("x,y"));
        let error = settings("", &["--https-proxy=http://bob:hidden@x/y"]).unwrap_err().to_string();
        assert!(
            error.starts_with("what `--https-proxy` is set to is no address") && !error.contains("hidden"),
            "{error}"
        );
        assert_eq!(options("search-registry = 'S.lab'", &[]).search_registry, "s.lab");
        assert_eq!(
            options("search-registry = 's.lab'", &["--search-registry=t.lab:5000"]).search_registry,
            "t.lab:5000"
        );
        assert_eq!(options("", &[]).search_registry, "docker.io");
        assert!(settings("search-registry = '*'", &[]).unwrap_err().to_string().contains("`*` is no registry"));
        assert_eq!(options("", &[]).certs_dirs, layer_engine::RegistryOptions::default().certs_dirs);
    }

    #[test]
    fn what_the_file_should_not_say_is_named_with_its_line() {
        for (text, line, named) in [
            ("root = '/x'\nrooot = '/y'\n", 2, "`rooot`"),
            ("listen = ['tcp://1']", 1, "tcp://1"),
            ("\n\ndownloads = 0", 3, "from 1 to 100"),
            ("log = 'x=loud'", 1, "x=loud"),
            ("downloads = 1\nstall-timeout = 0", 2, "from 1 to 86400"),
            ("retries = 101", 1, "from 0 to 100"),
            ("connections = -1", 1, "from 1 to 100"),
            ("group = 5", 1, "string"),
            ("[mirrors]\n'docker.io' = ['https://m.lab', 'ftp://x']", 2, "ftp://x"),
            ("search-registry = 'fast'", 1, "`fast` is no registry"),
            ("[mirrors]\nfast = ['https://m.lab']", 2, "`fast` is no registry"),
            ("\n[proxy]\nhttp = 'ftp://x'", 3, "is no address of a proxy"),
            ("[proxy]\nhttp-proxy = 'http://x'", 2, "`http-proxy`"),
            ("root = ", 1, ""),
        ] {
            match settings(text, &[]).expect_err(text) {
                ConfigError::Parse { line: at, reason, .. } => {
                    assert_eq!(at, line, "{text}");
                    assert!(reason.contains(named) && !reason.contains('\n'), "{reason}");
                }
                other => panic!("{text}: {other}"),
            }
        }
    }

    #[test]
    fn a_file_that_was_named_must_be_there() {
        let args = Args::parse_from(["layerd", "--config", "/no/such/file"]);
        let error = Settings::new(args).unwrap_err();
        assert_eq!(error.to_string(), "read the settings in `/no/such/file`");
        assert!(error.hint().unwrap().contains(DEFAULT_CONFIG));
    }

    #[test]
    fn addresses_are_sockets_of_this_machine() {
        assert_eq!("unix:///x".parse(), Ok(Address::Unix("/x".into())));
        assert_eq!("/x".parse(), Ok(Address::Unix("/x".into())));
        assert_eq!("fd://".parse(), Ok(Address::Passed));
        for text in ["tcp://127.0.0.1:2375", "unix://", "unix://x", "x", "", "fd://3"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
