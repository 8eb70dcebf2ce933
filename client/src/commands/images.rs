//! `layer images`.

mod tree;

use std::collections::HashSet;

use layer_proto::ImageSummary;
use serde::Serialize;

use crate::api::Api;
use crate::cli::{Format, ImagesArgs};
use crate::error::Error;
use crate::exit::Exit;
use crate::name;
use crate::render::table::Table;
use crate::render::text::{clean, short_id};
use crate::render::{age, json, output, size};

pub(super) use tree::run as tree;

/// What stands for a name, a tag or a digest that an image doesn't have.
const NONE: &str = "<none>";

/// Prints the images, a line a name.
pub(super) async fn run(api: &Api, args: ImagesArgs) -> Result<Exit, Error> {
    let images = listed(api, &args, false).await?;
    if args.quiet {
        let mut printed = HashSet::new();
        for image in &images {
            if printed.insert(&image.id) {
                output::data(&clean(&shown_id(image, args.no_trunc)))?;
            }
        }
        return Ok(Exit::Done);
    }
    let now = age::now();
    match args.format {
        Format::Json => {
            for row in images.iter().flat_map(|image| rows(image, args.digests, args.no_trunc, now)) {
                output::data(&json::line(&row))?;
            }
        }
        Format::Table => output::data(&table(&images, args.digests, args.no_trunc, now))?,
    }
    Ok(Exit::Done)
}

async fn listed(api: &Api, args: &ImagesArgs, platforms: bool) -> Result<Vec<ImageSummary>, Error> {
    api.images(args.name.as_deref(), &args.filters, args.all, platforms).await.map_err(|error| match &args.name {
        Some(name) => error.during("list", name.as_str()),
        None => error,
    })
}

fn shown_id(image: &ImageSummary, whole: bool) -> String {
    if whole { image.id.clone() } else { short_id(&image.id) }
}

fn table(images: &[ImageSummary], digests: bool, whole: bool, now: i64) -> String {
    let mut heading = vec!["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"];
    if digests {
        heading.insert(2, "DIGEST");
    }
    let mut table = Table::new(&heading);
    for row in images.iter().flat_map(|image| rows(image, digests, whole, now)) {
        let mut cells = vec![&*row.repository, &row.tag, &row.id, &row.created_since, &row.size];
        if digests {
            cells.insert(2, &row.digest);
        }
        table.cells(cells);
    }
    table.text()
}

/// One line of the list as docker writes it into JSON: all texts, with `N/A` for what isn't counted.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    containers: String,
    created_at: String,
    created_since: String,
    digest: String,
    #[serde(rename = "ID")]
    id: String,
    repository: String,
    shared_size: String,
    size: String,
    tag: String,
    unique_size: String,
    virtual_size: String,
}

/// The lines of one image: one for each of its tags; for an image without tags one for each repository that it was pulled from.
fn rows(image: &ImageSummary, digests: bool, whole: bool, now: i64) -> Vec<Row> {
    let listed: Vec<(&str, &str)> = image.repo_digests.iter().filter_map(|name| name.split_once('@')).collect();
    let digest_of = |repository: &str| {
        let found = listed.iter().find(|(name, _)| digests && *name == repository);
        found.map_or(NONE, |(_, digest)| digest)
    };
    let mut names: Vec<(&str, &str, &str)> = Vec::new();
    for (repository, tag) in image.repo_tags.iter().filter_map(|name| name::listed(name)) {
        names.push((repository, tag, digest_of(repository)));
    }
    if names.is_empty() {
        names.extend(
            listed.iter().map(|(repository, digest)| (*repository, NONE, if digests { *digest } else { NONE })),
        );
    }
    if names.is_empty() {
        names.push((NONE, NONE, NONE));
    }
    // A name pulled by tag and digest is listed beside the same name pulled by tag alone.
    names.dedup();
    let row = |(repository, tag, digest): (&str, &str, &str)| Row {
        containers: if image.containers < 0 { "N/A".into() } else { image.containers.to_string() },
        created_at: age::date(image.created),
        created_since: age::since(image.created, now),
        digest: digest.into(),
        id: shown_id(image, whole),
        repository: repository.into(),
        shared_size: "N/A".into(),
        size: size::in_table(image.size),
        tag: tag.into(),
        unique_size: "N/A".into(),
        virtual_size: size::in_bar(image.size),
    };
    names.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_778_638_909 + 86_400 * 200;

    fn image(tags: &[&str], digests: &[&str]) -> ImageSummary {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        ImageSummary {
            id: "sha256:0cdb4c5716699f8e4c068f58b52bf3c46a03df3a64891f81e4c45cff63f1114f".into(),
            created: 1_778_638_909,
            size: 6_806_724,
            repo_tags: owned(tags),
            repo_digests: owned(digests),
            ..ImageSummary::default()
        }
    }

    #[test]
    fn a_line_is_a_name() {
        let images = [
            image(&["busybox:1", "busybox:latest"], &["busybox@sha256:0cdb"]),
            image(&["127.0.0.1:5600/lab/app:2"], &["127.0.0.1:5600/lab/app@sha256:197e"]),
            image(&["alpine@sha256:0581"], &["alpine@sha256:0581"]),
            image(&["alpine:3.18", "alpine:3.18@sha256:de46"], &["alpine@sha256:de46"]),
            image(&[], &[]),
        ];
        insta::assert_snapshot!(table(&images, false, false, NOW), @r"
        REPOSITORY               TAG       IMAGE ID       CREATED        SIZE
        busybox                  1         0cdb4c571669   6 months ago   6.81MB
        busybox                  latest    0cdb4c571669   6 months ago   6.81MB
        127.0.0.1:5600/lab/app   2         0cdb4c571669   6 months ago   6.81MB
        alpine                   <none>    0cdb4c571669   6 months ago   6.81MB
        alpine                   3.18      0cdb4c571669   6 months ago   6.81MB
        <none>                   <none>    0cdb4c571669   6 months ago   6.81MB
        ");
        insta::assert_snapshot!(table(&images[1..3], true, true, NOW), @r"
        REPOSITORY               TAG       DIGEST        IMAGE ID                                                                  CREATED        SIZE
        127.0.0.1:5600/lab/app   2         sha256:197e   sha256:0cdb4c5716699f8e4c068f58b52bf3c46a03df3a64891f81e4c45cff63f1114f   6 months ago   6.81MB
        alpine                   <none>    sha256:0581   sha256:0cdb4c5716699f8e4c068f58b52bf3c46a03df3a64891f81e4c45cff63f1114f   6 months ago   6.81MB
        ");
    }

    #[test]
    fn json_has_dockers_members() {
        let row = rows(&image(&["busybox:1"], &[]), false, false, NOW).remove(0);
        insta::assert_snapshot!(json::line(&row), @r#"{"Containers":"N/A","CreatedAt":"2026-05-13 02:21:49 +0000 UTC","CreatedSince":"6 months ago","Digest":"<none>","ID":"0cdb4c571669","Repository":"busybox","SharedSize":"N/A","Size":"6.81MB","Tag":"1","UniqueSize":"N/A","VirtualSize":"6.807MB"}"#);
    }
}
