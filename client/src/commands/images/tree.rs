//! `layer images --tree`.

use layer_proto::ImageSummary;
use layer_proto::image::{ManifestKind, ManifestSummary};

use crate::api::Api;
use crate::cli::ImagesArgs;
use crate::commands::images::{NONE, listed, shown_id};
use crate::error::Error;
use crate::exit::Exit;
use crate::render::table::Table;
use crate::render::text::short_id;
use crate::render::{output, size};

/// Prints each image once, and below it its platforms.
pub(in crate::commands) async fn run(api: &Api, args: ImagesArgs) -> Result<Exit, Error> {
    let images = listed(api, &args, true).await?;
    output::data(&table(&images, args.no_trunc))?;
    Ok(Exit::Done)
}

fn table(images: &[ImageSummary], whole: bool) -> String {
    let mut table = Table::new(&["IMAGE", "ID", "DISK USAGE", "CONTENT SIZE", "IN USE"]);
    for image in images {
        let manifests = image.manifests.as_deref().unwrap_or_default();
        let content =
            manifests.iter().filter(|one| one.available).map(|one| one.size.content).fold(0, u64::saturating_add);
        let in_use = if image.containers > 0 { "yes" } else { "" };
        let mut names = image.repo_tags.iter().chain(&image.repo_digests).map(String::as_str);
        let first = names.next().unwrap_or(NONE);
        table.row([first, &shown_id(image, whole), &size::in_table(image.size), &size::in_table(content), in_use]);
        // Its other tags; what it is known by besides says nothing more.
        image.repo_tags.iter().skip(1).for_each(|name| table.row([name, "", "", "", ""]));
        let last = manifests.len().saturating_sub(1);
        for (number, manifest) in manifests.iter().enumerate() {
            let branch = if number == last { "└─" } else { "├─" };
            let id = if whole { manifest.id.clone() } else { short_id(&manifest.id) };
            let [total, content] = if manifest.available {
                [manifest.size.total, manifest.size.content].map(size::in_table)
            } else {
                ["-", "-"].map(str::to_owned)
            };
            table.row([&format!("{branch} {}", described(manifest)), &id, &total, &content, ""]);
        }
    }
    table.text()
}

/// What a manifest is: a platform, what is stated about one, or something else.
fn described(manifest: &ManifestSummary) -> String {
    let here = if manifest.available { "" } else { " (not here)" };
    match (manifest.kind, &manifest.image_data) {
        (ManifestKind::Image, Some(data)) => {
            let platform = &data.platform;
            let variant = platform.variant.as_deref().map(|variant| format!("/{variant}")).unwrap_or_default();
            format!("{}/{}{variant}{here}", platform.os, platform.architecture)
        }
        (ManifestKind::Attestation, _) => format!("attestation{here}"),
        _ => format!("unknown{here}"),
    }
}

#[cfg(test)]
mod tests {
    use layer_proto::Platform;
    use layer_proto::image::{ImageData, ManifestSize};

    use super::*;

    fn manifest(digit: char, architecture: &str, available: bool) -> ManifestSummary {
        let platform = Platform {
            os: "linux".into(),
            architecture: architecture.into(),
            variant: (architecture == "arm").then(|| "v7".into()),
            ..Platform::default()
        };
        let data = ImageData { platform, ..ImageData::default() };
        ManifestSummary {
            id: format!("sha256:{}", digit.to_string().repeat(64)),
            available,
            size: ManifestSize { content: 2_000_000, total: 6_000_000 },
            kind: ManifestKind::Image,
            image_data: Some(data),
            ..ManifestSummary::default()
        }
    }

    #[test]
    fn platforms_hang_below_their_image() {
        let attestation = ManifestSummary {
            kind: ManifestKind::Attestation,
            image_data: None,
            available: false,
            ..manifest('d', "", false)
        };
        let image = ImageSummary {
            id: format!("sha256:{}", "a".repeat(64)),
            size: 6_000_000,
            containers: 1,
            repo_tags: vec!["busybox:1".into(), "busybox:latest".into()],
            manifests: Some(vec![manifest('b', "amd64", true), manifest('c', "arm", false), attestation]),
            ..ImageSummary::default()
        };
        let nameless = ImageSummary { id: format!("sha256:{}", "e".repeat(64)), ..ImageSummary::default() };
        insta::assert_snapshot!(table(&[image, nameless], false), @r"
        IMAGE                        ID             DISK USAGE   CONTENT SIZE   IN USE
        busybox:1                    aaaaaaaaaaaa   6MB          2MB            yes
        busybox:latest
        ├─ linux/amd64               bbbbbbbbbbbb   6MB          2MB
        ├─ linux/arm/v7 (not here)   cccccccccccc   -            -
        └─ attestation (not here)    dddddddddddd   -            -
        <none>                       eeeeeeeeeeee   0B           0B
        ");
    }
}
