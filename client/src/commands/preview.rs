//! `layer pull --dry-run`.

use layer_proto::Preview;

use super::go_on;
use super::logins::Logins;
use crate::api::{Api, PullWishes};
use crate::cli::PullArgs;
use crate::error::Error;
use crate::exit::Exit;
use crate::render::progress::Screen;
use crate::render::text::clean;
use crate::render::{output, size, text::short_id};

/// Tells for each name what a pull would do.
pub(super) async fn run(api: &Api, args: PullArgs) -> Result<Exit, Error> {
    let mut exit = Exit::Done;
    let logins = Logins::new(Screen::new(args.quiet));
    let (retries, stall_timeout) = (args.retries, args.stall_timeout);
    for name in &args.names {
        let login = logins.find(name).await;
        let wishes = PullWishes { all_tags: false, platform: args.platform.clone(), retries, stall_timeout, login };
        match api.preview(name, &wishes).await {
            Ok(preview) if args.quiet && !preview.is_news => {}
            Ok(preview) if args.quiet => output::outcome(&clean(&preview.reference))?,
            Ok(preview) => output::outcome(&clean(&told(&preview)))?,
            Err(error) => go_on(error, &mut exit)?,
        }
    }
    Ok(exit)
}

/// One line about one image.
fn told(preview: &Preview) -> String {
    let Preview { reference, image, .. } = preview;
    let image = short_id(image);
    let platform = preview.platform.as_deref().map(|platform| format!(" for {platform}")).unwrap_or_default();
    if !preview.is_news {
        return format!("{reference}: up to date, {image}{platform}");
    }
    let what = match &preview.current {
        None => format!("not here yet, {image}{platform}"),
        Some(current) if short_id(current) == image => format!("here in part, {image}{platform}"),
        Some(current) => format!("a newer image, {image}{platform}, in place of {}", short_id(current)),
    };
    let missing = preview.layers.iter().filter(|layer| !layer.is_unpacked).count();
    format!(
        "{reference}: {what}: {missing} of {} layers to come, {} to fetch, some {} on disk ({} free)",
        preview.layers.len(),
        size::in_table(preview.fetch_bytes),
        size::in_table(preview.disk_bytes),
        size::in_table(preview.free_bytes),
    )
}

#[cfg(test)]
mod tests {
    use layer_proto::preview::LayerPreview;

    use super::*;

    #[test]
    fn a_line_says_whether_there_is_news_and_how_much() {
        let image = |digit: char| format!("sha256:{}", digit.to_string().repeat(64));
        let layer = |is_unpacked| LayerPreview { is_unpacked, ..LayerPreview::default() };
        let new = Preview {
            reference: "docker.io/library/alpine:latest".into(),
            image: image('a'),
            is_news: true,
            layers: vec![layer(true), layer(false)],
            fetch_bytes: 3_490_000,
            disk_bytes: 14_000_000,
            free_bytes: 62_000_000_000,
            ..Preview::default()
        };
        let newer = Preview { current: Some(image('b')), platform: Some("linux/arm64".into()), ..new.clone() };
        let part = Preview { current: Some(image('a')), ..new.clone() };
        let same = Preview { is_news: false, ..part.clone() };
        let text = [&new, &newer, &part, &same].map(told).join("\n");
        insta::assert_snapshot!(text, @r"
        docker.io/library/alpine:latest: not here yet, aaaaaaaaaaaa: 1 of 2 layers to come, 3.49MB to fetch, some 14MB on disk (62GB free)
        docker.io/library/alpine:latest: a newer image, aaaaaaaaaaaa for linux/arm64, in place of bbbbbbbbbbbb: 1 of 2 layers to come, 3.49MB to fetch, some 14MB on disk (62GB free)
        docker.io/library/alpine:latest: here in part, aaaaaaaaaaaa: 1 of 2 layers to come, 3.49MB to fetch, some 14MB on disk (62GB free)
        docker.io/library/alpine:latest: up to date, aaaaaaaaaaaa
        ");
    }
}
