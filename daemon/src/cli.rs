//! The arguments.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use layer_engine::InsecureHost;

use crate::config::{Address, Layers, LogFilter, NetworkArgs, RegistryArgs};

/// Where settings are looked for when nobody names another file.
pub(crate) const DEFAULT_CONFIG: &str = "/etc/layerd/config.toml";

/// The daemon that pulls, keeps and mounts container images.
///
/// Docker's clients can talk to its socket (`docker -H unix:///run/layerd/layerd.sock pull alpine`), and so can its own, `layer`.
///
/// Every option can also be set in the environment, and by its long name in the file that --config names. An option wins over the
/// environment, and the environment over the file.
#[derive(Clone, Debug, Parser)]
#[command(name = "layerd", version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// The file with settings [default: /etc/layerd/config.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE", env = "LAYERD_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,

    /// The folder of the store; one daemon at a time can use it [default: /var/lib/layerd]
    #[arg(long, global = true, value_name = "FOLDER", env = "LAYERD_ROOT", hide_env_values = true)]
    pub(crate) root: Option<PathBuf>,

    /// Where to listen: `unix://PATH`, or `fd://` for the sockets that systemd passes. Can be given more than once
    ///
    /// Sockets that were passed are always served; `fd://` demands that there are some. [default: the sockets that were passed, or else
    /// unix:///run/layerd/layerd.sock]
    #[arg(long, value_name = "ADDRESS", env = "LAYERD_LISTEN", hide_env_values = true, value_delimiter = ',')]
    pub(crate) listen: Option<Vec<Address>>,

    /// The group whose members may use the socket, by name or number [default: layerd, if there is such a group]
    #[arg(long, value_name = "GROUP", env = "LAYERD_GROUP", hide_env_values = true)]
    pub(crate) group: Option<String>,

    /// What to log: a level (`info`, `debug`), or levels by part (`info,layer_registry=trace`) [default: info]
    #[arg(long, value_name = "FILTER", env = "LAYERD_LOG", hide_env_values = true)]
    pub(crate) log: Option<LogFilter>,

    /// A registry that needs no valid certificate, or no TLS: `host`, `host:port` or `10.0.0.0/8`. Can be given more than once
    #[arg(long, value_name = "HOST", env = "LAYERD_INSECURE_REGISTRY", hide_env_values = true, value_delimiter = ',')]
    pub(crate) insecure_registry: Option<Vec<InsecureHost>>,

    #[command(flatten)]
    pub(crate) registries: RegistryArgs,

    /// How layers are kept that come from now on: each as a folder of files, or each as one EROFS file, which is faster and takes Linux 6.12
    /// or later [default: folders]
    #[arg(long, value_name = "FORM", env = "LAYERD_LAYERS", hide_env_values = true, value_enum)]
    pub(crate) layers: Option<Layers>,

    /// How many layers are fetched from one registry at a time [default: 4]
    #[arg(long, value_name = "NUMBER", env = "LAYERD_DOWNLOADS", hide_env_values = true,
          value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) downloads: Option<u16>,

    #[command(flatten)]
    pub(crate) network: NetworkArgs,

    /// How many seconds running requests get to finish when the daemon is told to stop [default: 10]
    #[arg(long, value_name = "SECONDS", env = "LAYERD_SHUTDOWN_TIMEOUT", hide_env_values = true)]
    pub(crate) shutdown_timeout: Option<u16>,
}

/// What to do in place of serving.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum Command {
    /// Repairs a store that was damaged, while no daemon uses it, and says what it found
    ///
    /// Rebuilds `index.json` from what is left of it and of the version before it, and the database from the layers. Reads every blob, and removes
    /// blobs and layers that are damaged: pulling the image again brings them in anew.
    Recover,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_fit_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        let refused = |words: &[&str]| {
            let words = ["layerd"].iter().chain(words);
            Args::try_parse_from(words).expect_err("refused").to_string()
        };
        assert!(refused(&["--listen", "tcp://127.0.0.1:1"]).contains("unix://PATH"));
        assert!(refused(&["--log", "info,x=loud"]).contains("--log"));
        assert!(refused(&["--insecure-registry", "http://x"]).contains("--insecure-registry"));
        assert!(refused(&["--mirror", "https://m.lab"]).contains("--mirror"));
        assert!(refused(&["--downloads", "0"]).contains("--downloads"));
        assert!(refused(&["--layers", "files"]).contains("[possible values: folders, erofs]"));
        assert!(refused(&["--retries", "x"]).contains("`x` is not a whole number from 0 to 100"));
        assert!(refused(&["extra"]).contains("extra"));
    }
}
