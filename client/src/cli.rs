//! The arguments.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::host::Host;

/// The end of every help.
const EXIT_CODES: &str = "Exit status: 0 done, 1 failed, 2 wrong usage, 3 daemon unreachable, 130 interrupted.";

/// Pulls and keeps container images through the daemon layerd.
#[derive(Debug, Parser)]
#[command(name = "layer", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Cli {
    /// The daemon's socket, `unix://PATH` or a plain path [default: unix:///run/layerd/layerd.sock]
    #[arg(short = 'H', long, global = true, value_name = "SOCKET", env = "LAYERD_HOST", hide_env_values = true)]
    pub(crate) host: Option<Host>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Pull images from their registries
    Pull(PullArgs),
    /// Push images to the registries in their names
    Push(PushArgs),
    /// List the images that are here
    Images(ImagesArgs),
    /// Show all that is known about images, as JSON
    Inspect(InspectArgs),
    /// Show the steps that made an image, newest first
    History(HistoryArgs),
    /// Give an image another name
    Tag(TagArgs),
    /// Take names from images, and images away with their last name
    Rmi(RemoveArgs),
    /// Mount an image's files on a folder, and print the folder
    Mount(MountArgs),
    /// Take mounts down
    #[command(visible_alias = "unmount")]
    Umount(UmountArgs),
    /// List the images that are mounted
    Mounts(MountsArgs),
    /// Show the versions of client and daemon
    Version(AboutArgs),
    /// Show what the daemon says about itself and its store
    Info(AboutArgs),
    /// The same commands in docker's longer form
    #[command(subcommand)]
    Image(ImageCommand),
}

/// The commands about images, behind `layer image`.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// Pull images from their registries
    Pull(PullArgs),
    /// Push images to the registries in their names
    Push(PushArgs),
    /// List the images that are here
    #[command(visible_alias = "list")]
    Ls(ImagesArgs),
    /// Show all that is known about images, as JSON
    Inspect(InspectArgs),
    /// Show the steps that made an image, newest first
    History(HistoryArgs),
    /// Give an image another name
    Tag(TagArgs),
    /// Take names from images, and images away with their last name
    #[command(visible_alias = "remove")]
    Rm(RemoveArgs),
}

impl From<ImageCommand> for Command {
    fn from(command: ImageCommand) -> Self {
        match command {
            ImageCommand::Pull(args) => Self::Pull(args),
            ImageCommand::Push(args) => Self::Push(args),
            ImageCommand::Ls(args) => Self::Images(args),
            ImageCommand::Inspect(args) => Self::Inspect(args),
            ImageCommand::History(args) => Self::History(args),
            ImageCommand::Tag(args) => Self::Tag(args),
            ImageCommand::Rm(args) => Self::Rmi(args),
        }
    }
}

/// How a list is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people
    #[default]
    Table,
    /// JSON, one object a line
    Json,
}

/// How facts are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum AboutFormat {
    /// Lines for people
    #[default]
    Text,
    /// One JSON object
    Json,
}

/// `layer pull`.
#[derive(Debug, Args)]
#[command(after_help = "\
Several images are pulled at once. What is here already is not fetched again, and a pull that was broken off goes on where it was.
Progress goes to standard error; the digest, the outcome, the full name and the image ID of each image go to standard output, in the \
order of the names.

Examples:
  layer pull alpine
  layer pull alpine:3.20 ghcr.io/acme/app@sha256:4bcf…
  layer pull --platform linux/arm/v7 debian:12
  layer pull --dry-run debian:12")]
pub(crate) struct PullArgs {
    /// What to pull; without tag and digest the tag `latest`
    #[arg(required = true, value_name = "NAME[:TAG][@DIGEST]", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) names: Vec<String>,
    /// The platform to pull, where an image has several [default: the daemon's own]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) platform: Option<String>,
    /// Print nothing but the full name of each image; with --dry-run, of each image that there is news of
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Only tell whether there is a newer image, and how much would come; nothing is written
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `layer push`.
#[derive(Debug, Args)]
#[command(after_help = "\
What the registry has already is not sent, and what it has in another repository it takes over from there. The image goes as it was \
pulled: with the same digest, and with all its platforms if they are here or there.
Progress goes to standard error; for each tag, what it leads to and the full name go to standard output.

Examples:
  layer push registry.lab:5000/app
  layer push --all-tags registry.lab:5000/app
  layer push --platform linux/arm64 registry.lab:5000/app:1")]
pub(crate) struct PushArgs {
    /// What to push, by the name that says where to; without a tag the tag `latest`
    #[arg(value_name = "NAME[:TAG]", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) name: String,
    /// Push all tags that the repository has here
    #[arg(short, long)]
    pub(crate) all_tags: bool,
    /// Push this platform alone [default: the image as it is]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) platform: Option<String>,
    /// Print nothing but the full name of each image
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// `layer images`.
#[derive(Debug, Args)]
pub(crate) struct ImagesArgs {
    /// Only images of this name; `*` and `?` stand for any characters but `/`
    #[arg(value_name = "NAME[:TAG]", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) name: Option<String>,
    /// Also images that only others are made of
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Print image IDs only, each once
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Don't shorten the image IDs
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Show the digests that the names stand for
    #[arg(long)]
    pub(crate) digests: bool,
    /// How to write the list
    #[arg(long, value_enum, default_value_t, conflicts_with = "quiet")]
    pub(crate) format: Format,
}

/// `layer inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// Names, IDs or beginnings of IDs
    #[arg(required = true, value_name = "IMAGE", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) images: Vec<String>,
}

/// `layer history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// A name, an ID or the beginning of one
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) image: String,
    /// Print IDs only
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Don't shorten IDs and commands
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// How to write the list
    #[arg(long, value_enum, default_value_t, conflicts_with = "quiet")]
    pub(crate) format: Format,
}

/// `layer tag`.
#[derive(Debug, Args)]
pub(crate) struct TagArgs {
    /// A name, an ID or the beginning of one
    #[arg(value_name = "IMAGE", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) source: String,
    /// The new name; another image that has it loses it
    #[arg(value_name = "NAME[:TAG]", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) target: String,
}

/// `layer rmi`.
#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// Names, IDs or beginnings of IDs
    #[arg(required = true, value_name = "IMAGE", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) images: Vec<String>,
    /// Remove an image with all its names
    #[arg(short, long)]
    pub(crate) force: bool,
}

/// `layer mount`.
#[derive(Debug, Args)]
pub(crate) struct MountArgs {
    /// A name, an ID or the beginning of one
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) image: String,
    /// The folder to mount on [default: one that the daemon makes]
    #[arg(value_name = "DIR")]
    pub(crate) target: Option<PathBuf>,
    /// Make it writable; what is written goes away with the mount
    #[arg(long = "rw")]
    pub(crate) writable: bool,
    /// Which platform of the image [default: the daemon's own]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) platform: Option<String>,
}

/// `layer umount`.
#[derive(Debug, Args)]
pub(crate) struct UmountArgs {
    /// Folders, images or IDs of mounts; an image stands for all its mounts
    #[arg(required = true, value_name = "DIR|IMAGE")]
    pub(crate) what: Vec<PathBuf>,
}

/// `layer mounts`.
#[derive(Debug, Args)]
pub(crate) struct MountsArgs {
    /// Print the folders only
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// How to write the list
    #[arg(long, value_enum, default_value_t, conflicts_with = "quiet")]
    pub(crate) format: Format,
}

/// `layer version` and `layer info`.
#[derive(Debug, Args)]
pub(crate) struct AboutArgs {
    /// How to write it
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: AboutFormat,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_long_form_means_the_same() {
        let parse = |words: &str| format!("{:?}", Command::from_words(words));
        for (long, short) in [
            ("image ls -a x", "images -a x"),
            ("image rm -f x", "rmi -f x"),
            ("image inspect x y", "inspect x y"),
            ("image push -a x", "push -a x"),
        ] {
            assert_eq!(parse(long), parse(short));
        }
    }

    impl Command {
        fn from_words(words: &str) -> Self {
            match Cli::try_parse_from(["layer"].into_iter().chain(words.split(' '))).unwrap().command {
                Self::Image(command) => command.into(),
                command => command,
            }
        }
    }

    #[test]
    fn the_host_is_taken_in_front_of_and_behind_the_command() {
        for words in ["layer -H /x images", "layer images -H unix:///x", "layer image ls --host=/x"] {
            let cli = Cli::try_parse_from(words.split(' ')).unwrap();
            assert_eq!(cli.host, Some("/x".parse().unwrap()), "{words}");
        }
    }

    #[test]
    fn usage_that_makes_no_sense_is_refused() {
        for words in [
            "layer",
            "layer pull",
            "layer pull ",
            "layer push",
            "layer images -q --format json",
            "layer -H tcp://x images",
            "layer tag a",
            "layer mount",
        ] {
            assert!(Cli::try_parse_from(words.split(' ')).is_err(), "{words}");
        }
    }
}
