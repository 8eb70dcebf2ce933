//! What a bundle's `config.json` says.
//!
//! Spec: OCI runtime-spec 1.0, config.md; image-spec 1.1, conversion.md.

use std::collections::HashMap;
use std::io;

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Capability, LinuxBuilder, LinuxCapabilitiesBuilder, ProcessBuilder, RootBuilder, Spec, SpecBuilder, UserBuilder,
};

use super::ROOT;
use super::accounts::Account;
use crate::lookup::Variant;

/// The version of the runtime-spec that this is written by. Nothing newer is used, so that older runtimes take it.
const VERSION: &str = "1.0.2";

/// Where programs are looked for in images that don't say.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is run of an image that names no program, as runc's own default has it.
const SHELL: &str = "sh";

/// The capabilities of runc's own default.
const CAPABILITIES: [Capability; 3] = [Capability::AuditWrite, Capability::Kill, Capability::NetBindService];

/// The bytes of `config.json`.
pub(super) fn config(variant: &Variant, account: &Account, hostname: &str) -> io::Result<Vec<u8>> {
    let spec = spec(variant, account, hostname).map_err(io::Error::other)?;
    let mut bytes = serde_json::to_vec_pretty(&spec)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn spec(variant: &Variant, account: &Account, hostname: &str) -> Result<Spec, OciSpecError> {
    let container = &variant.config.config;
    let mut args: Vec<String> = container.entrypoint.iter().chain(&container.cmd).flatten().cloned().collect();
    if args.is_empty() {
        args.push(SHELL.to_owned());
    }
    let mut env = container.env.clone().unwrap_or_default();
    if !env.iter().any(|text| text.starts_with("PATH=")) {
        env.insert(0, PATH.to_owned());
    }
    let mut user = UserBuilder::default().uid(account.uid).gid(account.gid);
    if !account.groups.is_empty() {
        user = user.additional_gids(account.groups.clone());
    }
    // Neither inheritable nor ambient: a program of another user gets none by them.
    let capabilities = LinuxCapabilitiesBuilder::default()
        .bounding(CAPABILITIES)
        .effective(CAPABILITIES)
        .permitted(CAPABILITIES)
        .inheritable([])
        .ambient([])
        .build()?;
    let process = ProcessBuilder::default()
        .terminal(false)
        .user(user.build()?)
        .args(args)
        .env(env)
        .cwd(if container.working_dir.starts_with('/') {
            container.working_dir.clone()
        } else {
            format!("/{}", container.working_dir)
        })
        .capabilities(capabilities)
        .no_new_privileges(true)
        .build()?;
    SpecBuilder::default()
        .version(VERSION)
        .process(process)
        .root(RootBuilder::default().path(ROOT).readonly(false).build()?)
        .hostname(hostname)
        .annotations(annotations(variant))
        .linux(LinuxBuilder::default().build()?)
        .build()
}

/// What the image says about itself. Its labels come last: whoever made it has the last word.
fn annotations(variant: &Variant) -> HashMap<String, String> {
    let config = &variant.config;
    let container = &config.config;
    let ports = container.exposed_ports.as_ref().map(|ports| ports.iter().cloned().collect::<Vec<_>>().join(","));
    let facts = [
        ("os", Some(config.os.clone())),
        ("architecture", Some(config.architecture.clone())),
        ("variant", config.variant.clone()),
        ("author", config.author.clone()),
        ("created", config.created.clone()),
        ("stopSignal", container.stop_signal.clone()),
        ("exposedPorts", ports),
    ];
    let facts = facts.into_iter().filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?)));
    let mut annotations: HashMap<_, _> =
        facts.map(|(name, value)| (format!("org.opencontainers.image.{name}"), value)).collect();
    annotations.extend(container.labels.clone().unwrap_or_default());
    annotations
}
