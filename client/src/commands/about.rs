//! `layer version` and `layer info`.

use layer_proto::{ApiVersion, Info, Version};
use serde::de::DeserializeOwned;
use serde_json::json;
use serde_json::value::RawValue;

use crate::api::Api;
use crate::cli::{AboutArgs, AboutFormat};
use crate::error::Error;
use crate::exit::Exit;
use crate::host::Host;
use crate::render::text::clean;
use crate::render::{json, output, size};

/// Prints the versions of both sides; the client's even when there is no daemon.
pub(super) async fn version(api: &Api, host: &Host, args: AboutArgs) -> Result<Exit, Error> {
    let answer = api.about("version").await;
    match args.format {
        AboutFormat::Text => {
            output::data(&client())?;
            output::data(&format!("\n{}", server(&read(&answer?)?, host)))?;
        }
        AboutFormat::Json => {
            let client = json!({
                "Version": env!("CARGO_PKG_VERSION"),
                "ApiVersion": ApiVersion::CURRENT.to_string(),
                "Os": std::env::consts::OS,
                "Arch": processor(std::env::consts::ARCH),
            });
            let server = answer.as_deref().map_or("null", RawValue::get);
            let both = RawValue::from_string(format!("{{\"Client\":{client},\"Server\":{server}}}"));
            output::data(&json::pretty(&both.map_err(|source| Error::Unreadable { source })?))?;
            answer?;
        }
    }
    Ok(Exit::Done)
}

/// Prints what the daemon says about itself.
pub(super) async fn info(api: &Api, args: AboutArgs) -> Result<Exit, Error> {
    let answer = api.about("info").await?;
    match args.format {
        AboutFormat::Json => output::data(&json::pretty(&answer))?,
        AboutFormat::Text => {
            let info: Info = read(&answer)?;
            output::data(&about(&info))?;
            for warning in info.warnings.iter().flatten() {
                output::talk(&clean(warning));
            }
        }
    }
    Ok(Exit::Done)
}

fn read<T: DeserializeOwned>(answer: &RawValue) -> Result<T, Error> {
    serde_json::from_str(answer.get()).map_err(|source| Error::Unreadable { source })
}

fn client() -> String {
    facts(
        "Client:",
        &[
            ("Version", env!("CARGO_PKG_VERSION").into()),
            ("API version", ApiVersion::CURRENT.to_string()),
            ("OS/Arch", format!("{}/{}", std::env::consts::OS, processor(std::env::consts::ARCH))),
        ],
    )
}

fn server(version: &Version, host: &Host) -> String {
    let engine = version.components.first().map_or("", |component| &component.name);
    let name = if version.platform.name.is_empty() { engine } else { &version.platform.name };
    facts(
        "Server:",
        &[
            ("Socket", host.to_string()),
            ("Name", name.into()),
            ("Version", version.version.clone()),
            ("API version", format!("{} (minimum version {})", version.api_version, version.min_api_version)),
            ("Git commit", version.git_commit.clone()),
            ("Built", version.build_time.clone()),
            ("OS/Arch", format!("{}/{}", version.os, version.arch)),
            ("Kernel", version.kernel_version.clone()),
        ],
    )
}

fn about(info: &Info) -> String {
    let mut lines = vec![
        ("Version", info.server_version.clone()),
        ("Store", info.docker_root_dir.clone()),
        ("Images", info.images.to_string()),
        ("Driver", info.driver.clone()),
    ];
    lines.extend(info.driver_status.iter().map(|(name, value)| (name.as_str(), value.clone())));
    lines.extend([
        ("Kernel", info.kernel_version.clone()),
        ("Operating system", info.operating_system.clone()),
        ("Architecture", info.architecture.clone()),
        ("CPUs", info.cpus.to_string()),
        ("Memory", size::in_bar(info.mem_total)),
        ("Name", info.name.clone()),
        ("HTTP proxy", info.http_proxy.clone()),
        ("HTTPS proxy", info.https_proxy.clone()),
        ("No proxy", info.no_proxy.clone()),
    ]);
    if let Some(registries) = &info.registry_config {
        let insecure = registries.index_configs.iter().filter(|(_, registry)| !registry.secure);
        let insecure = insecure.map(|(name, _)| name).chain(&registries.insecure_registry_cidrs);
        lines.push(("Insecure registries", insecure.map(String::as_str).collect::<Vec<_>>().join(", ")));
        let mirrored = registries.index_configs.iter().filter(|(_, registry)| !registry.mirrors.is_empty());
        let mirrors = mirrored.map(|(name, registry)| format!("{name} by {}", registry.mirrors.join(", ")));
        lines.push(("Mirrors", mirrors.collect::<Vec<_>>().join("; ")));
    }
    facts("Daemon:", &lines)
}

/// A heading with facts under it. Those that are empty are left out.
fn facts(heading: &str, facts: &[(&str, String)]) -> String {
    let told: Vec<_> = facts.iter().filter(|(_, value)| !value.is_empty()).collect();
    let width = told.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let mut text = heading.to_owned();
    for (name, value) in told {
        let name = clean(name);
        let blanks = " ".repeat(width.saturating_sub(name.chars().count()) + 2);
        text += &format!("\n  {name}:{blanks}{}", clean(value));
    }
    text
}

/// A processor by the name that images have for it.
fn processor(name: &str) -> &str {
    match name {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use layer_proto::{IndexConfig, RegistryConfig};

    use super::*;

    #[test]
    fn the_server_is_told_by_what_it_says() {
        let version = Version {
            version: "0.1.0".into(),
            os: "linux".into(),
            arch: "amd64".into(),
            kernel_version: "6.1\u{1b}[2J".into(),
            min_api_version: ApiVersion::OLDEST,
            ..Version::default()
        };
        insta::assert_snapshot!(server(&version, &Host::default()), @r"
        Server:
          Socket:       unix:///run/layerd/layerd.sock
          Version:      0.1.0
          API version:  1.51 (minimum version 1.24)
          OS/Arch:      linux/amd64
          Kernel:       6.1\u{1b}[2J
        ");
    }

    #[test]
    fn facts_of_the_store_stand_with_its_driver() {
        let registry = |secure, mirrors: &[&str]| IndexConfig {
            secure,
            mirrors: mirrors.iter().map(|&url| url.to_owned()).collect(),
            ..IndexConfig::default()
        };
        let registries = RegistryConfig {
            index_configs: [
                ("docker.io".into(), registry(true, &["https://m.lab/", "https://n.lab/"])),
                ("lab.test".into(), registry(false, &[])),
            ]
            .into(),
            insecure_registry_cidrs: vec!["127.0.0.0/8".into()],
            mirrors: None,
        };
        let info = Info {
            server_version: "0.1.0".into(),
            docker_root_dir: "/var/lib/layerd".into(),
            images: 3,
            driver_status: vec![("Layers".into(), "12".into())],
            kernel_version: "6.1".into(),
            cpus: 2,
            mem_total: 25_276_063_744,
            https_proxy: "http://xxxxx:xxxxx@proxy.lab:3128".into(),
            registry_config: Some(registries),
            ..Info::default()
        };
        insta::assert_snapshot!(about(&info), @r"
        Daemon:
          Version:              0.1.0
          Store:                /var/lib/layerd
          Images:               3
          Driver:               overlayfs
          Layers:               12
          Kernel:               6.1
          CPUs:                 2
          Memory:               25.28GB
          HTTPS proxy:          http://xxxxx:xxxxx@proxy.lab:3128
          Insecure registries:  lab.test, 127.0.0.0/8
          Mirrors:              docker.io by https://m.lab/, https://n.lab/
        ");
    }
}
