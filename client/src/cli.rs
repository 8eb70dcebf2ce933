//! The arguments.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::credentials::Registry;
use crate::filters::{self, Filter};
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
    /// Search a registry for repositories
    Search(SearchArgs),
    /// List the pulls that run, whoever began them
    Pulls(PullsArgs),
    /// Watch a pull that somebody else has begun
    Follow(FollowArgs),
    /// End pulls, whoever began them; what has come is kept
    Cancel(CancelArgs),
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
    /// Save images in an archive, as `docker save` does
    Save(SaveArgs),
    /// Load the images of an archive
    Load(LoadArgs),
    /// Make an image of a root file system in a tar
    Import(ImportArgs),
    /// Remove images that nobody uses, and what pulls have left behind
    Prune(PruneArgs),
    /// Show what the store takes on the disk
    Df(UsageArgs),
    /// Keep images from being removed when room is made
    Pin(PinArgs),
    /// Take pins off
    Unpin(PinArgs),
    /// List what is pinned
    Pins(PinsArgs),
    /// Mount an image's files on a folder, and print the folder
    Mount(MountArgs),
    /// Take mounts down
    #[command(visible_alias = "unmount")]
    Umount(UmountArgs),
    /// List the images that are mounted
    Mounts(MountsArgs),
    /// Log in at a registry, and keep the login for pulls
    Login(LoginArgs),
    /// Forget the login at a registry
    Logout(LogoutArgs),
    /// Follow what happens to images
    Events(EventsArgs),
    /// Make a bundle for an OCI runtime, and print its folder
    Bundle(BundleArgs),
    /// Prove that images are as they came, byte by byte
    Verify(VerifyArgs),
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
    /// Remove images that nobody uses, and what pulls have left behind
    Prune(PruneArgs),
    /// Save images in an archive, as `docker save` does
    Save(SaveArgs),
    /// Load the images of an archive
    Load(LoadArgs),
    /// Make an image of a root file system in a tar
    Import(ImportArgs),
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
            ImageCommand::Prune(args) => Self::Prune(args),
            ImageCommand::Save(args) => Self::Save(args),
            ImageCommand::Load(args) => Self::Load(args),
            ImageCommand::Import(args) => Self::Import(args),
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
    /// Pull all tags of the repository
    #[arg(short, long, conflicts_with = "dry_run")]
    pub(crate) all_tags: bool,
    /// The platform to pull, where an image has several [default: the daemon's own]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) platform: Option<String>,
    /// How often a request to the registry that fails and brings nothing is made again, in a row [default: the daemon's]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(crate) retries: Option<u32>,
    /// How many seconds the registry may be silent in the middle of a layer [default: the daemon's]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) stall_timeout: Option<u32>,
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

/// `layer search`.
#[derive(Debug, Args)]
#[command(after_help = "\
Docker Hub is searched, or the registry that the daemon's settings name, or the one in front of the term. Few others know a search.

Examples:
  layer search nginx
  layer search --filter is-official=true --filter stars=10 postgres
  layer search registry.lab:5000/app")]
pub(crate) struct SearchArgs {
    /// What is looked for, in names and descriptions
    #[arg(value_name = "[REGISTRY/]TERM", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) term: String,
    /// The most repositories to show
    #[arg(long, value_name = "NUMBER", default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) limit: u32,
    /// Only repositories for which this holds: `is-official=true`, `stars=NUMBER`. Can be given more than once
    #[arg(short, long = "filter", value_name = "KEY=VALUE", value_parser = filters::parse)]
    pub(crate) filters: Vec<Filter>,
    /// Don't shorten the descriptions
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// How to write the list
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// `layer pulls`.
#[derive(Debug, Args)]
pub(crate) struct PullsArgs {
    /// Print the numbers only
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// How to write the list
    #[arg(long, value_enum, default_value_t, conflicts_with = "quiet")]
    pub(crate) format: Format,
}

/// `layer follow`.
#[derive(Debug, Args)]
#[command(after_help = "Whoever has begun the pull goes on waiting for it; ^C here ends the watching alone.")]
pub(crate) struct FollowArgs {
    /// The number of a pull, or the name of its image
    #[arg(value_name = "NUMBER|NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) what: String,
}

/// `layer cancel`.
#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    /// Numbers of pulls, or names of images for all pulls of them
    #[arg(required = true, value_name = "NUMBER|NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) what: Vec<String>,
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
    /// Only images for which this holds: `dangling=true`, `label=KEY[=VALUE]`, `before=IMAGE`, … Can be given more than once
    #[arg(short, long = "filter", value_name = "KEY=VALUE", value_parser = filters::parse)]
    pub(crate) filters: Vec<Filter>,
    /// Print image IDs only, each once
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Don't shorten the image IDs
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Show the digests that the names stand for
    #[arg(long)]
    pub(crate) digests: bool,
    /// Show the platforms of each image, those that are not here, too
    #[arg(long, conflicts_with_all = ["quiet", "digests", "format"])]
    pub(crate) tree: bool,
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
    /// Which platform of the image [default: the daemon's own]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) platform: Option<String>,
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
    /// Which platform of the image [default: the daemon's own]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) platform: Option<String>,
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
    /// Remove an image with all its names, and pinned ones too
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Remove this platform alone, from all images that have the same one, which takes --force; may be given several times
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) platform: Vec<String>,
    /// Known for docker's sake: there are no untagged parents here that would go along
    #[arg(long)]
    pub(crate) no_prune: bool,
}

/// `layer prune`.
#[derive(Debug, Args)]
#[command(after_help = "\
What is mounted, pinned or part of a running pull always stays. Without --all only images go that have no name any more, because a newer \
image has it.

Examples:
  layer prune --all --filter until=240h --filter label=stage=test
  layer prune --all --keep-storage 20GB --dry-run")]
pub(crate) struct PruneArgs {
    /// Remove images with names, too
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Only images for which this holds: `until=TIME`, `label=KEY[=VALUE]`, `label!=KEY[=VALUE]`. Can be given more than once
    #[arg(long = "filter", value_name = "KEY=VALUE", value_parser = filters::parse)]
    pub(crate) filters: Vec<Filter>,
    /// Don't ask
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Stop when the store takes no more than this, as `20GB`; what was not used for the longest time goes first
    #[arg(long, value_name = "SIZE", value_parser = size, conflicts_with = "filters")]
    pub(crate) keep_storage: Option<u64>,
    /// Remove nothing, and tell what would go
    #[arg(long, conflicts_with = "filters")]
    pub(crate) dry_run: bool,
}

/// `layer df`.
#[derive(Debug, Args)]
pub(crate) struct UsageArgs {
    /// Each image, too
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// How to write it
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: AboutFormat,
}

/// `layer pin` and `layer unpin`.
#[derive(Debug, Args)]
#[command(after_help = "\
A pin on a name stays on the name, whatever image that leads to. By its ID an image is pinned itself. Pins keep images from `layer prune` and \
from what the daemon removes by itself; `layer rmi` asks for --force.")]
pub(crate) struct PinArgs {
    /// Names, IDs or beginnings of IDs
    #[arg(required = true, value_name = "IMAGE", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) images: Vec<String>,
}

/// `layer pins`.
#[derive(Debug, Args)]
pub(crate) struct PinsArgs {
    /// How to write the list
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// `layer save`.
#[derive(Debug, Args)]
#[command(after_help = "\
The archive is what `docker load`, `skopeo` and `podman` read: a docker-archive and an OCI image-layout in one.

Examples:
  layer save -o images.tar alpine:3.20 debian:12
  layer save alpine | ssh there layer load")]
pub(crate) struct SaveArgs {
    /// Names, IDs or beginnings of IDs; a name without a tag stands for all its tags
    #[arg(required = true, value_name = "IMAGE", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) images: Vec<String>,
    /// The file to write [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Only this platform; may be given several times [default: all that are here]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) platform: Vec<String>,
}

/// `layer load`.
#[derive(Debug, Args)]
#[command(after_help = "\
Reads archives of `layer save`, `docker save`, `podman save`, `skopeo` and the builders: docker-archives of any age and OCI image-layouts, \
plain or packed by gzip, zstd, xz or bzip2. The names of the images go to standard output.")]
pub(crate) struct LoadArgs {
    /// The archive [default: standard input]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Only this platform of images that have several; may be given several times [default: all]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) platform: Vec<String>,
    /// Show no progress
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// `layer import`.
#[derive(Debug, Args)]
#[command(after_help = "\
Prints the image's ID.

Examples:
  layer import rootfs.tar.xz mine:1 --change 'CMD [\"/bin/sh\"]' --change 'ENV LANG=C.UTF-8'
  tar -C rootfs -c . | layer import - mine:1")]
pub(crate) struct ImportArgs {
    /// A tar with a root file system, plain or packed; `-` is standard input
    #[arg(value_name = "FILE|-|URL", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) source: String,
    /// The name that the image gets
    #[arg(value_name = "NAME[:TAG]", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) name: Option<String>,
    /// How to run it, as a line of a Dockerfile; may be given several times
    #[arg(short, long, value_name = "INSTRUCTION")]
    pub(crate) change: Vec<String>,
    /// What it is for
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    /// What it runs on [default: the daemon's own platform]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) platform: Option<String>,
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

/// `layer login`.
#[derive(Debug, Args)]
#[command(after_help = "\
The login is proven before it is kept: with the credential helper that docker's config.json names for the registry, or else in that file. \
Where a registry gives a token to be kept in place of the password, that is kept.

There is no option for the password itself: other users of the machine see the arguments of programs.

Examples:
  layer login
  layer login ghcr.io --username bob
  layer login registry.lab:5000 --username ci --password-stdin < token")]
pub(crate) struct LoginArgs {
    /// The registry, `host` or `host:port` [default: Docker Hub]
    #[arg(value_name = "REGISTRY")]
    pub(crate) registry: Option<Registry>,
    /// The user; asked for when it is left out
    #[arg(short, long, value_name = "USER", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) username: Option<String>,
    /// Take the password, or a token in its place, from standard input
    #[arg(long, requires = "username")]
    pub(crate) password_stdin: bool,
}

/// `layer logout`.
#[derive(Debug, Args)]
pub(crate) struct LogoutArgs {
    /// The registry [default: Docker Hub]
    #[arg(value_name = "REGISTRY")]
    pub(crate) registry: Option<Registry>,
}

/// `layer events`.
#[derive(Debug, Args)]
#[command(after_help = "\
Moments are seconds since 1970, times (2026-01-31T12:00:00Z), or spans before now (10m, 24h).

Examples:
  layer events
  layer events --since 24h --filter event=pull --filter image=alpine
  layer events --since 1h --until 0s --format json")]
pub(crate) struct EventsArgs {
    /// Begin with those that happened since then [default: only what happens from now on]
    #[arg(long, value_name = "MOMENT", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) since: Option<String>,
    /// End there [default: never]
    #[arg(long, value_name = "MOMENT", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) until: Option<String>,
    /// Only some of them: by event, type, image, label or scope
    #[arg(short, long = "filter", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub(crate) filters: Vec<(String, String)>,
    /// How to write them
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: AboutFormat,
}

/// Cuts `name=value`.
fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

/// `layer bundle`.
#[derive(Debug, Args)]
#[command(after_help = "\
The bundle has a config.json by what the image says, and in rootfs a writable mount of the image, which `layer umount DIR/rootfs` takes down; what was \
written goes with it.

Example:
  layer bundle alpine /run/box && runc run -b /run/box box")]
pub(crate) struct BundleArgs {
    /// A name, an ID or the beginning of one
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) image: String,
    /// The bundle's folder; it is made if it isn't there, and must be closed to all but root
    #[arg(value_name = "DIR")]
    pub(crate) target: PathBuf,
    /// Which platform of the image [default: the daemon's own]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) platform: Option<String>,
}

/// `layer verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Documents and compressed layers are hashed, and the files of unpacked layers compared with what they were when they were unpacked. What is \
damaged is marked, so that the next pull brings it anew; --repair does so at once. Exit status 1 means that something is damaged, and not repaired.")]
pub(crate) struct VerifyArgs {
    /// Names, IDs or beginnings of IDs
    #[arg(required_unless_present = "all", value_name = "IMAGE", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) images: Vec<String>,
    /// All images
    #[arg(short, long, conflicts_with = "images")]
    pub(crate) all: bool,
    /// Bring anew what is damaged or missing: layers from their compressed form, the rest from the registry
    #[arg(long)]
    pub(crate) repair: bool,
    /// How to write what is wrong
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// `layer version` and `layer info`.
#[derive(Debug, Args)]
pub(crate) struct AboutArgs {
    /// How to write it
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: AboutFormat,
}

fn size(text: &str) -> Result<u64, String> {
    layer_proto::parse_size(text).ok_or_else(|| "a size is a number with a unit, such as 20GB or 500MiB".to_owned())
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
            ("image prune -a", "prune -a"),
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
            "layer search",
            "layer search --limit 101 x",
            "layer follow",
            "layer cancel",
            "layer images --tree -q",
            "layer push",
            "layer images -q --format json",
            "layer -H tcp://x images",
            "layer tag a",
            "layer mount",
            "layer login -p secret",
            "layer login /r.example",
            "layer logout https://",
            "layer login --password-stdin",
            "layer prune --filter x",
            "layer prune --keep-storage much",
            "layer prune --keep-storage 1GB --filter until=1h",
            "layer pin",
            "layer verify",
            "layer verify --all x",
        ] {
            assert!(Cli::try_parse_from(words.split(' ')).is_err(), "{words}");
        }
    }
}
