//! `layer df`.

use layer_proto::{ImageUsage, StoreUsage};

use crate::api::Api;
use crate::cli::{AboutFormat, UsageArgs};
use crate::error::Error;
use crate::exit::Exit;
use crate::render::table::Table;
use crate::render::text::short_id;
use crate::render::{age, json, output, size};

/// Prints what the store takes on the disk.
pub(super) async fn run(api: &Api, args: UsageArgs) -> Result<Exit, Error> {
    let answer = api.store_usage().await?;
    if args.format == AboutFormat::Json {
        output::data(&json::pretty(&answer))?;
        return Ok(Exit::Done);
    }
    let usage: StoreUsage = serde_json::from_str(answer.get()).map_err(|source| Error::Unreadable { source })?;
    output::data(&store(&usage))?;
    if args.verbose {
        output::data(&format!("\n{}", images(&usage.images, age::now())))?;
    }
    Ok(Exit::Done)
}

fn store(usage: &StoreUsage) -> String {
    let mut table = Table::new(&["WHAT", "SIZE"]);
    for (what, bytes) in [
        ("Packed layers and documents", usage.blobs),
        ("Unpacked layers", usage.layers),
        ("Partial downloads", usage.partials),
        ("Copies and changes of mounts", usage.mounts),
        ("Total", usage.total),
        ("Of no image", usage.leftovers),
        ("Reclaimable", usage.reclaimable),
    ] {
        table.row([what, &size::in_table(bytes)]);
    }
    table.text()
}

fn images(images: &[ImageUsage], now: i64) -> String {
    let mut table =
        Table::new(&["IMAGE", "IMAGE ID", "SIZE", "SHARED SIZE", "UNIQUE SIZE", "MOUNTS", "PINNED", "LAST USED"]);
    for image in images {
        let name = image.names.first().map_or("<none>", String::as_str);
        let more = image.names.len().saturating_sub(1);
        let name = if more > 0 { format!("{name} (+{more})") } else { name.to_owned() };
        table.row([
            &*name,
            &short_id(&image.id),
            &size::in_table(image.size),
            &size::in_table(image.shared),
            &size::in_table(image.unique),
            &image.mounts.to_string(),
            if image.pinned { "yes" } else { "no" },
            &image.last_used.map_or_else(|| "N/A".to_owned(), |then| age::since(then, now)),
        ]);
    }
    table.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_by_what_they_are_of() {
        let usage = StoreUsage {
            total: 63_520_000,
            blobs: 20_000_000,
            layers: 42_000_000,
            partials: 1_000_000,
            mounts: 500_000,
            leftovers: 1_000_000,
            reclaimable: 5_500_000,
            images: Vec::new(),
        };
        insta::assert_snapshot!(store(&usage), @r"
        WHAT                           SIZE
        Packed layers and documents    20MB
        Unpacked layers                42MB
        Partial downloads              1MB
        Copies and changes of mounts   500kB
        Total                          63.5MB
        Of no image                    1MB
        Reclaimable                    5.5MB
        ");
    }

    #[test]
    fn an_image_is_a_line() {
        let image = ImageUsage {
            id: "sha256:0cdb4c5716699f8e4c068f58b52bf3c46a03df3a64891f81e4c45cff63f1114f".into(),
            names: vec!["busybox:1".into(), "busybox:latest".into()],
            size: 6_806_724,
            unique: 806_724,
            shared: 6_000_000,
            mounts: 1,
            pinned: true,
            last_used: Some(1_800_000_000),
        };
        let nameless = ImageUsage { names: Vec::new(), pinned: false, last_used: None, ..image.clone() };
        insta::assert_snapshot!(images(&[image, nameless], 1_800_007_200), @r"
        IMAGE            IMAGE ID       SIZE      SHARED SIZE   UNIQUE SIZE   MOUNTS    PINNED    LAST USED
        busybox:1 (+1)   0cdb4c571669   6.81MB    6MB           807kB         1         yes       2 hours ago
        <none>           0cdb4c571669   6.81MB    6MB           807kB         1         no        N/A
        ");
    }
}
